"""Whole networks over loopback: who finds whom, who is let in, who is left."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2p.faults import DialFailed, Fault, NotConnected, RequestRefused
from p2p.host import Listen
from p2p.identity import PeerId
from p2p.peers import BOOK_FILE, PeerLimits
from p2p.scores import Rules
from primitives.errors import ConfigError
from primitives.types import Digest
from tests.p2p.nodes import (
    LOOPBACK,
    OPEN,
    Links,
    Node,
    Recorder,
    mesh,
    our_host,
    peer_id,
    seed,
)
from tests.p2p.wires import until

GUARDED = (Listen(LOOPBACK, is_open=False),)


@asynccontextmanager
async def started(*nodes: Node) -> AsyncGenerator[trio.Nursery, None]:
    """Run nodes for as long as the block lasts, a minute at most."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                await nursery.start(node.network.run)
            yield nursery
            nursery.cancel_scope.cancel()


async def all_connected(*nodes: Node) -> None:
    await until(lambda: all(len(node.network.connected()) == len(nodes) - 1 for node in nodes))


async def test_validators_form_a_full_mesh_dialed_by_the_larger_id(tmp_path: Path) -> None:
    nodes = [Node(number, tmp_path, listen=GUARDED) for number in range(4)]
    async with started(*nodes):
        mesh(*nodes)
        await all_connected(*nodes)

        for node in nodes:
            for peer in node.network.stats().peers:
                assert peer.is_dialer == (node.peer > peer.peer)
            assert sorted(node.handler.ups) == list(node.network.connected())


