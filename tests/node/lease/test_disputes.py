"""Both ends of a lease and the chain between them, all in one process.

The provider's service and the client speak over a memory network; disputes are judged by the whole
runtime, on real leases and bonds.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from node.client.errors import ConnectionLost, NodeUnreachable
from node.client.node_client import NodeClient
from node.lease.chain import JobChain, Verdict
from node.lease.challenger import Challenger, DisputeNotOpened
from node.lease.client import JobOutcome
from node.lease.defender import Defender, load_job
from node.lease.job_store import JobStore, Quota, StoredJob
from node.lease.messages import Upload, blob_digest, parts_of
from node.lease.program import ChainBook, announce, until_reachable
from node.lease.session import NoSuchLease, NotServed, find_place
from node.provider.sender import NotSent
from p2p.identity import Address, peer_id_of_key
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.types import AccountId, Balance, Height, PublicKey
from runtime.executive import BlockExecution, ReadyExtrinsic
from runtime.jobs.moves import JobData
from runtime.jobs.network import Rows
from runtime.jobs.records import Dispute, Service
from runtime.pools.records import Lease
from tests.node.lease.lying_client import LyingChallenger
from tests.runtime.jobs.test_runtime import (
    CLIENT,
    NETWORK,
    PROVIDER,
    ROW,
    ROWS,
    job,
)
from tests.runtime.jobs.test_runtime import JobChain as LeasedChain
from tests.runtime.jobs.world import KEY
from tests.runtime.small_chain import GENESIS, extrinsic


class MemoryChain(JobChain):
    """Reads a chain in memory as if a node had been asked; a block passes with every look.

    The programs ask from threads of their own: one at a time. While the provider's program is at
    work no block passes but its own, however slow the machine is.
    """

    def __init__(self, chain: LeasedChain) -> None:
        super().__init__(cast(NodeClient, None))
        self.chain = chain
        self.settled: list[list[Any]] = []
        self.troubles = 0
        self.is_answered = True
        """Whether the provider's program runs."""
        self.turn = RLock()

    def height(self) -> Height:
        with self.turn:
            return self.chain.height

    def lease(self, lease_id: int) -> Lease | None:
        with self.turn:
            return self.chain.runtime.pools.lease(lease_id)

    def service(self, provider: AccountId) -> Service | None:
        with self.turn:
            return self.chain.runtime.jobs.services[provider]

    def dispute(self, number: int) -> Dispute | None:
        if self.troubles:
            self.troubles -= 1
            raise NodeUnreachable("away for a moment")
        with self.turn:
            found = self.chain.runtime.jobs.disputes[number]
            if found is not None and not (self.is_answered and found.phase.is_providers_turn):
                self.pass_block()
            return self.chain.runtime.jobs.disputes[number]

    def disputed(self, lease_id: int, provider: AccountId) -> int:
        with self.turn:
            return self.chain.runtime.jobs.disputed[lease_id, provider]

    def revealed(self, number: int) -> bytes:
        with self.turn:
            return self.chain.runtime.jobs.revealed[number]

    def open_disputes(self) -> list[int]:
        with self.turn:
            return [number for _, number in self.chain.runtime.jobs.waiting.get()]

    def find_verdict(self, number: int, height: Height) -> tuple[Verdict | None, Height]:
        for found, _, _, _, reason, taken in self.settled:
            if found == number:
                is_won = reason in ("wrong_result", "no_answer")
                return Verdict(number, self.chain.height, is_won, reason, Balance(taken)), height
        return None, height

    def pass_block(self, *calls: tuple[AccountId, Any]) -> list[str]:
        """Make a block, and note how disputes end in it; return the errors of the calls."""
        with self.turn:
            return self._pass_block(calls)

    def _pass_block(self, calls: Sequence[tuple[AccountId, Any]]) -> list[str]:
        execution = self.chain.start()
        begun = execution._receipts[0].events
        receipts = [execution.apply(_signed(execution, signer, call)) for signer, call in calls]
        self.chain.finish(execution)
        for events in (begun, *(receipt.events for receipt in receipts)):
            for each in events:
                if isinstance(each, list) and each[0] == "jobs.DisputeSettled":
                    self.settled.append(each[1:])
        return [receipt.error for receipt in receipts]


