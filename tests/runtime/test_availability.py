"""The availability reward: by the units that were proven and the price of their class."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from genesis.presets import DEV_OPERATIONS
from primitives.types import AccountId, Balance, Epoch, Operations
from runtime.availability import Availability, ClassPrice, IdleMarket
from runtime.issuance import Usage
from runtime.pools.pricing import UNITS_MAX, Blocks, PriceQ32
from runtime.power import GenesisCompute
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, SPEC

REWARDS = SPEC.runtime.rewards
NOW = Epoch(3)
accounts = st.sampled_from([ALICE, BOB, CHARLIE])


@dataclass
class Proven:
    """Units of one epoch by class and account; a unit of class ``c`` is ``c`` operations."""

    units: dict[tuple[int, AccountId], int] = field(default_factory=dict)

    def units_in(self, class_id: int, account: AccountId, epoch: Epoch) -> int:
        return self.units.get((class_id, account), 0) if epoch == NOW else 0

    def class_units_in(self, class_id: int, epoch: Epoch) -> int:
        return sum(self.units_in(class_id, each, epoch) for each in (ALICE, BOB, CHARLIE))

    def proven_operations(self, account: AccountId, epoch: Epoch) -> Operations:
        return Operations(sum(c * self.units_in(c, account, epoch) for c in range(5)))

    def total_operations(self, epoch: Epoch) -> Operations:
        return Operations(sum(c * self.class_units_in(c, epoch) for c in range(5)))

    def earnings_max(self, _account: AccountId, _epoch: Epoch) -> Balance:
        return Balance(10**18)

    def proving_since(self, _account: AccountId, epoch: Epoch) -> Epoch:
        return epoch


@dataclass
class Prices:
    """What was for sale in every epoch."""

    known: tuple[ClassPrice, ...]

    def usage(self, epoch: Epoch, blocks: Blocks) -> Usage:
        raise AssertionError((epoch, blocks))

    def prices(self, _: Epoch) -> tuple[ClassPrice, ...]:
        return self.known


def priced(**prices: int) -> Prices:
    """Return a market where ``c1=5`` says that class 1 is worth 5."""
    known = (ClassPrice(int(name[1:]), PriceQ32(price)) for name, price in prices.items())
    return Prices(tuple(known))


def test_a_class_counts_by_price_times_proven_units() -> None:
    proven = Proven({(1, ALICE): 10, (1, BOB): 30, (2, BOB): 4})
    availability = Availability(proven, priced(c1=5, c2=100))

    assert availability.part(ALICE, NOW) == (50, 600)
    assert availability.part(BOB, NOW) == (550, 600)
    assert availability.part(CHARLIE, NOW) == (0, 600)


def test_what_no_pool_sells_earns_nothing_beside_what_pools_sell() -> None:
    proven = Proven({(1, ALICE): 10, (2, BOB): 4})

    assert Availability(proven, priced(c1=5)).part(BOB, NOW) == (0, 50)


def test_without_any_price_all_operations_count_alike() -> None:
    proven = Proven({(1, ALICE): 10, (2, BOB): 4})
    idle = IdleMarket(REWARDS.spec_price(), proven)

    assert idle.prices(NOW) == ()
    assert Availability(proven, idle).part(BOB, NOW) == (8, 18)


def test_the_market_before_any_pool_is_idle_at_the_specs_price() -> None:
    market = IdleMarket(REWARDS.spec_price(), GenesisCompute(SPEC.runtime.compute, 9))
    tiny = replace(REWARDS, operations_per_unit=1)
    grants = [replace(SPEC.runtime.compute[0], operations=Operations(2**63))]

    usage = market.usage(NOW, Blocks(7))

    assert usage.supply == 6 * DEV_OPERATIONS // REWARDS.operations_per_unit
    assert (usage.average_q32, usage.blocks) == (0, 7)
    huge = IdleMarket(tiny.spec_price(), GenesisCompute(grants, 9))
    assert huge.usage(Epoch(0), Blocks(1)).supply == UNITS_MAX


@given(
    units=st.dictionaries(st.tuples(st.integers(1, 4), accounts), st.integers(0, 2**40)),
    prices=st.dictionaries(st.integers(1, 4), st.integers(1, 2**88 - 1)),
    whole=st.integers(0, 2**64 - 1),
)
def test_parts_never_come_to_more_than_the_whole_and_grow_with_units(
    units: dict[tuple[int, AccountId], int], prices: dict[int, int], whole: int
) -> None:
    market = Prices(tuple(ClassPrice(c, PriceQ32(p)) for c, p in sorted(prices.items())))
    availability = Availability(Proven(units), market)

    parts = [availability.part(each, NOW) for each in (ALICE, BOB, CHARLIE)]

    assert len({everybodys for _, everybodys in parts}) == 1
    assert sum(whole * own // max(1, everybodys) for own, everybodys in parts) <= whole
    more = dict(units)
    for class_id in range(1, 5):
        more[class_id, ALICE] = more.get((class_id, ALICE), 0) + 1
    own, everybodys = Availability(Proven(more), market).part(ALICE, NOW)
    assert own * max(1, parts[0][1]) >= parts[0][0] * max(1, everybodys)
