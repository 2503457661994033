"""How the simulated providers of a devnet behave, honest ones and cheats.

Each runs the real program with a real account; a cheat differs in what its worker computes.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from primitives.errors import ConfigError

PROVIDERS_MAX = 32
DEFAULT_LAZY_PPB = 100_000_000
PPB = 10**9
_WORD = re.compile(r"([a-z]+)(?::(0?\.[0-9]{1,9}|1|1\.0))?")


class Conduct(StrEnum):
    """What a provider is like."""

    FAST = "fast"
    """Honest, as fast as this machine."""
    SLOW = "slow"
    """Honest on slower hardware: fewer units, and most of the window for them."""
    LAZY = "lazy"
    """Leaves out a fraction of its leaves."""
    SILENT = "silent"
    """Staked, and never proves."""
    COPIER = "copier"
    """Commits to the leaves of somebody else."""
    REPLAYER = "replayer"
    """Sends the leaves of its first epoch again and again."""
    TWIN = "twins"
    """One of two names that share a device which is fast enough for one."""


HONEST = frozenset({Conduct.FAST, Conduct.SLOW})

MEANINGS = {
    Conduct.FAST: "honest",
    Conduct.SLOW: "honest, fewer units, takes half of the window",
    Conduct.LAZY: "leaves out a fraction of its leaves (lazy:0.1)",
    Conduct.SILENT: "staked, never proves",
    Conduct.COPIER: "commits to another provider's leaves",
    Conduct.REPLAYER: "sends its first epoch's leaves again",
    Conduct.TWIN: "two names, one device that is fast enough for one",
}


class UnknownBehaviour(ConfigError):
    """The list of providers names a behaviour that there is not; the message says which exist."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One simulated provider."""

    conduct: Conduct
    skipped_ppb: int = 0
    """Fraction of its leaves that a lazy provider leaves out."""
    group: int | None = None
    """Those of one group share a device."""

    @property
    def label(self) -> str:
        """The behaviour as the command line has it."""
        if self.conduct is not Conduct.LAZY:
            return self.conduct.value
        return f"{self.conduct}:{self.skipped_ppb / PPB:g}"

    @property
    def is_honest(self) -> bool:
        return self.conduct in HONEST


def parse_behaviours(text: str) -> tuple[Behaviour, ...]:
    """Return the providers that ``fast,lazy:0.1,twins`` names; twins are two.

    Raises: UnknownBehaviour.
    """
    found: list[Behaviour] = []
    for group, word in enumerate(text.split(",")):
        found += _parse(word.strip(), group)
    if len(found) > PROVIDERS_MAX:
        raise UnknownBehaviour(f"{len(found)} providers are too many: at most {PROVIDERS_MAX}")
    return tuple(found)


def _parse(word: str, group: int) -> list[Behaviour]:
    match = _WORD.fullmatch(word)
    known = {conduct.value: conduct for conduct in Conduct}
    if match is None or match[1] not in known:
        raise UnknownBehaviour(f"no provider is {word!r:.40}: there are {', '.join(known)}")
    conduct, fraction = known[match[1]], match[2]
    if fraction is not None and conduct is not Conduct.LAZY:
        raise UnknownBehaviour(f"{word!r:.40}: only lazy takes a fraction, such as lazy:0.1")
    if conduct is Conduct.LAZY:
        skipped = DEFAULT_LAZY_PPB if fraction is None else _ppb(fraction)
        return [Behaviour(conduct, skipped)]
    if conduct is Conduct.TWIN:
        return [Behaviour(conduct, group=group)] * 2
    return [Behaviour(conduct)]


def _ppb(fraction: str) -> int:
    """Return a decimal fraction in parts per billion, exactly."""
    whole, _, digits = fraction.partition(".")
    return int(whole or "0") * PPB + int(digits.ljust(9, "0"))
