"""Rewards: what validators and providers earn, from the issuance rule.

At its boundary each epoch is allotted what the rule mints for it, in three parts: one for the
authors of its blocks, one for its voters by their weight, one for the compute that was proven.
Nothing is paid then: whoever earned something asks for it while the epoch is on record. What
nobody asks for, what a newcomer's ramp keeps back, and what an offender forfeits returns to the
pot.

The votes of a block are not part of the chain, so voters are paid by their weight in the table and
not by their signatures; who is caught contradicting itself gets nothing for that epoch.

Every burn of the chain is noted, whatever it was for, and a share of it is allotted again, a little
in each epoch.

Invariants: ``pot + allotted and unpaid + paid = pot at genesis + recycled``; nothing is paid
twice; the parts that are paid for an epoch never exceed what it was allotted; ``supply = genesis +
paid - burned``, which never exceeds genesis and pot; what was recycled is a fixed share of burns.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from primitives.codec import ACCOUNT, AMOUNT, BOOL, U32, U64, optional, pair, struct
from primitives.errors import DispatchError
from primitives.power_table import PowerTable
from primitives.types import AccountId, Balance, Epoch, Signer, Weight
from runtime.availability import Availability, Market, ProvenUnits, SpecPrice
from runtime.fees import PPB
from runtime.issuance import IssuanceParameters, Reserve
from runtime.module import Context, Event, Module, StorageMap, StorageValue, call
from runtime.pools.pricing import Blocks, PriceQ32, Units
from runtime.pools.records import U128
from runtime.session import is_boundary
from runtime.staking.ledger import Backing

RAMP_START_PPB = 100_000_000
"""A newcomer's share of its availability reward."""


@dataclass(frozen=True, slots=True)
class Config:
    pot: Balance
    """Most that will ever be minted beside recycled burns, in base units."""
    half_life_epochs: int
    """Epochs in which half of the pot would be minted if every epoch minted its whole share."""
    operations_per_unit: int
    """Proven operations that make a unit of supply."""
    supply_base: int
    """Units from which on the mint is not reduced for a small network."""
    base_price_q32: int
    """Base units a unit and block, in Q32, that compute is worth until a pool prices it."""
    target_q16: int
    """Utilisation, in Q16, at which the mint is not reduced for an idle network."""
    idle_ppb: int
    """Share of the mint that is paid even when nothing is leased."""
    value_cap_ppb: int
    """Most that is minted, as a share of what all units would earn at the base price."""
    recycled_ppb: int
    """Share of every burn that is paid out again."""
    recycle_shift: int
    """Each epoch pays ``2 ** -recycle_shift`` of what waits to be recycled."""
    author_ppb: int
    """Share of an epoch's allotment for the authors of its blocks."""
    voter_ppb: int
    """Share for its voters; the rest is for proven compute."""
    ramp_epochs: int
    """Epochs of proving without a break until a provider's reward is whole."""

    def parameters(self) -> IssuanceParameters:
        """Return the rule of issuance."""
        return IssuanceParameters(
            half_life_epochs=self.half_life_epochs,
            supply_base=Units(self.supply_base),
            idle_ppb=self.idle_ppb,
            value_cap_ppb=self.value_cap_ppb,
            recycled_ppb=self.recycled_ppb,
            recycle_shift=self.recycle_shift,
        )

    def spec_price(self) -> SpecPrice:
        """Return what compute is worth until a pool prices it."""
        price = PriceQ32(self.base_price_q32)
        return SpecPrice(self.operations_per_unit, price, self.target_q16)


@dataclass(frozen=True, slots=True)
class Allotment:
    """What an epoch was allotted and what of it has been paid."""

    authors: Balance
    voters: Balance
    compute: Balance
    paid: Balance

    @property
    def unpaid(self) -> int:
        """What is left to be asked for."""
        return self.authors + self.voters + self.compute - self.paid


ALLOTMENT = struct(Allotment, authors=AMOUNT, voters=AMOUNT, compute=AMOUNT, paid=AMOUNT)
RESERVE = struct(Reserve, unminted=AMOUNT, recyclable=AMOUNT, burn_remainder=U32)


@dataclass(frozen=True, slots=True)
class Allotted(Event):
    """The rule minted for an epoch; ``returned`` of an older one went back to the pot."""

    epoch: Epoch
    authors: Balance
    voters: Balance
    compute: Balance
    returned: Balance


