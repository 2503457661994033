"""Lives of a whole chain: proofs, faults, leases, slashes, rewards and offences, all together.

Providers work, slack and lie; clients buy, extend and end; validators contradict themselves. After
every block all invariants of all modules hold, among them supply = genesis + paid - burned <=
genesis + pot, and a book that is kept from the events alone says how many tokens there are.
"""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from primitives.types import AccountId, Balance, Digest, PublicKey
from runtime.pocps.module import Pocps
from runtime.pools.module import Pools
from runtime.pools.parameters import DEFAULT_CURVE, PARAMETERS, PoolParameters, parameters_of
from tests.runtime.pocps.proof_chain import (
    COMMIT,
    LENGTH,
    POCPS,
    RESPOND,
    SAMPLE,
    ProofChain,
    genesis_providers,
)
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE, LOOP, SPEC, extrinsic
from tests.runtime.staking.accounted_chain import TokenBook
from tests.runtime.staking_chain import evidence, keys_call

PROVIDERS = ((BOB, 1), (CHARLIE, 1), (DAVE, 2), (EVE, 2))
CLIENTS = (ALICE, FERDIE)
PEOPLE = (ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE)
UNITS = 36
HOUR = 25
KEY = PublicKey(bytes([7]) * 32)
LIMIT = Balance(1000 * LOOP)
RULE = PARAMETERS.to_plain(parameters_of(PoolParameters(DEFAULT_CURVE)))
JUNK = Digest(b"no leaf that anyone computed....")
RARE = {"pocps.ClassCreated", "pocps.Deregistered", "pools.PoolClosed", "pools.UnitsLeft"}
"""Events that a life may miss: the spec has no governor; the others want much to come together."""

Wanted = tuple[AccountId, list[Any]]


@dataclass
class Plan:
    """What a provider does in an epoch."""

    leaves: list[Digest] = field(default_factory=list)
    answers: bool = False


