"""A whole market in memory, settled by the code under test: what the state machines act upon.

It holds what the chain's pools module holds in storage, and nothing of the chain: accounts,
providers, leases, one pool. Every operation either happens whole or raises before it wrote.
"""

from dataclasses import dataclass, field

from primitives.types import Balance
from runtime.issuance import IssuanceParameters, Reserve
from runtime.pools.controller import (
    AverageQ32,
    OctavesQ32,
    Rates,
    average_utilisation,
    exp2,
    start_average,
    step_average,
    step_octaves,
    step_supply,
    utilisation,
)
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Market, Units, cost, value_of_top
from runtime.pools.settlement import (
    Membership,
    Payout,
    SharedReward,
    Stream,
    Terms,
    end_by_fault,
    end_early,
    extension_cost,
    split,
)

ISSUANCE = IssuanceParameters(half_life_epochs=1_000, supply_base=Units(1_000_000))
TERMS = Terms(
    burn_ppb=200_000_000, provider_ppb=800_000_000, early_end_fee_ppb=50_000_000, rent_min=Blocks(6)
)
RATES = Rates(gain_q32=1 << 30, clamp_q32=1 << 29, period=Blocks(4), average_shift=3)
EPOCH = 16


class Refused(Exception):
    """The market cannot do what was asked; nothing has changed."""


@dataclass
class Part:
    """The units of a lease that one provider serves, with one stream per term of the lease."""

    provider: str
    units: int
    terms: list[tuple[int, Stream]]
    """Height at which the term begins, and its stream."""

    def end(self) -> int:
        begin, stream = self.terms[-1]
        return begin + stream.duration


@dataclass
class Lease:
    client: str
    units: int
    parts: list[Part]


@dataclass
class Provider:
    units: int
    claim: Membership = field(default_factory=Membership)
    leased: int = 0