async def test_frames_and_requests_cross_the_mesh(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    async with started(one, two):
        mesh(one, two)
        await all_connected(one, two)

        assert one.network.broadcast("vote", b"vote") == 1
        assert two.network.send(one.peer, "bulk", bytes(2_000_000), droppable=True)
        async with one.network.request(two.peer, "blocks", b"7") as answers:
            assert [body async for body in answers] == [b"blocks", b"blocks7", b"blocks77"]
        await until(lambda: bool(one.handler.frames and two.handler.frames))

        assert two.handler.frames == [(one.peer, "vote", b"vote")]
        assert one.handler.frames == [(two.peer, "bulk", bytes(2_000_000))]
        stats = one.network.stats().peers[0]
        assert stats.peer == two.peer
        assert stats.channels["vote"].frames_out == 1
        assert stats.channels["bulk"].bytes_in >= 2_000_000
        assert stats.bytes_read > 2_000_000


class Refusing(Recorder):
    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        if payload:
            raise RequestRefused("pruned below 100")
        yield b""


async def test_refused_request_leaves_the_connection_alone(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path, handler=Refusing())
    async with started(one, two):
        mesh(one, two)
        await all_connected(one, two)

        for _ in range(20):
            with pytest.raises(RequestRefused, match="pruned below 100"):
                async with one.network.request(two.peer, "blocks", b"7") as answers:
                    await anext(answers)

        assert one.network.connected() == (two.peer,)


async def test_many_requests_leave_no_streams_behind(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    async with started(one, two):
        mesh(one, two)
        await all_connected(one, two)

        async def ask() -> None:
            for _ in range(6):
                async with one.network.request(two.peer, "blocks", b"7") as answers:
                    assert len([body async for body in answers]) == 3

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)

        for node, peer in ((one, two), (two, one)):
            muxed = node.network._sessions[peer.peer].link.muxed
            await until(lambda muxed=muxed: len(muxed.streams) == 2)  # type: ignore[misc]
            assert muxed.stream_backlog_semaphore.value >= 254


async def test_peer_that_is_not_connected_is_neither_asked_nor_dialed(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    async with started(one, two):
        one.network._peers.book.pin(two.peer, two.network.addresses)
        one.network._peers._back_off.ended(two.peer, lasted=0, is_validator=False, now=1e18)

        with pytest.raises(NotConnected):
            one.network.request(two.peer, "blocks", b"7")
        assert not one.network.send(two.peer, "vote", b"vote")
        assert one.network.broadcast("vote", b"vote") == 0


async def test_node_that_comes_back_is_met_again(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    async with started(one):
        async with started(two):
            mesh(one, two)
            await all_connected(one, two)
            where = two.network.addresses
        await until(lambda: one.network.connected() == ())
        again = Node(2, tmp_path, listen=(Listen(where[0]),))
        async with started(again):
            again.network.set_validators({one.peer: one.network.addresses, again.peer: where})
            await all_connected(one, again)

    assert one.handler.ups == [two.peer, two.peer]
    assert [peer for peer, _ in one.handler.downs] == [two.peer]


async def test_newer_connection_of_one_peer_supersedes_the_older(tmp_path: Path) -> None:
    smaller, larger = sorted((1, 2), key=peer_id)
    node = Node(smaller, tmp_path)
    twins = [Node(larger, tmp_path / str(number)) for number in range(2)]
    async with started(node, *twins):
        for twin in twins:  # the second is the same machine after a crash that nobody noticed
            before = len(node.handler.ups)
            twin.network.set_validators({node.peer: node.network.addresses, twin.peer: ()})
            await until(lambda before=before: len(node.handler.ups) > before)  # type: ignore[misc]
            twin.network.set_validators({})

        node.network.broadcast("vote", b"to the newer")
        await until(lambda: bool(twins[1].handler.frames))

        assert twins[0].handler.frames == []
        assert node.handler.downs[0] == (twins[0].peer, "Superseded")
        assert len(node.network.connected()) == 1


async def test_nodes_that_dial_each_other_at_once_keep_one_connection(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    async with started(one, two) as nursery:
        one.network._peers.book.pin(two.peer, two.network.addresses)
        two.network._peers.book.pin(one.peer, one.network.addresses)
        nursery.start_soon(one.network._dial, two.peer)
        nursery.start_soon(two.network._dial, one.peer)
        # A dial lasts as long as the connection that it made: one of the two is over.
        await until(
            lambda: (
                bool(one.network.connected() and two.network.connected())
                and len(one.network._sessions) == len(two.network._sessions) == 1
            )
        )
        await wait_all_tasks_blocked(0.05)

        assert one.network.connected() == (two.peer,)
        assert two.network.connected() == (one.peer,)
        is_dialer = [node.network.stats().peers[0].is_dialer for node in (one, two)]
        assert sorted(is_dialer) == [False, True]
        one.network.broadcast("vote", b"vote")
        await until(lambda: bool(two.handler.frames))


async def test_banned_peer_is_dropped_with_the_reason_and_kept_out(tmp_path: Path) -> None:
    one = Node(1, tmp_path, rules=replace(Rules(), ban_seconds=0.5))
    two = Node(2, tmp_path)
    async with started(one, two):
        mesh(one, two)
        await all_connected(one, two)

        one.network.report(two.peer, Fault.INVALID_BLOCK, "height 17")
        await until(lambda: one.network.connected() == ())

        assert one.handler.downs == [(two.peer, "Banned: invalid block: height 17")]
        assert one.network.stats().bans[0].reason == "invalid block: height 17"
        assert one.network.stats().disconnects == {"Banned": 1}
        # Validators dial for ever, and a ban ends.
        await all_connected(one, two)
        assert one.network.stats().bans == ()


async def test_validators_port_refuses_guests_unless_the_node_allows_them(tmp_path: Path) -> None:
    one = Node(1, tmp_path, listen=GUARDED)
    friend, stranger = our_host(2), our_host(3)
    one.handler.guests = {peer_id(2)}
    async with (
        started(one),
        friend.run((), Links().take),
        stranger.run((), Links().take),
    ):
        link, _ = await friend.dial(one.peer, one.network.addresses)
        with pytest.raises(DialFailed):
            await stranger.dial(one.peer, one.network.addresses)

        assert not link.is_closed


async def test_nodes_of_another_chain_are_not_met(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path)
    other = Digest(b"\x08" * 32)
    two.network._config = replace(two.network._config, genesis=other)
    stranger = type(two.network)(two.network._config, two.handler)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(one.network.run)
            await nursery.start(stranger.run)
            validators = {one.peer: one.network.addresses, two.peer: stranger.addresses}
            one.network.set_validators(validators)
            stranger.set_validators(validators)
            await until(
                lambda: (
                    (
                        sum(one.network.stats().disconnects.values())
                        + sum(stranger.stats().disconnects.values())
                    )
                    >= 2
                )
            )
            nursery.cancel_scope.cancel()

    assert one.handler.ups == two.handler.ups == []


async def test_guests_beyond_the_limit_are_refused_and_validators_are_not(tmp_path: Path) -> None:
    hub = Node(1, tmp_path, peer_limits=PeerLimits(outbound_wanted=0, inbound_max=2))
    async with started(hub):
        boot = ((hub.peer, hub.address),)
        guests = [Node(number, tmp_path, listen=(), boot=boot) for number in range(10, 13)]
        larger = next(number for number in range(20, 99) if peer_id(number) > hub.peer)
        validator = Node(larger, tmp_path, listen=())
        async with started(*guests, validator):
            await until(lambda: sum(len(guest.network.connected()) for guest in guests) == 2)
            assert len(hub.network.connected()) == 2

            hub.network.set_validators({hub.peer: (), validator.peer: ()})
            validator.network.set_validators({hub.peer: (hub.address,), validator.peer: ()})
            await until(lambda: len(hub.network.connected()) == 3)

            assert hub.network.stats().known_peers == 0
            (left_out,) = (guest for guest in guests if not guest.network.connected())
            # A node that takes nobody in is not one to tell others of.
            assert left_out.network._peers.tell(peer_id(1))[1:] == ()


async def test_guests_from_one_address_are_limited(tmp_path: Path) -> None:
    limits = PeerLimits(outbound_wanted=0, inbound_max=10, inbound_per_address_max=1)
    hub = Node(1, tmp_path, peer_limits=limits)
    async with started(hub):
        boot = ((hub.peer, hub.address),)
        guests = [Node(number, tmp_path, listen=(), boot=boot) for number in range(10, 12)]
        async with started(*guests):
            await until(
                lambda: sum(sum(g.network.stats().disconnects.values()) for g in guests) >= 2
            )

            assert len(hub.network.connected()) == 1


async def test_newcomer_finds_everybody_through_one_boot_node_and_remembers(
    tmp_path: Path,
) -> None:
    hub, old, new = Node(1, tmp_path), Node(2, tmp_path), Node(3, tmp_path)
    hub.network._peers.exchange_pause = old.network._peers.exchange_pause = lambda: 0.05  # type: ignore[method-assign]
    new.network._peers.exchange_pause = lambda: 0.05  # type: ignore[method-assign]
    old.network.set_record(b"signed by old")
    async with started(hub):
        for node in (old, new):
            node.network._peers._boot = ((hub.peer, hub.address),)
        async with started(old, new):
            await all_connected(hub, old, new)
            await until(lambda: (old.peer, b"signed by old") in new.handler.records)
            where_old_listens = old.address
        assert (tmp_path / "3" / BOOK_FILE).exists()

    # The boot node is gone; what was learned leads back.
    old_again = Node(2, tmp_path, listen=(Listen(where_old_listens),))
    new_again = Node(3, tmp_path)
    async with started(old_again, new_again):
        await until(lambda: new_again.network.connected() == (old.peer,))

    saved = (tmp_path / "3" / BOOK_FILE).read_bytes()
    assert seed(3) not in saved


async def test_smaller_id_dials_when_the_larger_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.peers.FALLBACK_SECONDS", 0.2)
    smaller, larger = sorted((1, 2), key=peer_id)
    hidden, public = Node(smaller, tmp_path, listen=()), Node(larger, tmp_path)
    async with started(hidden, public):
        validators = {hidden.peer: (), public.peer: public.network.addresses}
        hidden.network.set_validators(validators)
        public.network.set_validators(validators)

        await all_connected(hidden, public)

        assert hidden.network.stats().peers[0].is_dialer


async def test_second_network_in_one_folder_or_on_one_port_is_refused(tmp_path: Path) -> None:
    one = Node(1, tmp_path)
    async with started(one):
        with pytest.raises(ConfigError, match="another node"):
            await Node(1, tmp_path).network.run()
        with pytest.raises(ConfigError, match="choose another"):
            await Node(2, tmp_path, listen=(Listen(one.address),)).network.run()


class Buggy(Recorder):
    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        raise AssertionError("our own bug")


async def test_our_own_bug_in_a_handler_stops_the_node(tmp_path: Path) -> None:
    one, two = Node(1, tmp_path), Node(2, tmp_path, handler=Buggy())

    async def run_until_the_bug() -> None:
        async with started(one, two):
            mesh(one, two)
            await all_connected(one, two)
            one.network.broadcast("vote", b"vote")
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run_until_the_bug()

    assert caught.group_contains(AssertionError, match="our own bug")


def test_seed_is_not_shown(tmp_path: Path) -> None:
    config = Node(1, tmp_path).network._config

    assert "seed=" not in repr(config)
    assert OPEN[0].address in repr(config)
