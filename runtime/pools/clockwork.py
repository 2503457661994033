"""What every block does to a pool: time passes, unsold capacity is lost, the price moves.

Invariants: the priced supply moves by at most 1/64 a block; the base price moves once a period, by
at most the pool's clamp, and not while nothing is for sale; of a class's price over an epoch, each
pool has the weight of its units and the blocks in which it had them.
"""

from dataclasses import replace

from runtime.issuance import Usage
from runtime.pools import events
from runtime.pools.controller import (
    average_utilisation,
    exp2,
    step_average,
    step_octaves,
    step_supply,
    utilisation,
)
from runtime.pools.desk import Desk
from runtime.pools.pricing import UNITS_MAX, Blocks, NoSupply, PriceQ32, QuoteOverflow, Units
from runtime.pools.pricing import spot_price as price_of_next
from runtime.pools.records import ClassTally, Pool, PoolState, Sample, Tally


class Clockwork:
    """The hooks of single pools, and averages over an epoch."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.tables = desk, desk.tables

    def tick(self, pool_id: int) -> None:
        """Let one block pass for a pool."""
        pool, state = self.desk.pool(pool_id), self.desk.state(pool_id)
        rates = self.desk.rates(pool)
        supply, leased = state.supply, state.leased
        ticked = replace(
            state,
            priced_supply=step_supply(state.priced_supply, supply),
            reward=state.reward.added_q64(state.flow_q64) if state.flow_q64 else state.reward,
            dissipated=state.dissipated + supply - leased,
        )
        if supply:
            use = utilisation(leased=leased, supply=supply)
            ticked = replace(
                ticked,
                average=step_average(rates, state.average, use),
                tally=_counted(state, use),
            )
            if self.desk.height % self.desk.config.price_period == 0:
                ticked = self._step_price(pool_id, pool, ticked)
        self.tables.states[pool_id] = ticked

    def usage(self, blocks: Blocks) -> Usage | None:
        """Return what the mint for the present epoch depends on; None while no pool has supply.

        Pools count by what their units are worth at their base prices.
        """
        supply = value = used = target = 0
        for pool_id in self.tables.pool_ids.get():
            tally = self.desk.state(pool_id).tally
            supply, value, used = supply + tally.supply, value + tally.value, used + tally.used
            target += tally.value * self.desk.pool(pool_id).rule.curve.target_q16
        if not supply:
            return None
        return Usage(
            supply=Units(min(supply // max(1, blocks), UNITS_MAX)),
            average_q32=used // value,
            target_q16=target // value,
            base_price=PriceQ32(value // supply),
            blocks=blocks,
        )

    def close_epoch(self) -> tuple[ClassTally, ...]:
        """Return what each class was worth in the epoch that ends, and begin the next."""
        sums: dict[int, tuple[int, int]] = {}
        for pool_id in self.tables.pool_ids.get():
            class_id, state = self.desk.pool(pool_id).class_id, self.desk.state(pool_id)
            supply, value = sums.get(class_id, (0, 0))
            sums[class_id] = supply + state.tally.supply, value + state.tally.value
            self.tables.states[pool_id] = replace(state, tally=Tally())
        blocks = self.desk.services.epoch_length
        return tuple(
            ClassTally(class_id, PriceQ32(value // supply), Units(supply // blocks))
            for class_id, (supply, value) in sorted(sums.items())
            if supply
        )

    def _step_price(self, pool_id: int, pool: Pool, state: PoolState) -> PoolState:
        rates = self.desk.rates(pool)
        average = average_utilisation(rates, state.average)
        octaves = step_octaves(
            rates, state.octaves, average_q32=average, target_q16=pool.rule.curve.target_q16
        )
        state = replace(state, octaves=octaves)
        base, price = exp2(octaves), spot_price(pool, state)
        period = self.desk.height // self.desk.config.price_period
        sample = Sample(self.desk.height, base, price, average, state.leased, state.supply)
        self.tables.history[pool_id, period % self.desk.config.history_max] = sample
        self.desk.emit(events.PriceSet(pool_id, base, price, average))
        return state


def spot_price(pool: Pool, state: PoolState) -> PriceQ32:
    """Return the price of the next unit; the base price where that has no value."""
    market = state.market
    try:
        return price_of_next(pool.rule.curve, market)
    except (NoSupply, QuoteOverflow):
        return market.base_price


def _counted(state: PoolState, use: int) -> Tally:
    """Return the tally with one block more."""
    tally, value = state.tally, state.supply * exp2(state.octaves)
    return Tally(
        blocks=tally.blocks + 1,
        supply=tally.supply + state.supply,
        value=tally.value + value,
        used=tally.used + value * use,
    )
