"""What the pools need of the rest of the chain: proven units, tokens, the beacon."""

from collections.abc import Callable, Sequence
from typing import Protocol

from primitives.types import AccountId, Balance, Digest
from runtime.currency import Holder
from runtime.pools.pricing import Units


class UnitsChange(Protocol):
    """What became of an engaged provider's proven units."""

    @property
    def class_id(self) -> int: ...
    @property
    def provider(self) -> AccountId: ...
    @property
    def units(self) -> Units:
        """Live from now on."""

    @property
    def slashed(self) -> Balance:
        """Taken from the provider's bond; on hold in its account for whom it harmed."""

    @property
    def reason(self) -> str:
        """Names the fault; empty if there was none."""


class Providers(Protocol):
    """Who has proven how many units of which resource class."""

    def proven_units(self, class_id: int, provider: AccountId) -> Units:
        """Return the provider's live units."""

    def resource(self, class_id: int) -> object | None:
        """Return the class, or None; only its existence matters here."""

    def engage(self, class_id: int, provider: AccountId) -> None:
        """Let a pool have a claim on the provider's units, and hear of their changes."""

    def disengage(self, class_id: int, provider: AccountId) -> None:
        """Give that claim up."""

    def set_leased(self, class_id: int, provider: AccountId, units: Units) -> None:
        """Say how many of the provider's units serve clients."""

    def take_changes(self, limit: int) -> Sequence[UnitsChange]:
        """Remove and return the oldest changes; at most ``limit``."""


class PoolTokens(Holder, Protocol):
    """What pools need of the ledger of tokens."""

    def escrow(
        self, account: AccountId, *, keeper: AccountId, reason: str, amount: Balance
    ) -> None:
        """Hold what ``account`` has free in the name of ``keeper``. Raises: DispatchError."""

    def move_held(
        self, account: AccountId, reason: str, *, recipient: AccountId, amount: Balance
    ) -> None:
        """Give held tokens to another account, free. Raises: DispatchError."""

    def burn_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Destroy held tokens. Raises: DispatchError."""


Beacon = Callable[[], Digest]
"""Randomness of the present block."""