class InMemoryMarket:
    def __init__(self, octaves: int) -> None:
        self.octaves = OctavesQ32(octaves)
        self.average: AverageQ32 = start_average(RATES, 0)
        self.height = 0
        self.priced = Units(1)
        self.accounts: dict[str, int] = {}
        self.providers: dict[str, Provider] = {}
        self.leases: dict[int, Lease] = {}
        self.reward = SharedReward()
        self.reserve = Reserve(Balance(0))
        self.next_lease = 0
        self.paid_in = self.refunded = self.burned = 0
        self.to_providers = self.to_pool = self.claimed = self.recycled = 0

    # ---------------------------------------------------------------- what can be seen

    @property
    def supply(self) -> int:
        return sum(provider.units for provider in self.providers.values())

    @property
    def leased(self) -> int:
        return sum(lease.units for lease in self.leases.values())

    @property
    def escrow(self) -> int:
        return sum(
            stream.remaining
            for lease in self.leases.values()
            for part in lease.parts
            for _, stream in part.terms
        )

    def market(self) -> Market:
        return Market(Units(self.leased), Units(self.supply), self.priced, exp2(self.octaves))

    # ---------------------------------------------------------------- what accounts do

    def join(self, name: str, units: int) -> None:
        """Add to a provider's proven units."""
        provider = self.providers.setdefault(name, Provider(0))
        self._resize(provider, provider.units + units)

    def leave(self, name: str, units: int) -> None:
        provider = self.providers[name]
        if units > provider.units - provider.leased:
            raise Refused("a leased unit never leaves before its lease does")
        self._resize(provider, provider.units - units)

    def acquire(self, client: str, units: int, duration: int, prefer: str | None = None) -> int:
        amount = cost(DEFAULT_CURVE, self.market(), Units(units), Blocks(duration))
        self._pay(client, amount)
        shares = self._assign(units, prefer)
        streams = split(amount, [count for _, count in shares])
        parts = [
            Part(name, count, [(self.height, Stream.opened(TERMS, paid, Blocks(duration)))])
            for (name, count), paid in zip(shares, streams, strict=True)
        ]
        self.next_lease += 1
        self.leases[self.next_lease] = Lease(client, units, parts)
        return amount

    def extend(self, number: int, duration: int) -> int:
        lease = self.leases[number]
        amount = extension_cost(DEFAULT_CURVE, self.market(), Units(lease.units), Blocks(duration))
        self._pay(lease.client, amount)
        paid = split(amount, [part.units for part in lease.parts])
        for part, share in zip(lease.parts, paid, strict=True):
            part.terms.append((part.end(), Stream.opened(TERMS, share, Blocks(duration))))
        return amount

    def end(self, number: int) -> tuple[int, int, int]:
        """End a lease early; return the refund, the unused escrow and the rebuy cost."""
        lease = self.leases[number]
        before, refund, rebuy = self.escrow, 0, 0
        unused = sum(stream.remaining for part in lease.parts for _, stream in part.terms)
        for part in lease.parts:
            for begin, stream in part.terms:
                given_back = max(0, begin + stream.duration - max(self.height, begin))
                if given_back == 0:
                    continue
                worth = value_of_top(
                    DEFAULT_CURVE, self.market(), Units(part.units), Blocks(given_back)
                )
                rebuy += extension_cost(
                    DEFAULT_CURVE, self.market(), Units(part.units), Blocks(given_back)
                )
                terms = TERMS if begin <= self.height else _WITHOUT_RENT
                ending = end_early(terms, stream, Blocks(max(0, self.height - begin)), value=worth)
                refund += ending.refund
                self._settle(part.provider, ending.payout)
            self.providers[part.provider].leased -= part.units
        del self.leases[number]
        assert self.escrow == before - unused
        self._refund(lease.client, refund)
        return refund, unused, rebuy

    def fail(self, name: str) -> None:
        """A provider faults: its parts move to free units or are refunded; its units are gone."""
        provider = self.providers[name]
        for number, lease in list(self.leases.items()):
            for part in [part for part in lease.parts if part.provider == name]:
                self._fail_part(lease, part)
            if not lease.parts:
                del self.leases[number]
        assert provider.leased == 0
        self._resize(provider, 0)

    def claim(self, name: str) -> int:
        provider = self.providers[name]
        provider.claim, amount = provider.claim.claimed(self.reward)
        self.accounts[name] = self.accounts.get(name, 0) + amount
        self.claimed += amount
        return amount

    def advance(self, blocks: int) -> None:
        for _ in range(blocks):
            self.height += 1
            self._stream()
            self.priced = step_supply(self.priced, Units(self.supply))
            use = utilisation(leased=Units(self.leased), supply=Units(self.supply))
            self.average = step_average(RATES, self.average, use)
            if self.height % RATES.period == 0:
                self.octaves = step_octaves(
                    RATES,
                    self.octaves,
                    average_q32=average_utilisation(RATES, self.average),
                    target_q16=DEFAULT_CURVE.target_q16,
                )
            if self.height % EPOCH == 0:
                self.reserve, amount = self.reserve.recycled(ISSUANCE)
                self.recycled += amount
                self.reward = self.reward.added(amount)

    # ---------------------------------------------------------------- bookkeeping

    def _stream(self) -> None:
        for number, lease in list(self.leases.items()):
            for part in lease.parts:
                part.terms = [
                    (begin, self._advance_term(part, begin, stream)) for begin, stream in part.terms
                ]
            if all(part.end() <= self.height for part in lease.parts):
                for part in lease.parts:
                    self.providers[part.provider].leased -= part.units
                del self.leases[number]

    def _advance_term(self, part: Part, begin: int, stream: Stream) -> Stream:
        stream, due = stream.advanced(Blocks(max(0, self.height - begin)))
        self._settle(part.provider, due)
        return stream

    def _fail_part(self, lease: Lease, part: Part) -> None:
        self.providers[part.provider].leased -= part.units
        for name, other in sorted(self.providers.items()):
            if name != part.provider and other.units - other.leased >= part.units:
                part.provider = name
                other.leased += part.units
                return
        for begin, stream in part.terms:
            ending = end_by_fault(stream, Blocks(max(0, self.height - begin)))
            self._settle(part.provider, ending.payout)
            self._refund(lease.client, ending.refund)
        lease.parts.remove(part)
        lease.units -= part.units

    def _assign(self, units: int, prefer: str | None) -> list[tuple[str, int]]:
        shares = []
        names = sorted(self.providers, key=lambda name: (name != prefer, name))
        for name in names:
            provider = self.providers[name]
            taken = min(units, provider.units - provider.leased)
            if taken > 0:
                provider.leased += taken
                shares.append((name, taken))
                units -= taken
        assert units == 0
        return shares

    def _settle(self, provider: str, payout: Payout) -> None:
        self.burned += payout.burned
        self.reserve = self.reserve.burned(ISSUANCE, payout.burned)
        self.to_providers += payout.to_provider
        self.to_pool += payout.to_pool
        self.reward = self.reward.added(payout.to_pool)
        self.accounts[provider] = self.accounts.get(provider, 0) + payout.to_provider

    def _pay(self, client: str, amount: int) -> None:
        if self.accounts.get(client, 0) < amount:
            raise Refused("the client holds less than the lease costs")
        self.accounts[client] -= amount
        self.paid_in += amount

    def _refund(self, client: str, amount: int) -> None:
        self.accounts[client] += amount
        self.refunded += amount

    def _resize(self, provider: Provider, units: int) -> None:
        provider.claim, self.reward = provider.claim.resized(self.reward, Units(units))
        provider.units = units


_WITHOUT_RENT = Terms(
    burn_ppb=TERMS.burn_ppb,
    provider_ppb=TERMS.provider_ppb,
    early_end_fee_ppb=TERMS.early_end_fee_ppb,
    rent_min=Blocks(0),
)
"""For a term of an extension that has not begun: its shortest rent was paid in the first term."""