class WholeLife:
    """One drawn life."""

    def __init__(self, seed: int) -> None:
        cpu = genesis_providers(BOB, CHARLIE, units=UNITS)
        store = genesis_providers(DAVE, EVE, class_id=2, units=UNITS)
        rewards = replace(SPEC.runtime.rewards, supply_base=4 * UNITS, recycle_shift=2)
        pocps = replace(POCPS, providers=(*cpu, *store), grant_epochs=10**6)
        self.chain = ProofChain(pocps, rewards=rewards)
        self.chain.author = ALICE
        self.book = TokenBook(self.chain)
        self.random = Random(seed)
        self.plans: dict[tuple[AccountId, int], Plan] = {}
        self.block([(BOB, keys_call(BOB, "Bob")), (BOB, ["staking.bond", 2000 * LOOP])])
        self.block([(BOB, ["staking.validate", 10**8])])

    def block(self, wanted: list[Wanted]) -> None:
        """Make a block of calls, some of which fail, and check everything."""
        execution = self.chain.start()
        for signer, call in wanted:
            nonce = execution.runtime.system.nonces[signer]
            execution.apply(extrinsic(signer, call, nonce))
        self.book.note(self.chain.finish(execution))
        self.book.check()

    def epoch(self) -> None:
        """Live through an epoch, from its first block on."""
        for place in range(self.chain.height % LENGTH + 1, LENGTH + 1):
            wanted = self._proofs(place)
            wanted += [self._draw() for _ in range(self.random.randint(0, 4))]
            self.block(wanted)

    def _proofs(self, place: int) -> list[Wanted]:
        if place == COMMIT - 1:
            return [call for each in PROVIDERS for call in self._commit(*each)]
        if place == self.random.choice((SAMPLE, RESPOND)) or place == RESPOND:
            return [call for each in PROVIDERS for call in self._respond(*each)]
        return []

    def _commit(self, who: AccountId, class_id: int) -> list[Wanted]:
        """Decide what a provider does in this epoch; most work honestly."""
        self.plans[who, class_id] = plan = Plan()
        known = self.chain.runtime.pocps.standings.find((class_id, who))
        kind = self.random.random()
        if known is None or not known.due or known.is_jailed or kind < 0.04:
            return []
        units = self.random.choice(known.claimable())
        plan.answers = kind > 0.07
        plan.leaves = self.chain.leaves(who, units, class_id) if units else []
        if kind > 0.97 and plan.leaves:
            plan.leaves = [JUNK] * len(plan.leaves)
        return [(who, self.chain.commit_call(who, units, class_id, plan.leaves or [JUNK]))]

    def _respond(self, who: AccountId, class_id: int) -> list[Wanted]:
        plan = self.plans.get((who, class_id), Plan())
        known = self.chain.runtime.pocps.standings.find((class_id, who))
        if not plan.answers or known is None or known.commitment is None or known.proven:
            return []
        if not known.commitment.units:
            return []
        return [(who, self.chain.respond_call(who, class_id, plan.leaves))]

    def _draw(self) -> Wanted:
        random, chain = self.random, self.chain
        kind = random.choice((self._market, self._market, self._supply, self._earn, self._stake))
        who, call = kind(random.choice(PEOPLE))
        if kind == self._earn and random.random() < 0.08:
            past = max(0, chain.epoch - random.randint(0, 2))
            return FERDIE, ["offences.report", evidence("Bob", past, random.randrange(2))]
        return who, call

    def _market(self, _: AccountId) -> Wanted:
        random, client = self.random, self.random.choice(CLIENTS)
        duration = random.choice((HOUR, HOUR, 2 * HOUR, 70, 3))
        pool = random.choice((0, 0, 1, 2))
        mine = self.chain.runtime.pools.leases_of[client] or (0,)
        lease = random.choice(mine)
        return client, random.choice(
            [
                ["pools.acquire", pool, random.randint(1, 3), duration, LIMIT, KEY],
                ["pools.acquire", pool, 1, HOUR, LIMIT, KEY],
                ["pools.acquire", pool, 1, 2 * HOUR, LIMIT, KEY],
                ["pools.acquire_basket", [[each, 1, duration, LIMIT, KEY] for each in (0, 1)]],
                ["pools.extend", lease, HOUR, LIMIT],
                ["pools.set_auto_extend", lease, random.choice((None, LIMIT))],
                ["pools.terminate", lease],
                ["pools.settle", lease],
            ]
        )

    def _supply(self, _: AccountId) -> Wanted:
        random = self.random
        who, class_id = random.choice(PROVIDERS)
        pool = random.choice((class_id - 1, class_id - 1, 2))
        joined = self.chain.runtime.pools.engaged[class_id, who]
        if joined is None and random.random() < 0.5:
            return who, ["pools.join", pool]
        return who, random.choice(
            [
                ["pools.join", pool],
                ["pools.create_pool", 1, 10_000 << 32, RULE],
                ["pools.close_pool", 2],
                ["pools.leave", pool, random.choice((1, UNITS))],
                ["pools.cancel_leave", pool],
                ["pools.claim", pool],
                ["pocps.register", class_id, random.choice((2, 20, UNITS))],
                ["pocps.register", class_id, UNITS],
                ["pocps.deregister", class_id, random.choice((2, UNITS))],
                ["pocps.withdraw", class_id],
                ["pocps.declare_maintenance", class_id, self.chain.epoch + 1, 1],
            ]
        )

    def _earn(self, who: AccountId) -> Wanted:
        past = max(0, self.chain.epoch - self.random.randint(1, 2))
        return who, self.random.choice(
            [
                ["rewards.claim", past],
                ["rewards.payout", self.random.choice((ALICE, BOB)), past],
                ["balances.transfer", self.random.choice(PEOPLE), LOOP],
            ]
        )

    def _stake(self, who: AccountId) -> Wanted:
        return who, self.random.choice(
            [
                ["staking.bond", 20 * LOOP],
                ["staking.nominate", BOB],
                ["staking.unbond", 5 * LOOP],
                ["staking.withdraw"],
                ["offences.unjail"],
                ["staking.validate", 10**8],
            ]
        )


def test_a_whole_chain_keeps_every_invariant_and_every_token() -> None:
    life = WholeLife(seed=1)

    for _ in range(25):
        life.epoch()

    met = life.book.events
    assert met["pools.Leased"] > 10
    assert min(met["pocps.Proven"], met["pocps.Faulted"], met["rewards.ProviderPaid"]) > 5
    assert met["pools.ShareLost"] > 0


@pytest.mark.slow
def test_a_long_life_of_a_whole_chain_meets_every_event_of_proofs_and_pools() -> None:
    life = WholeLife(seed=3)

    for _ in range(150):
        life.epoch()

    wanted = {f"{each.name}.{event.__name__}" for each in (Pocps, Pools) for event in each.events}
    assert wanted - RARE <= set(life.book.events)
