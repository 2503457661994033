"""What a chain spec's rules for jobs have to obey before a chain can run with them."""

from collections.abc import Iterator

from genesis.pocps_rules import Problem
from runtime import runtime
from runtime.jobs.records import DISPUTES_MAX

AT = "runtime.jobs"
PPB = 10**9
BLOCKS_MAX = 10**6
MOVES_MAX = 5
"""Moves of a dispute, from the opening to the proof."""


def find_problems(config: runtime.Config) -> Iterator[Problem]:
    """Yield what is wrong with a spec's jobs; whoever asks stops at the first."""
    jobs, deposit = config.jobs, config.balances.existential_deposit
    for name in ("answer_blocks", "dispute_blocks"):
        if not 1 <= getattr(jobs, name) <= BLOCKS_MAX:
            yield f"{AT}.{name}", f"1 to {BLOCKS_MAX}"
    if not 1 <= jobs.disputes_max <= DISPUTES_MAX:
        yield f"{AT}.disputes_max", f"1 to {DISPUTES_MAX}"
    for name in ("bond_burned_ppb", "slash_ppb"):
        if not 0 <= getattr(jobs, name) <= PPB:
            yield f"{AT}.{name}", f"at most {PPB}"
    for name in ("bond", "service_deposit"):
        if getattr(jobs, name) < deposit:
            yield f"{AT}.{name}", f"at least {deposit}, the existential deposit"


def find_live_problems(config: runtime.Config) -> Iterator[Problem]:
    """Yield what is wrong where something is at stake; test chains may have any epochs."""
    jobs = config.jobs
    longest = jobs.dispute_blocks + MOVES_MAX * (jobs.answer_blocks + 1)
    unbonding = config.staking.unbonding_epochs * config.session.epoch_length
    if longest >= unbonding:
        # A provider's bond must still be there when the last dispute over its work ends.
        yield f"{AT}.dispute_blocks", f"such that a dispute ends within {unbonding} blocks"
