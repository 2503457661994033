"""Where programs that run for long keep their data and write their logs."""

import logging
import sys
from pathlib import Path

from primitives.errors import ConfigError

DEFAULT_BASE_PATH = Path("~/.local/share/loopin")
LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s %(message)s"


def configure_logs(levels: str) -> None:
    """Log to stderr; ``levels`` is a level, or several ``name=level``. Raises: ConfigError."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT, datefmt="%Y-%m-%d %H:%M:%S"
    )
    # It reports the misdeeds of peers as errors of its own; p2p says what matters of them.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    for part in levels.split(","):
        name, equals, level = part.rpartition("=")
        number = logging.getLevelNamesMapping().get(level.strip().upper())
        if number is None or (equals and not name):
            raise ConfigError(f"--log {part}: give debug, info, warning or error, or name=level")
        logging.getLogger(name.strip() or None).setLevel(number)