def _signed(execution: BlockExecution, signer: AccountId, call: Any) -> ReadyExtrinsic:
    return extrinsic(signer, call, execution.runtime.system.nonces[signer])


class BlockPost:
    """Puts each call into a block of its own."""

    def __init__(self, chain: MemoryChain, account: AccountId) -> None:
        self.chain, self.account = chain, account
        self.sent: list[str] = []

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        assert isinstance(call, list)
        (error,) = self.chain.pass_block((self.account, call))
        if error:
            raise NotSent(error)
        self.sent.append(str(call[0]))
        return 1


class LostPost(BlockPost):
    """Sends nothing anywhere."""

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        while self.chain.height() <= valid_until:
            self.chain.pass_block()
        return 0


class Game:
    """A job done by the provider, stored by it, and signed."""

    def __init__(self, folder: Path, data: JobData) -> None:
        self.leased = LeasedChain(answer_blocks=8)
        self.chain = MemoryChain(self.leased)
        result = self.leased.result(data)
        self.outcome = JobOutcome(data, result)
        self.store = JobStore(folder, Quota())
        lease_id = self.leased.lease_id
        digests = []
        for blob in (NETWORK.encode(), ROWS.tobytes()):
            digests.append(blob_digest(blob))
            for offset, part in parts_of(blob):
                self.store.accept(Upload(lease_id, digests[-1], len(blob), offset, part))
        self.store.keep_job(result.commitment, *digests)
        self.client, self.provider = BlockPost(self.chain, CLIENT), BlockPost(self.chain, PROVIDER)
        self.said: list[str] = []

    async def play(
        self,
        load: Callable[[StoredJob], JobData] | None = load_job,
        challenger_type: type[Challenger] = Challenger,
    ) -> Verdict:
        """Let both programs play; without ``load`` the provider's is switched off."""
        challenger = challenger_type(self.chain, self.client, self.outcome, self.said.append)
        async with trio.open_nursery() as nursery:
            self.chain.is_answered = load is not None
            if load is not None:
                defender = Defender(self.chain, self.store, self.provider, load)
                nursery.start_soon(defender.run)
            verdict = await challenger.play(ROW)
            nursery.cancel_scope.cancel()
        return verdict


def lie(outputs: Rows) -> Callable[[StoredJob], JobData]:
    """Return what a provider defends that has committed to ``outputs``."""
    return lambda stored: JobData(load_job(stored).network, load_job(stored).inputs, outputs)


async def test_the_clients_program_wins_over_a_wrong_row(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    wrong = job(wrong_at=1)
    game = Game(tmp_path, wrong)

    verdict = await game.play(lie(wrong.outputs))

    assert verdict.is_won
    assert verdict.reason == "wrong_result"
    assert verdict.taken > 0
    assert game.client.sent == ["jobs.dispute", "jobs.choose_layer", "jobs.prove"]
    assert game.provider.sent == ["jobs.answer", "jobs.reveal"]
    assert game.said[0] == "dispute 1 over row 2 is open"


async def test_the_providers_program_wins_against_a_client_that_lies(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job())

    verdict = await game.play()

    assert not verdict.is_won
    assert verdict.reason == "given_up"
    assert game.provider.sent == ["jobs.answer"]


async def test_the_providers_program_wins_against_a_client_that_plays_a_lie_to_its_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job())

    verdict = await game.play(challenger_type=LyingChallenger)

    assert not verdict.is_won
    assert verdict.reason == "right_result"
    assert verdict.taken > 0
    assert game.client.sent == ["jobs.dispute", "jobs.choose_layer", "jobs.prove"]
    assert game.provider.sent == ["jobs.answer", "jobs.reveal"]


async def test_a_provider_that_is_switched_off_loses(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job())

    verdict = await game.play(load=None)

    assert verdict.is_won
    assert verdict.reason == "no_answer"


async def test_a_provider_whose_honest_answer_does_not_fit_its_signature_loses(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job(wrong_at=0))

    verdict = await game.play()

    assert verdict.reason == "no_answer"
    assert game.provider.sent == []


