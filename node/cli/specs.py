"""``--chain``: the chain spec that a command is about."""

from collections.abc import Callable
from pathlib import Path

from genesis.presets import dev_spec, local_spec
from genesis.spec import ChainSpec, load_spec
from primitives.errors import ConfigError

PRESETS: dict[str, Callable[[], ChainSpec]] = {"dev": dev_spec, "local": local_spec}


class NoSuchSpec(ConfigError):
    """There is neither a preset nor a file of that name."""


def find_spec(chain: str) -> ChainSpec:
    """Return the preset of that name, or the spec in that file.

    Raises: NoSuchSpec, InvalidSpec.
    """
    preset = PRESETS.get(chain)
    if preset is not None:
        return preset()
    path = Path(chain).expanduser()
    if not path.exists():
        raise NoSuchSpec(
            f"there is no chain spec {chain}: give a file, or a preset ({', '.join(PRESETS)})"
        )
    return load_spec(path)
