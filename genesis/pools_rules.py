"""What a chain spec's pools have to obey before a chain can run with them."""

from collections.abc import Iterator

from genesis.pocps_rules import Problem
from runtime import runtime
from runtime.pools.controller import AVERAGE_SHIFT_MAX, BLOCK_INTERVAL_MAX, Clock
from runtime.pools.events import Config
from runtime.pools.parameters import BURN_PPB, rule_of
from runtime.pools.pricing import Blocks, ParameterOutOfRange
from runtime.pools.records import (
    ENDS_MAX,
    LEASES_OF_MAX,
    POOLS_MAX,
    SERVED_MAX,
    SHARES_MAX,
)

AT = "runtime.pools"
MEMBERS_MAX = 1 << 14
STEPS_MAX = 1 << 10
HISTORY_MAX = 1 << 12
PERIOD_MAX = 10_000
BLOCKS_MAX = 10**6
END_WEIGHT = 100_000
"""Upper estimates of what hooks take, in nanoseconds: to end a lease,"""
SHARE_WEIGHT = 150_000
"""and for each of its shares;"""
MOVE_WEIGHT = 300_000
"""to take a lease's share from a provider, beside what those who take it over cost;"""
EXIT_WEIGHT = 200_000
"""a step of an exit queue;"""
POOL_WEIGHT = 100_000
"""a pool's block."""
VALUE_CAP_PPB_MAX = BURN_PPB[0] // 2
"""Half of the least burn: half of a class gets half of the mint that a pumped price adds."""


def find_problems(config: runtime.Config) -> Iterator[Problem]:
    """Yield what is wrong with a spec's pools; whoever asks stops at the first."""
    pools = config.pools
    limits = {
        "market_interval": BLOCK_INTERVAL_MAX,
        "price_period": PERIOD_MAX,
        "pools_max": POOLS_MAX,
        "members_max": MEMBERS_MAX,
        "shares_max": SHARES_MAX,
        "served_max": SERVED_MAX,
        "leases_of_max": LEASES_OF_MAX,
        "ends_max": ENDS_MAX,
        "exits_max": STEPS_MAX,
        "changes_max": STEPS_MAX,
        "history_max": HISTORY_MAX,
    }
    for name, highest in limits.items():
        if not 1 <= getattr(pools, name) <= highest:
            yield f"{AT}.{name}", f"1 to {highest}"
    if pools.average_shift > AVERAGE_SHIFT_MAX:
        yield f"{AT}.average_shift", f"at most {AVERAGE_SHIFT_MAX}"
    if pools.loss_blocks > BLOCKS_MAX:
        yield f"{AT}.loss_blocks", f"at most {BLOCKS_MAX}"
    if not 1 <= pools.start_price_min_q32 <= pools.start_price_max_q32:
        yield f"{AT}.start_price_min_q32", "1 or more, at most start_price_max_q32"
    if pools.deposit < config.balances.existential_deposit:
        yield f"{AT}.deposit", "at least the existential deposit"
    yield from _pool_problems(pools, {each.class_id for each in config.pocps.classes})


def find_live_problems(config: runtime.Config) -> Iterator[Problem]:
    """Yield what is wrong where blocks have to come on time; test chains may be as slow as wanted.

    No limit alone says how long a block's hooks can take: it is the products that do. And whoever
    leases its own pool empty must not raise the mint by more than it burns.
    """
    pools = config.pools
    if config.rewards.value_cap_ppb > VALUE_CAP_PPB_MAX:
        wanted = f"at most {VALUE_CAP_PPB_MAX}, or a pumped price mints more than it burns"
        yield "runtime.rewards.value_cap_ppb", wanted
    end = END_WEIGHT + pools.shares_max * SHARE_WEIGHT
    move = MOVE_WEIGHT + pools.shares_max * SHARE_WEIGHT
    longest = (
        pools.ends_max * end
        + pools.changes_max * pools.served_max * move
        + pools.pools_max * (POOL_WEIGHT + pools.exits_max * EXIT_WEIGHT)
    )
    if longest > config.system.block_weight_max:
        names = "served_max, ends_max and exits_max"
        wanted = f"hooks that take less than a block's weight, not up to {longest} ns"
        yield f"{AT}.changes_max", f"such that a block has, with {names}, {wanted}"


def _pool_problems(pools: Config, classes: set[int]) -> Iterator[Problem]:
    if len(pools.pools) > pools.pools_max:
        yield f"{AT}.pools", f"at most {pools.pools_max}, as pools_max says"
    clock = Clock(pools.market_interval, 1)
    for index, entry in enumerate(pools.pools):
        where = f"{AT}.pools[{index}]"
        if entry.class_id not in classes:
            yield f"{where}.class_id", "the number of a class"
        if not pools.start_price_min_q32 <= entry.price_q32 <= pools.start_price_max_q32:
            yield f"{where}.price_q32", "start_price_min_q32 to start_price_max_q32"
        try:
            rule = rule_of(entry.parameters)
            rule.validate_duration(clock, clock.blocks_in(rule.rent_min))
            rule.rates(clock, period=Blocks(pools.price_period), average_shift=pools.average_shift)
        except ParameterOutOfRange as error:
            yield f"{where}.parameters", f"a rule that a pool may have, but {error}"
