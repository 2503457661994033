"""What a peer sends to a whole node: what is charged, what is held back, and what is neither."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.simplex.messages import Nullify, Request, encode_message
from node.extrinsic_relay import KNOWN_MAX, KNOWN_TOTAL_MAX
from node.node_network import REQUESTS
from node.wire import EXTRINSICS_REQUEST as ASK
from node.wire import ExtrinsicsRequest, encode_extrinsics
from p2p.faults import Fault, RequestRefused
from p2p.identity import PeerId, peer_id_of_seed
from p2p.memory import MemoryNetwork
from primitives.block import IMMORTAL, encode_signed
from primitives.codec import encode
from primitives.crypto import Purpose, keyed_hash
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Balance, Digest, Epoch, Nonce, Signature, View
from tests.chain.small_chains import LOOP, sign, small_spec
from tests.node.town import NAMES, Town, TownNode, determined


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


class Stranger:
    """A peer that takes what it is sent and answers nothing."""

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None: ...

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        if name:
            raise RequestRefused("not held")
        yield b""

    def on_peer_up(self, peer: PeerId) -> None: ...
    def on_peer_down(self, peer: PeerId, reason: str) -> None: ...
    def on_record(self, peer: PeerId, record: bytes) -> None: ...
    def is_allowed(self, peer: PeerId) -> bool:
        return True


@dataclass
class Scene:
    town: Town
    victim: TownNode
    stranger: MemoryNetwork

    def send(self, channel: str, *frames: bytes) -> None:
        for frame in frames:
            self.stranger.send(self.victim.peer, channel, frame)

    def is_banned(self) -> bool:
        return any(ban.peer == self.stranger.peer for ban in self.victim.network.bans())

    def call(self, name: str, nonce: int, amount: int = LOOP) -> bytes:
        prefix = self.victim.small.small.prefix
        plain = ["balances.transfer", bytes(32), amount]
        return sign(prefix, derive_key_pair(f"//{name}"), nonce, plain)  # type: ignore[arg-type]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    town = Town(folder, small_spec(NAMES[:1]))
    async with town.living("Alice"), trio.open_nursery() as nursery:
        await town.wait_height(1)
        stranger = MemoryNetwork(town.hub, peer_id_of_seed(b"s" * 32), Stranger(), REQUESTS)
        await nursery.start(stranger.run)
        yield Scene(town, town["Alice"], stranger)
        nursery.cancel_scope.cancel()


def unsigned() -> bytes:
    return encode([1, ["timestamp.set", 5]])


async def test_bytes_that_are_no_message_are_charged_on_both_channels(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        here.send("vote", b"\xc1")
        here.send("bulk", b"\xc1")
        await trio.sleep(1)

        assert here.victim.network.faults() == {Fault.BAD_BYTES: 2}
        assert here.is_banned()


@pytest.mark.parametrize("items", [[b"\xc1"], [unsigned()], [b""]])
async def test_extrinsics_that_no_mempool_holds_are_charged_once_a_batch(
    tmp_path: Path, clock: trio.testing.MockClock, items: list[bytes]
) -> None:
    async with scene(tmp_path) as here:
        here.send("bulk", encode_extrinsics(items * 5))
        await trio.sleep(1)

        assert here.victim.network.faults() == {Fault.BAD_BYTES: 1}


async def test_forged_signatures_are_charged(tmp_path: Path, clock: trio.testing.MockClock) -> None:
    async with scene(tmp_path) as here:
        forged = encode_signed(
            signer=AccountId(bytes(32)),
            nonce=Nonce(0),
            valid_until=IMMORTAL,
            tip=Balance(0),
            call=["balances.transfer", bytes(32), 1],
            signature=Signature(bytes(64)),
        )
        here.send("bulk", encode_extrinsics([forged]))
        await trio.sleep(1)
        assert here.victim.network.faults() == {Fault.INVALID_SIGNATURE: 1}
        assert here.is_banned()


async def test_vote_that_nobody_signed_is_charged(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        view = View(here.victim.small.driver.view + 1)
        forged = Nullify(Epoch(0), view, 0, Signature(bytes(64)))
        here.send("vote", encode_message(forged))
        await trio.sleep(0.5)

        assert here.victim.network.faults() == {Fault.INVALID_SIGNATURE: 1}


async def test_extrinsics_that_are_refused_here_and_now_cost_no_score(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        nobody_pays = [here.call("Nobody", nonce) for nonce in range(3)]
        far_ahead = [here.call("Bob", 10**6)]
        good = here.call("Bob", 0)
        here.send("bulk", encode_extrinsics([*nobody_pays, *far_ahead, good]))
        here.send("bulk", encode_extrinsics([good]))
        await trio.sleep(3)
        here.send("bulk", encode_extrinsics([good]))  # its nonce is used by now
        await trio.sleep(1)

        assert not here.victim.network.faults()
        assert not here.is_banned()
        assert here.victim.has_final(keyed_hash(Purpose.EXTRINSIC, good))


async def test_flood_of_refused_extrinsics_is_held_back_and_the_chain_goes_on(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        refused = [here.call("Nobody", nonce) for nonce in range(200)]
        frame = encode_extrinsics(refused)
        checked = 0
        submit = here.victim.small.service.intake.submit

        async def counted(items: list[bytes]) -> object:
            nonlocal checked
            checked += len(items)
            return await submit(items)

        here.victim.small.service.intake.submit = counted  # type: ignore[method-assign,assignment]
        before = here.victim.height
        for _ in range(100):
            here.send("bulk", frame)
        await trio.sleep(10)

        # 10 000 at once and 5000 a second, and a refused one counts for eleven.
        assert checked <= (10_000 + 10 * 5000) / 11 + 2 * len(refused)
        assert here.victim.height >= before + 8
        assert not here.is_banned()


async def test_flood_of_questions_is_held_back_and_the_chain_goes_on(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        heard = 0
        receive = here.victim.small.driver.receive

        def counted(peer: object, data: bytes) -> bool:
            nonlocal heard
            heard += 1
            return receive(peer, data)  # type: ignore[arg-type]

        here.victim.small.driver.receive = counted  # type: ignore[method-assign]
        question = encode_message(Request(Epoch(0), View(1), View(9)))
        before = here.victim.height
        here.send("vote", *([question] * 4000))
        await trio.sleep(5)

        assert heard <= 1000 + 5 * 300 + 1
        assert here.victim.height >= before + 4
        assert not here.is_banned()


async def test_request_for_one_place_many_times_is_charged(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        payload = ASK.encode(ExtrinsicsRequest(Digest(bytes(32)), (0,) * 1000))

        async def ask() -> None:
            async with here.stranger.request(here.victim.peer, "extrinsics", payload) as answers:
                async for _ in answers:
                    pass

        with pytest.raises(RequestRefused):
            await ask()

        assert here.victim.network.faults() == {Fault.BAD_BYTES: 1}


async def test_what_is_remembered_of_a_peer_is_bounded(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        relay, peer = here.victim.parts.relay, here.stranger.peer
        relay.note_known(peer, (Digest(n.to_bytes(32, "big")) for n in range(2 * KNOWN_MAX)))
        relay.note_known(PeerId("unknown"), [Digest(bytes(32))])

        assert len(relay._known[peer]) == KNOWN_MAX
        assert PeerId("unknown") not in relay._known
        here.stranger.disconnect(here.victim.peer, "gone")
        assert peer not in relay._known


async def test_many_peers_share_what_is_remembered_of_them(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    hashes = [Digest(n.to_bytes(32, "big")) for n in range(KNOWN_TOTAL_MAX // 50)]
    async with scene(tmp_path) as here:
        relay = here.victim.parts.relay
        relay._known |= {PeerId(f"peer {number}"): {} for number in range(99)}
        each = KNOWN_TOTAL_MAX // len(relay._known)

        relay.note_known(PeerId("peer 5"), hashes)

        assert list(relay._known[PeerId("peer 5")]) == hashes[-each:]