async def test_a_game_goes_on_after_the_node_was_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    wrong = job(wrong_at=1)
    game = Game(tmp_path, wrong)
    game.chain.troubles = 3

    assert (await game.play(lie(wrong.outputs))).is_won
    assert any(said.startswith("again in a moment") for said in game.said)


async def test_a_dispute_that_the_chain_refuses_is_not_played(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job())

    with pytest.raises(DisputeNotOpened, match="RowOutOfRange"):
        await Challenger(game.chain, game.client, game.outcome, game.said.append).play(len(ROWS))


async def test_a_dispute_that_no_block_takes_is_not_played(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    game = Game(tmp_path, job())
    post = LostPost(game.chain, CLIENT)

    with pytest.raises(DisputeNotOpened, match="no block"):
        await Challenger(game.chain, post, game.outcome, game.said.append).play(ROW)


async def test_a_job_that_is_not_stored_is_not_answered(tmp_path: Path) -> None:
    game = Game(tmp_path / "one", job())
    game.leased.open(job())
    empty = JobStore(tmp_path / "two", Quota())

    await Defender(game.chain, empty, game.provider).look()

    assert game.provider.sent == []


async def test_a_job_that_cannot_be_read_stops_no_defender(tmp_path: Path) -> None:
    game = Game(tmp_path, job())
    game.leased.open(job())
    commitment = game.outcome.result.commitment
    stored = game.store.find_job(commitment.lease_id, commitment.inputs, commitment.outputs)
    assert stored is not None
    stored.inputs.unlink()

    await Defender(game.chain, game.store, game.provider).look()

    assert game.provider.sent == []


class ServicePost(BlockPost):
    """Is refused the first time."""

    is_first = True

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        if self.is_first:
            self.is_first = False
            raise NotSent("the mempool is full")
        return await super().send(call, valid_until, raise_tip=raise_tip, tip_max=tip_max)


async def test_a_service_is_announced_until_the_chain_says_so_and_only_then(
    autojump_clock: MockClock,
) -> None:
    chain, key = MemoryChain(LeasedChain()), KeyPair(bytes([5]) * 32)
    post = ServicePost(chain, PROVIDER)
    address = Address("/ip4/192.0.2.9/tcp/30400")

    await announce(chain, post, key, (address,))
    await announce(chain, post, key, (address,))

    service = chain.service(PROVIDER)
    assert service is not None
    assert (service.key, service.addresses) == (key.public, (address,))
    assert post.sent == ["jobs.announce"]


async def test_a_node_that_is_away_is_waited_for(autojump_clock: MockClock) -> None:
    failures = [NodeUnreachable("away"), ConnectionLost("cut")]

    def ask() -> int:
        if failures:
            raise failures.pop()
        return 7

    assert await until_reachable(ask) == 7


async def test_a_book_shows_the_provider_its_own_leases_alone() -> None:
    leased = LeasedChain()
    chain = MemoryChain(leased)
    book = ChainBook(chain, PROVIDER, GENESIS)

    lease = await book.find(leased.lease_id)

    assert lease is not None
    assert lease.client == CLIENT
    assert lease.key == PublicKey(CLIENT)
    assert lease.ends > await book.height()
    assert await book.find(leased.lease_id + 1) is None
    assert await ChainBook(chain, CLIENT, GENESIS).find(leased.lease_id) is None


def test_a_client_finds_where_its_lease_is_served() -> None:
    leased = LeasedChain()
    chain = MemoryChain(leased)

    place = find_place(chain, leased.lease_id, None)

    assert place.provider == PROVIDER
    assert place.peer == peer_id_of_key(KEY.public)
    assert place.addresses == ("/ip4/192.0.2.1/tcp/30400",)
    with pytest.raises(NoSuchLease):
        find_place(chain, leased.lease_id + 1, None)
    with pytest.raises(NotServed):
        find_place(chain, leased.lease_id, CLIENT)


def test_addresses_that_nobody_can_dial_are_left_out() -> None:
    leased = LeasedChain()
    mixed = ["/ip4/192.0.2.1/udp/1", "/dns4/example.org/tcp/30400", "/nonsense"]
    leased.do(PROVIDER, "jobs.announce", KEY.public, mixed)

    place = find_place(MemoryChain(leased), leased.lease_id, PROVIDER)

    assert place.addresses == ("/dns4/example.org/tcp/30400",)
