"""What a hostile provider tries in order to be counted without doing the work."""

from dataclasses import replace

from primitives.types import AccountId, Balance, Epoch, Millis, PublicKey
from tests.runtime.pocps.proof_chain import POCPS, RESPOND, SAMPLE, ProofChain, genesis_providers
from tests.runtime.small_chain import BOB, CHARLIE, SPEC

KEY = PublicKey(bytes([7]) * 32)
POOL = 0
UNITS = 4
ROOT = bytes(32)
POOLS = replace(SPEC.runtime.pools, market_interval=Millis(3_600_000))
"""A market hour, the shortest lease, is one block."""
REWARDS = replace(SPEC.runtime.rewards, supply_base=8)


class SelfLeaser(ProofChain):
    """Bob has proven once, supplies the pool, and Charlie is Bob's other name."""

    def __init__(self) -> None:
        pocps = replace(POCPS, providers=genesis_providers(BOB, units=UNITS))
        super().__init__(pocps, pools=POOLS, rewards=REWARDS)
        self.prove(BOB)
        self.next_epoch()
        self.do(BOB, "pools.join", POOL)
        self.prove(BOB)
        # The last blocks of the epoch: as many leases as there are units, one a block.
        self.to_place(9 - UNITS)
        for place in range(UNITS):
            self.acquire(UNITS - place + 1)

    def acquire(self, duration: int) -> None:
        self.do(CHARLIE, "pools.acquire", POOL, 1, duration, 10**15, KEY)

    def claim_error(self, epoch: Epoch) -> str:
        return self.error(BOB, "rewards.claim", epoch)


def operations(chain: ProofChain, account: AccountId, epoch: Epoch) -> int:
    return chain.runtime.pocps.proven_operations(account, epoch)


def test_units_leased_to_oneself_over_the_commitments_give_no_vote_and_no_reward() -> None:
    chain = SelfLeaser()
    epoch = chain.epoch
    assert chain.provider(BOB).claimable() == (0, UNITS)

    chain.do(BOB, "pocps.commit", 1, 0, ROOT)

    assert operations(chain, BOB, epoch) == 0
    assert chain.runtime.pocps.units_in(1, BOB, epoch) == 0
    chain.next_epoch()
    assert chain.claim_error(epoch) == "rewards.NothingEarned"


def test_units_that_were_only_served_stand_no_longer_than_their_lease() -> None:
    chain = SelfLeaser()
    chain.do(BOB, "pocps.commit", 1, 0, ROOT)
    assert chain.provider(BOB).proven == UNITS
    chain.block()
    assert chain.runtime.pools.desk.state(POOL).leased == 0
    assert chain.provider(BOB).proven == 0

    chain.next_epoch()
    chain.block()

    assert chain.live(BOB) == 0
    assert chain.runtime.pools.desk.state(POOL).supply == 0
    # The sign of life was given: that is no fault.
    assert chain.faults(BOB) == ()


def test_a_unit_that_is_served_through_the_epoch_stands_until_its_lease_ends() -> None:
    chain = SelfLeaser()
    chain.do(CHARLIE, "pools.extend", 0, 18, 10**15)
    chain.do(BOB, "pocps.commit", 1, 0, ROOT)
    epoch = chain.epoch
    chain.next_epoch()
    chain.block()
    assert (chain.live(BOB), chain.runtime.pools.desk.state(POOL).supply) == (1, 1)
    assert operations(chain, BOB, epoch) == 0

    chain.do(CHARLIE, "pools.terminate", 0)
    chain.block()

    assert (chain.live(BOB), chain.runtime.pools.desk.state(POOL).supply) == (0, 0)


def test_who_serves_and_proves_all_the_same_is_paid_for_all_units() -> None:
    chain = SelfLeaser()
    epoch = chain.epoch
    chain.do(BOB, *chain.commit_call(BOB, UNITS))
    chain.to_place(SAMPLE)
    chain.do(BOB, *chain.respond_call(BOB))
    assert chain.runtime.pocps.units_in(1, BOB, epoch) == UNITS
    chain.next_epoch()
    assert chain.claim_error(epoch) == ""
    assert chain.live(BOB) == UNITS


def test_a_sign_of_life_is_nothing_to_respond_to() -> None:
    chain = SelfLeaser()
    chain.do(BOB, "pocps.commit", 1, 0, ROOT)
    chain.to_place(RESPOND)
    weight = 10**8
    assert chain.error(BOB, "pocps.respond", 1, [], weight) == "pocps.NotCommitted"
    assert chain.held(BOB, "pocps.bond") == UNITS * POCPS.classes[0].bond_per_unit
    assert Balance(chain.held(BOB, "pocps.slash")) == 0
