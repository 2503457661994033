"""Balances: who holds how much of the native token, free to spend or held for a purpose.

Invariants: free and held balances add up to ``total_issuance``; each free balance is 0 or at least
the existential deposit. What a hold is for, and when it ends, is for the module that placed it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from primitives.codec import ACCOUNT, AMOUNT, pair, text
from primitives.errors import DispatchError
from primitives.types import UINT64_MAX, AccountId, Balance, Signer, Weight
from runtime.module import Context, Event, Module, StorageMap, StorageValue, call

HOLD_REASON = text(32)
HoldReason = Annotated[str, HOLD_REASON]
"""``module.purpose``; at most 32 bytes."""


@dataclass(frozen=True, slots=True)
class Config:
    existential_deposit: Balance
    """Smallest balance an account may keep, in base units; at least 1."""


@dataclass(frozen=True, slots=True)
class Transferred(Event):
    sender: AccountId
    recipient: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Minted(Event):
    recipient: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Burned(Event):
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Held(Event):
    account: AccountId
    reason: HoldReason
    amount: Balance


@dataclass(frozen=True, slots=True)
class Released(Event):
    account: AccountId
    reason: HoldReason
    amount: Balance


@dataclass(frozen=True, slots=True)
class HoldMoved(Event):
    """Held tokens went to another account, where they are free."""

    account: AccountId
    reason: HoldReason
    recipient: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Escrowed(Event):
    """What an account had free is held in the name of another, its keeper."""

    account: AccountId
    keeper: AccountId
    reason: HoldReason
    amount: Balance


@dataclass(frozen=True, slots=True)
class HeldMinted(Event):
    """Tokens came into being on hold."""

    account: AccountId
    reason: HoldReason
    amount: Balance


@dataclass(frozen=True, slots=True)
class HoldBurned(Event):
    account: AccountId
    reason: HoldReason
    amount: Balance


class InsufficientBalance(DispatchError):
    """The account holds less than the call takes."""


class BelowExistentialDeposit(DispatchError):
    """An account would keep a balance that is neither 0 nor the existential deposit."""


class WouldEmptyAccount(DispatchError):
    """The sender asked to stay alive, and the transfer would leave less than the deposit."""


class InsufficientHold(DispatchError):
    """Less is held for this reason than is to be taken from it."""


class IssuanceOverflow(DispatchError):
    """The total issuance would exceed 64 bits."""


class Balances(Module):
    """The ledger of the native token."""

    name = "balances"
    index = 2
    events = (
        Transferred,
        Minted,
        Burned,
        Held,
        Released,
        HoldMoved,
        Escrowed,
        HeldMinted,
        HoldBurned,
    )
    errors = (
        InsufficientBalance,
        BelowExistentialDeposit,
        WouldEmptyAccount,
        InsufficientHold,
        IssuanceOverflow,
    )

    total_issuance = StorageValue(AMOUNT, default=Balance(0))
    burned = StorageValue(AMOUNT, default=Balance(0))
    """What was burned, by whomever and for whatever, since it was last taken note of."""
    free = StorageMap(ACCOUNT, AMOUNT, default=Balance(0))
    held = StorageMap(pair(ACCOUNT, HOLD_REASON), AMOUNT, default=Balance(0))

    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self.config = config

    @call(0, weight=Weight(20_000))
    def transfer(self, signer: Signer, recipient: AccountId, amount: Balance) -> None:
        """Move ``amount`` base units from the signer to ``recipient``; may empty the signer.

        Emits: Transferred.
        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._move(signer, recipient, amount)

    @call(1, weight=Weight(20_000))
    def transfer_keep_alive(self, signer: Signer, recipient: AccountId, amount: Balance) -> None:
        """Move ``amount`` base units, unless that would empty the signer.

        Emits: Transferred.
        Raises: InsufficientBalance, WouldEmptyAccount, BelowExistentialDeposit.
        """
        left = self.free[signer] - amount
        if 0 <= left < self.config.existential_deposit:
            raise WouldEmptyAccount(f"{left} would be left")
        self._move(signer, recipient, amount)

    @call(2, weight=Weight(20_000))
    def transfer_all(self, signer: Signer, recipient: AccountId, keep_alive: bool) -> None:  # noqa: FBT001 - a call's arguments have places, not names
        """Move everything that the signer has free; with ``keep_alive``, all but the deposit.

        Emits: Transferred.
        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        kept = self.config.existential_deposit if keep_alive else 0
        amount = self.free[signer] - kept
        if amount <= 0:
            raise InsufficientBalance(f"{self.free[signer]} free, {kept} to be kept")
        self._move(signer, recipient, Balance(amount))

    def spendable(self, account: AccountId) -> Balance:
        """Return the free balance. For other modules; not a call."""
        return self.free[account]

    def mint(self, recipient: AccountId, amount: Balance) -> None:
        """Create ``amount`` base units for ``recipient``.

        Emits: Minted.
        Raises: IssuanceOverflow, BelowExistentialDeposit.
        """
        issuance = self.total_issuance.get() + amount
        if issuance > UINT64_MAX:
            raise IssuanceOverflow(f"{issuance}")
        self._set(recipient, self.free[recipient] + amount)
        self.total_issuance.set(Balance(issuance))
        self.emit(Minted(recipient, amount))

    def mint_keepable(self, recipient: AccountId, amount: Balance) -> Balance:
        """Create ``amount`` for ``recipient`` and return how much: nothing, if it would be dust.

        Emits: Minted.
        Raises: IssuanceOverflow.
        """
        if not amount or self.free[recipient] + amount < self.config.existential_deposit:
            return Balance(0)
        self.mint(recipient, amount)
        return amount

    def mint_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Create ``amount`` base units that ``account`` has on hold from the start.

        Emits: HeldMinted.
        Raises: IssuanceOverflow.
        """
        issuance = self.total_issuance.get() + amount
        if issuance > UINT64_MAX:
            raise IssuanceOverflow(f"{issuance}")
        self.held[account, reason] = Balance(self.held[account, reason] + amount)
        self.total_issuance.set(Balance(issuance))
        self.emit(HeldMinted(account, reason, amount))

    def burn(self, account: AccountId, amount: Balance) -> None:
        """Destroy ``amount`` base units of what ``account`` has free.

        Emits: Burned.
        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._set(account, self.free[account] - amount)
        self._burn_issuance(amount)
        self.emit(Burned(account, amount))

    def validate_withdrawal(self, account: AccountId, amount: Balance) -> None:
        """Refuse what ``withdraw`` would refuse.

        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._validate(self.free[account] - amount)

    def withdraw(self, account: AccountId, amount: Balance) -> None:
        """Take ``amount`` out of the ledger; the caller must credit or burn it within the block.

        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._set(account, self.free[account] - amount)

    def credit(self, recipient: AccountId, amount: Balance) -> Balance:
        """Put withdrawn tokens back and return how many; dust that no account may have is burned.

        Never fails: what cannot be kept is burned.
        """
        if amount and self.free[recipient] + amount < self.config.existential_deposit:
            self._burn_issuance(amount)
            self.emit(Burned(recipient, amount))
            return Balance(0)
        self._set(recipient, self.free[recipient] + amount)
        return amount

    def burn_withdrawn(self, amount: Balance) -> None:
        """Destroy tokens that were withdrawn."""
        self._burn_issuance(amount)

    def hold(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Set ``amount`` of the free balance aside for ``reason``.

        Emits: Held.
        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._set(account, self.free[account] - amount)
        self.held[account, reason] = Balance(self.held[account, reason] + amount)
        self.emit(Held(account, reason, amount))

    def escrow(
        self, account: AccountId, *, keeper: AccountId, reason: str, amount: Balance
    ) -> None:
        """Hold ``amount`` of what ``account`` has free in the name of ``keeper``.

        Emits: Escrowed.
        Raises: InsufficientBalance, BelowExistentialDeposit.
        """
        self._set(account, self.free[account] - amount)
        self.held[keeper, reason] = Balance(self.held[keeper, reason] + amount)
        self.emit(Escrowed(account, keeper, reason, amount))

    def release(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Make ``amount`` of what is held for ``reason`` free again; dust is burned.

        Emits: Released.
        Raises: InsufficientHold.
        """
        self._take_held(account, reason, amount)
        self.credit(account, amount)
        self.emit(Released(account, reason, amount))

    def move_held(
        self, account: AccountId, reason: str, *, recipient: AccountId, amount: Balance
    ) -> None:
        """Give ``amount`` of what ``account`` has held to ``recipient``, free; dust is burned.

        Emits: HoldMoved.
        Raises: InsufficientHold.
        """
        self._take_held(account, reason, amount)
        self.credit(recipient, amount)
        self.emit(HoldMoved(account, reason, recipient, amount))

    def burn_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Destroy ``amount`` of what is held for ``reason``.

        Emits: HoldBurned.
        Raises: InsufficientHold.
        """
        self._take_held(account, reason, amount)
        self._burn_issuance(amount)
        self.emit(HoldBurned(account, reason, amount))

    def rename_hold(self, account: AccountId, reason: str, new: str, amount: Balance) -> None:
        """Hold ``amount`` of what is held for ``reason`` for a ``new`` one; none of it gets free.

        Emits: Released, Held.
        Raises: InsufficientHold.
        """
        self._take_held(account, reason, amount)
        self.held[account, new] = Balance(self.held[account, new] + amount)
        self.emit(Released(account, reason, amount))
        self.emit(Held(account, new, amount))

    def issuance(self) -> Balance:
        """Return how many base units there are."""
        return self.total_issuance.get()

    def burned_lately(self) -> Balance:
        """Return what was burned since ``take_burned``."""
        return self.burned.get()

    def take_burned(self) -> Balance:
        """Return what was burned since this was last asked; whoever asks accounts for it."""
        amount = self.burned.get()
        self.burned.set(Balance(0))
        return amount

    def held_for(self, account: AccountId, reason: str) -> Balance:
        """Return what ``account`` has held for ``reason``."""
        return self.held[account, reason]

    def build_genesis(self, balances: Mapping[AccountId, Balance]) -> None:
        """Endow the genesis accounts; amounts in base units."""
        for account, amount in sorted(balances.items()):
            self.mint(account, amount)

    def check_invariants(self) -> None:
        free, held = list(self.free.values()), list(self.held.values())
        total = sum(free) + sum(held)
        self.require("issuance_is_free_and_held", total == self.total_issuance.get())
        least = self.config.existential_deposit
        self.require("no_account_holds_dust", all(amount >= least for amount in free))

    def _move(self, sender: AccountId, recipient: AccountId, amount: Balance) -> None:
        """Debit first, so that nobody pays with what they are about to receive."""
        self._set(sender, self.free[sender] - amount)
        self._set(recipient, self.free[recipient] + amount)
        self.emit(Transferred(sender, recipient, amount))

    def _take_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        held = self.held[account, reason]
        if held < amount:
            raise InsufficientHold(f"{held} held for {reason}, {amount} wanted")
        self.held[account, reason] = Balance(held - amount)

    def _burn_issuance(self, amount: Balance) -> None:
        if not amount:
            return
        self.burned.set(Balance(self.burned.get() + amount))
        self.total_issuance.set(Balance(self.total_issuance.get() - amount))

    def _set(self, account: AccountId, amount: int) -> None:
        """Write a balance, or refuse the one that no account may have."""
        self._validate(amount)
        self.free[account] = Balance(amount)

    def _validate(self, amount: int) -> None:
        if amount < 0:
            raise InsufficientBalance(f"{-amount} short")
        if 0 < amount < self.config.existential_deposit:
            raise BelowExistentialDeposit(f"{amount} would be left")
