"""What modules that move tokens need of the ledger."""

from typing import Protocol

from primitives.types import AccountId, Balance


class Currency(Protocol):
    """Payments within a block: what is withdrawn must be credited or burned before it ends."""

    def validate_withdrawal(self, account: AccountId, amount: Balance) -> None:
        """Refuse what ``withdraw`` would refuse. Raises: DispatchError."""

    def withdraw(self, account: AccountId, amount: Balance) -> None:
        """Take ``amount`` out of the ledger. Raises: DispatchError."""

    def credit(self, recipient: AccountId, amount: Balance) -> Balance:
        """Put withdrawn tokens back and return how many were not burned as dust."""

    def burn_withdrawn(self, amount: Balance) -> None:
        """Destroy tokens that were withdrawn."""


class Holder(Protocol):
    """Deposits: tokens set aside for a named reason."""

    def hold(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Set ``amount`` of the free balance aside. Raises: DispatchError."""

    def held_for(self, account: AccountId, reason: str) -> Balance:
        """Return what is set aside for ``reason``."""

    def release(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Make ``amount`` of what is held free again. Raises: DispatchError."""