@dataclass(frozen=True, slots=True)
class ValidatorPaid(Event):
    """A validator and its nominators were paid for an epoch; without the dust nobody can keep."""

    validator: AccountId
    epoch: Epoch
    amount: Balance
    commission: Balance


@dataclass(frozen=True, slots=True)
class ProviderPaid(Event):
    """A provider's reward for an epoch was bonded; ``withheld`` is what its ramp kept back."""

    provider: AccountId
    epoch: Epoch
    amount: Balance
    withheld: Balance


class NotAllotted(DispatchError):
    """The epoch has not ended, or is no longer on record."""


class AlreadyPaid(DispatchError):
    """That was paid, or forfeited, or a later epoch was claimed before it."""


class NothingEarned(DispatchError):
    """The account earned nothing in that epoch."""


class Issuer(Protocol):
    """What rewards need of the ledger of tokens."""

    def mint_keepable(self, recipient: AccountId, amount: Balance) -> Balance:
        """Create tokens and return how many; none, if they would be dust."""

    def issuance(self) -> Balance:
        """Return how many base units there are."""

    def burned_lately(self) -> Balance:
        """Return what was burned, for whatever reason, since ``take_burned``."""

    def take_burned(self) -> Balance:
        """Return the same, and begin to count anew."""


class Stake(Protocol):
    """What rewards need of staking."""

    def backing(self, validator: AccountId, epoch: Epoch) -> Backing:
        """Return what backed ``validator`` in the table of ``epoch``."""

    def bond_reward(self, account: AccountId, amount: Balance) -> None:
        """Create a reward that counts as bond and vests."""


class Tables(Protocol):
    """Who voted in which epoch."""

    def table(self, epoch: Epoch) -> PowerTable:
        """Return who votes in ``epoch``. Raises: DispatchError."""

    def origin(self, epoch: Epoch) -> Epoch:
        """Return the epoch whose stakes made that table."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where rewards come from and go to."""

    issuer: Issuer
    stake: Stake
    tables: Tables
    compute: ProvenUnits
    market: Market
    epoch_length: int
    epochs_kept: int
    """How many epochs back something can be asked for: as long as backings are on record."""


