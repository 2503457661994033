"""What disputes need of the modules around them."""

from dataclasses import dataclass
from typing import Protocol

from primitives.types import AccountId, Balance, Digest

SLASH_HOLD = "pocps.slash"
"""What a slash is held for until it has been disposed of."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a dispute must know of a lease."""

    client: AccountId
    class_id: int


class Leases(Protocol):
    """Who leases from whom."""

    def served(self, lease_id: int, provider: AccountId) -> Served | None:
        """Return the lease of which ``provider`` serves a share, or did until lately; or None."""

    def fail_share(
        self, lease_id: int, provider: AccountId, reason: str, *, slashed: Balance
    ) -> None:
        """End the provider's share of the lease by its fault; the client is refunded.

        Its further loss is paid out of the ``slashed`` tokens, and what is left of them burned.
        """


class Bonds(Protocol):
    """What providers lose."""

    def punish(
        self, class_id: int, provider: AccountId, reason: str, *, fraction_ppb: int
    ) -> Balance:
        """Slash the provider's bond; what is returned waits in ``SLASH_HOLD`` of the provider."""


class Tokens(Protocol):
    """The ledger."""

    def hold(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Set ``amount`` of the free balance aside. Raises: DispatchError."""

    def release(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Make ``amount`` of what is held free again."""

    def move_held(
        self, account: AccountId, reason: str, *, recipient: AccountId, amount: Balance
    ) -> None:
        """Give ``amount`` of what is held to ``recipient``."""

    def burn_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Destroy ``amount`` of what is held."""

    def held_for(self, account: AccountId, reason: str) -> Balance:
        """Return what is set aside for ``reason``."""


class Chain(Protocol):
    """Which chain this is."""

    def known_genesis(self) -> Digest:
        """Return the hash that every signature of this chain names."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The modules that disputes reach into."""

    leases: Leases
    bonds: Bonds
    tokens: Tokens
    chain: Chain
