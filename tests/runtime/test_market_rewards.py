"""Rewards of a chain whose capacity is proven and sold: what use and prices make of them."""

from dataclasses import replace

from primitives.types import AccountId, Balance, Epoch, PublicKey
from runtime.pools.records import ESCROW, pool_account
from runtime.rewards import ramp_ppb
from tests.runtime.pocps.proof_chain import LENGTH, POCPS, ProofChain, genesis_providers
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, SPEC, find_event

CPU, STORAGE = 0, 1
"""The pools of genesis, of the classes 1 and 2."""
PPB = 10**9
HOUR = 25
"""Blocks of the shortest lease."""
REWARDS = replace(SPEC.runtime.rewards, supply_base=8)
KEY = PublicKey(bytes([7]) * 32)


class SellingChain(ProofChain):
    """Bob proves compute and Charlie storage, epoch after epoch; both supply a pool."""

    def __init__(self, reward_max: Balance = POCPS.classes[0].reward_max) -> None:
        providers = (*genesis_providers(BOB), *genesis_providers(CHARLIE, class_id=2))
        classes = tuple(replace(each, reward_max=reward_max) for each in POCPS.classes)
        super().__init__(replace(POCPS, providers=providers, classes=classes), rewards=REWARDS)
        self.author = ALICE
        self.prove_all()
        self.next_epoch()
        self.do(BOB, "pools.join", CPU)
        self.do(CHARLIE, "pools.join", STORAGE)

    def prove_all(self) -> None:
        """Let both do this epoch's work."""
        calls = [
            (who, self.commit_call(who, self.provider(who, class_id).claimable()[1], class_id))
            for who, class_id in ((BOB, 1), (CHARLIE, 2))
        ]
        assert [receipt.error for receipt in self.block(*calls)] == ["", ""]
        self.to_place(4)
        calls = [
            (who, self.respond_call(who, class_id)) for who, class_id in ((BOB, 1), (CHARLIE, 2))
        ]
        assert [receipt.error for receipt in self.block(*calls)] == ["", ""]

    def end_epoch(self) -> Epoch:
        """Prove, and let the epoch end; return which it was."""
        ended = self.epoch
        if self.height % LENGTH <= 2:
            self.prove_all()
        self.next_epoch()
        return ended

    def compute_part(self, epoch: Epoch) -> int:
        return self.runtime.rewards.allotment_of(epoch).compute

    def claim(self, who: AccountId, epoch: Epoch) -> tuple[int, int]:
        """Return what was paid and what the ramp kept back."""
        found = find_event([self.do(who, "rewards.claim", epoch)], "rewards.ProviderPaid")
        return found[2], found[3]


def test_classes_are_paid_by_their_average_price_and_their_proven_units() -> None:
    chain = SellingChain()
    epoch = chain.end_epoch()
    tallies = {each.class_id: each.price for each in chain.runtime.pools.class_tallies(epoch)}
    assert set(tallies) == {1, 2}
    worth = {who: tallies[class_id] * 4 for who, class_id in ((BOB, 1), (CHARLIE, 2))}
    whole = chain.compute_part(epoch)

    for who in (BOB, CHARLIE):
        paid, withheld = chain.claim(who, epoch)

        part = whole * worth[who] // sum(worth.values())
        assert paid + withheld == part > 0
        assert paid == part * ramp_ppb(epoch, REWARDS.ramp_epochs) // PPB
        assert chain.held(who, "staking.bond") >= paid


def test_units_earn_no_more_than_their_bonds_were_made_for() -> None:
    """However high the price: with more to gain than the bond covers, faking would pay."""
    chain = SellingChain(Balance(1000))
    epoch = chain.end_epoch()

    paid, withheld = chain.claim(BOB, epoch)

    assert chain.compute_part(epoch) > 2 * 4 * 1000
    assert paid + withheld == 4 * 1000
    # The rest stays unpaid, and returns to the pot with the epoch's record.
    assert chain.runtime.rewards.allotment_of(epoch).unpaid >= chain.compute_part(epoch) - paid


def test_what_the_spec_grants_earns_nothing_once_pools_sell() -> None:
    chain = SellingChain()
    epoch = chain.end_epoch()

    assert ALICE in {each.account for each in SPEC.runtime.compute}
    assert chain.error(ALICE, "rewards.claim", Epoch(0)) == ""
    assert chain.error(ALICE, "rewards.claim", epoch) == "rewards.NothingEarned"


def test_an_epoch_in_which_capacity_is_used_mints_more_than_an_idle_one() -> None:
    idle, used = SellingChain(), SellingChain()
    used.do(DAVE, "pools.acquire", CPU, 1, HOUR, 10**17, KEY)
    idle.block()
    epochs = idle.end_epoch(), used.end_epoch()

    usage = used.runtime.rewards.sources.market
    assert epochs[0] == epochs[1]
    assert usage.prices(epochs[0])
    minted = [sum(_parts(chain, epochs[0])) for chain in (idle, used)]
    assert 0 < minted[0] < minted[1]


def test_the_burn_of_a_lease_is_recycled_in_its_share_and_no_more() -> None:
    chain = SellingChain()
    chain.do(DAVE, "pools.acquire", CPU, 1, HOUR, 10**17, KEY)
    chain.do(DAVE, "pools.settle", 0)
    before, books = chain.runtime.rewards.burned.get(), chain.runtime.pools.books[CPU]

    receipt = chain.do(DAVE, "pools.terminate", 0)

    burned_by_lease = chain.runtime.pools.books[CPU].burned - books.burned
    burned_by_fee = receipt.fee - receipt.fee * SPEC.runtime.fees.burned_ppb // PPB
    rewards = chain.runtime.rewards
    assert burned_by_lease > 0
    assert rewards.burned.get() - before == burned_by_lease + burned_by_fee
    reserve = rewards.reserve.get()
    recycled = (rewards.recycled.get() + reserve.recyclable) * PPB + reserve.burn_remainder
    assert recycled == rewards.burned.get() * REWARDS.recycled_ppb


def test_what_a_lease_pays_is_where_its_books_say() -> None:
    chain = SellingChain()
    before = chain.free(DAVE)
    receipt = chain.do(DAVE, "pools.acquire", CPU, 1, 2 * HOUR, 10**17, KEY)
    paid = before - chain.free(DAVE) - receipt.fee
    for _ in range(4):
        chain.block()
    chain.do(DAVE, "pools.terminate", 0)
    chain.do(BOB, "pools.claim", CPU)

    books = chain.runtime.pools.books[CPU]

    assert books.paid_in == paid
    assert books.refunded + books.burned + books.claimed + books.kept == paid
    assert chain.held(pool_account(CPU), ESCROW) == books.kept
    assert min(books.refunded, books.burned, books.claimed) > 0


def test_supply_never_exceeds_genesis_and_pot() -> None:
    chain = SellingChain()
    genesis = chain.runtime.rewards.endowed.get()

    for _ in range(3):
        epoch = chain.end_epoch()
        chain.do(BOB, "rewards.claim", epoch)
        chain.do(DAVE, "rewards.payout", ALICE, epoch)

    supply = chain.runtime.balances.total_issuance.get()
    rewards = chain.runtime.rewards
    assert supply == genesis + rewards.issued.get() - rewards.burned.get()
    assert supply <= genesis + Balance(REWARDS.pot)
    assert rewards.issued.get() > 0


def _parts(chain: ProofChain, epoch: Epoch) -> tuple[int, int, int]:
    allotment = chain.runtime.rewards.allotment_of(epoch)
    return allotment.authors, allotment.voters, allotment.compute