class Rewards(Module):
    """Allotment and payment of what the issuance rule mints."""

    name = "rewards"
    index = 10
    events = (Allotted, ValidatorPaid, ProviderPaid)
    errors = (NotAllotted, AlreadyPaid, NothingEarned)

    reserve = StorageValue(RESERVE, default=Reserve(Balance(0)))
    endowed = StorageValue(AMOUNT, default=Balance(0))
    """What there was at genesis."""
    issued = StorageValue(U128, default=0)
    """All that was ever paid."""
    burned = StorageValue(U128, default=0)
    """All that was ever burned: of fees, of what leases pay, of slashed bonds, and dust."""
    recycled = StorageValue(U128, default=0)
    """All burns that were ever allotted again."""
    allotments = StorageMap(U64, optional(ALLOTMENT), default=None)
    authored = StorageMap(pair(U64, ACCOUNT), U64, default=0)
    """Blocks of an epoch by author."""
    settled = StorageMap(pair(U64, ACCOUNT), BOOL, default=False)
    """Validators that were paid for an epoch, or forfeited it."""
    claimed = StorageMap(ACCOUNT, U64, default=0)
    """The first epoch that a provider can still claim."""

    def __init__(self, context: Context, config: Config, *, sources: Sources) -> None:
        super().__init__(context)
        self.config, self.sources = config, sources
        self.availability = Availability(sources.compute, sources.market)

    @call(0, weight=Weight(2_000_000))
    def payout(self, _signer: Signer, validator: AccountId, epoch: Epoch) -> None:
        """Pay a validator and its nominators for an epoch; anybody may ask, once.

        The validator keeps its commission of that time; the rest goes by stake. What rounding
        leaves is the validator's.
        Emits: Minted, ValidatorPaid.
        Raises: NotAllotted, AlreadyPaid, NothingEarned.
        """
        commission, parts = self.payout_due(validator, epoch)
        self.settled[epoch, validator] = True
        mint = self.sources.issuer.mint_keepable
        paid = Balance(sum(mint(account, part) for account, part in parts))
        self._note_paid(epoch, paid)
        self.emit(ValidatorPaid(validator, epoch, paid, commission))

    @call(1, weight=Weight(600_000))
    def claim(self, signer: Signer, epoch: Epoch) -> None:
        """Bond the signer's reward for the compute that it proved in an epoch.

        Epochs are claimed in order; one that is passed over is lost.
        Emits: HeldMinted, Rewarded, ProviderPaid.
        Raises: NotAllotted, AlreadyPaid, NothingEarned.
        """
        amount, withheld = self.claim_due(signer, epoch)
        self.claimed[signer] = epoch + 1
        self.sources.stake.bond_reward(signer, amount)
        self._note_paid(epoch, amount)
        self.emit(ProviderPaid(signer, epoch, amount, withheld))

    def payout_due(
        self, validator: AccountId, epoch: Epoch
    ) -> tuple[Balance, list[tuple[AccountId, Balance]]]:
        """Return the commission, and everybody's part, of what ``payout`` would pay.

        Raises: NotAllotted, AlreadyPaid, NothingEarned.
        """
        allotment = self._allotment(epoch)
        if self.settled[epoch, validator]:
            raise AlreadyPaid(f"epoch {epoch}")
        earned = self._earned(allotment, validator, epoch)
        if not earned:
            raise NothingEarned(f"epoch {epoch}")
        oldest = self.context.block.epoch - self.sources.epochs_kept
        origin = Epoch(max(oldest, self.sources.tables.origin(epoch)))
        return divide(earned, validator, self.sources.stake.backing(validator, origin))

    def claim_due(self, provider: AccountId, epoch: Epoch) -> tuple[Balance, Balance]:
        """Return what ``claim`` would bond, and what the provider's ramp keeps back of it.

        Units earn no more than what their bond was made for: a larger reward would make faking pay.
        Raises: NotAllotted, AlreadyPaid, NothingEarned.
        """
        allotment = self._allotment(epoch)
        if epoch < self.claimed[provider]:
            raise AlreadyPaid(f"epochs below {self.claimed[provider]}")
        own, everybodys = self.availability.part(provider, epoch)
        whole = allotment.compute * own // max(1, everybodys)
        whole = min(whole, self.sources.compute.earnings_max(provider, epoch))
        age = epoch - self.sources.compute.proving_since(provider, epoch)
        amount = Balance(whole * ramp_ppb(age, self.config.ramp_epochs) // PPB)
        if not amount:
            raise NothingEarned(f"epoch {epoch}")
        return amount, Balance(whole - amount)

    def allotment_of(self, epoch: Epoch) -> Allotment:
        """Return what an epoch was allotted, or would be if it ended as things stand."""
        return self.allotments[epoch] or self._issue(epoch)[2]

    def forfeit(self, validator: AccountId, epoch: Epoch) -> None:
        """Let ``validator`` earn nothing by its votes and blocks of ``epoch``, if still unpaid."""
        self.settled[epoch, validator] = True

    def build_genesis(self) -> None:
        """Fill the pot, when everything that the chain begins with is there."""
        self.reserve.set(Reserve(self.config.pot))
        self.endowed.set(self.sources.issuer.issuance())

    def end_block(self) -> None:
        block = self.context.block
        self._note_burns()
        self.authored[block.epoch, block.author] += 1
        if is_boundary(block.height, self.sources.epoch_length):
            self._close(block.epoch)

    def check_invariants(self) -> None:
        outstanding = 0
        oldest = self.context.block.epoch - self.sources.epochs_kept
        for epoch, allotment in self.allotments.items():
            assert allotment is not None
            self.require("no_epoch_pays_more_than_its_allotment", allotment.unpaid >= 0)
            known = oldest <= epoch <= self.context.block.epoch
            self.require("allotments_are_of_the_last_epochs", known)
            outstanding += allotment.unpaid
        pot = self.reserve.get().unminted
        made = self.config.pot + self.recycled.get()
        accounted = pot + outstanding + self.issued.get()
        self.require("pot_and_allotted_and_paid_are_constant", accounted == made)
        self._check_supply()
        self._check_recycling()

    def _check_supply(self) -> None:
        """Require that supply = genesis + paid - burned, and at most genesis and pot."""
        issuer, endowed = self.sources.issuer, self.endowed.get()
        burned = self.burned.get() + issuer.burned_lately()
        supply = endowed + self.issued.get() - burned
        self.require("supply_is_genesis_and_paid_less_burned", issuer.issuance() == supply)
        self.require("supply_is_at_most_genesis_and_pot", supply <= endowed + self.config.pot)

    def _check_recycling(self) -> None:
        """Require that recycled and waiting to be is exactly the share of what was burned."""
        reserve = self.reserve.get()
        recycled = (self.recycled.get() + reserve.recyclable) * PPB + reserve.burn_remainder
        share = self.burned.get() * self.config.recycled_ppb
        self.require("recycled_is_a_share_of_burned", recycled == share)

    def _note_burns(self) -> None:
        """Let a share of what was burned since the last block wait to be recycled."""
        amount = self.sources.issuer.take_burned()
        if amount:
            self.burned.set(self.burned.get() + amount)
            self.reserve.set(self.reserve.get().burned(self.config.parameters(), amount))

    def _close(self, epoch: Epoch) -> None:
        """Allot what the rule mints for the epoch that ends, and forget the oldest."""
        returned = self._forget(epoch - self.sources.epochs_kept)
        reserve, recycled, allotment = self._issue(epoch)
        self.reserve.set(reserve)
        self.recycled.set(self.recycled.get() + recycled)
        self.allotments[epoch] = allotment
        parts = (allotment.authors, allotment.voters, allotment.compute)
        self.emit(Allotted(epoch, *parts, returned))

    def _issue(self, epoch: Epoch) -> tuple[Reserve, Balance, Allotment]:
        """Return the reserve after an epoch was minted for, what is recycled, and its parts."""
        usage = self.sources.market.usage(epoch, Blocks(self.sources.epoch_length))
        parameters = self.config.parameters()
        reserve, minted = self.reserve.get().minted(parameters, usage)
        reserve, recycled = reserve.recycled(parameters)
        total = minted + recycled
        authors = Balance(total * self.config.author_ppb // PPB)
        voters = Balance(total * self.config.voter_ppb // PPB)
        compute = Balance(total - authors - voters)
        return reserve, recycled, Allotment(authors, voters, compute, Balance(0))

    def _forget(self, epoch: int) -> Balance:
        """Return what nobody asked for to the pot, and drop the records of an epoch."""
        allotment = self.allotments[epoch] if epoch >= 0 else None
        if allotment is None:
            return Balance(0)
        for entry in self.sources.tables.table(Epoch(epoch)).validators:
            del self.authored[epoch, entry.account]
            del self.settled[epoch, entry.account]
        del self.allotments[epoch]
        reserve = self.reserve.get()
        unminted = Balance(reserve.unminted + allotment.unpaid)
        self.reserve.set(replace(reserve, unminted=unminted))
        return Balance(allotment.unpaid)

    def _allotment(self, epoch: Epoch) -> Allotment:
        allotment = self.allotments[epoch]
        if allotment is None:
            raise NotAllotted(f"epoch {epoch}")
        return allotment

    def _earned(self, allotment: Allotment, validator: AccountId, epoch: Epoch) -> Balance:
        """Return what ``validator`` earned by its blocks and its weight."""
        blocks = self.authored[epoch, validator]
        table = self.sources.tables.table(epoch)
        weight = sum(entry.weight for entry in table.validators if entry.account == validator)
        authored = allotment.authors * blocks // self.sources.epoch_length
        return Balance(authored + allotment.voters * weight // table.total)

    def _note_paid(self, epoch: Epoch, amount: Balance) -> None:
        allotment = self._allotment(epoch)
        self.allotments[epoch] = replace(allotment, paid=Balance(allotment.paid + amount))
        self.issued.set(self.issued.get() + amount)


def ramp_ppb(age: int, ramp_epochs: int) -> int:
    """Return a provider's share of its reward after ``age`` epochs of proving."""
    grown = min(age, ramp_epochs)
    return RAMP_START_PPB + (PPB - RAMP_START_PPB) * grown // ramp_epochs


def divide(
    earned: Balance, validator: AccountId, backing: Backing
) -> tuple[Balance, list[tuple[AccountId, Balance]]]:
    """Return the commission, and what each who stood behind a validator gets of ``earned``."""
    commission = Balance(earned * backing.commission_ppb // PPB) if backing.backers else Balance(0)
    shared, stake = earned - commission, max(1, backing.total)
    parts = [
        (backer.account, Balance(shared * backer.amount // stake)) for backer in backing.backers
    ]
    rest = Balance(earned - sum(part for _, part in parts))
    return commission, [(validator, rest), *parts]
