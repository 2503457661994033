"""A neighbour that is a real process: killed, restarted, frozen, thawed."""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2p.identity import Address, endpoint
from tests.p2p.nodes import Node, peer_id
from tests.p2p.wires import until

pytestmark = pytest.mark.slow

HERE, CHILD = 1, 2


@asynccontextmanager
async def child(here: Node, folder: Path, port: int = 0) -> AsyncGenerator[trio.Process, None]:
    """Run the neighbour; give its process once it listens, with its address as ``args``."""
    command = [sys.executable, "-m", "tests.p2p.child", str(CHILD), str(folder), str(port)]
    process = await trio.lowlevel.open_process(
        [*command, str(HERE), here.address],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


async def address_of(process: trio.Process) -> Address:
    assert process.stdout is not None
    return Address((await process.stdout.receive_some(1000)).decode().strip())


async def test_killed_neighbour_is_noticed_at_once_and_met_again(tmp_path: Path) -> None:
    here = Node(HERE, tmp_path)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(here.network.run)
            async with child(here, tmp_path) as process:
                where = await address_of(process)
                here.network.set_validators(
                    {here.peer: here.network.addresses, peer_id(CHILD): (where,)}
                )
                await until(lambda: bool(here.network.connected()))

                process.kill()
                killed = trio.current_time()
                await until(lambda: not here.network.connected())
                assert trio.current_time() - killed < 2

            async with child(here, tmp_path, endpoint(where)[1]) as process:
                await address_of(process)
                listening = trio.current_time()
                await until(lambda: bool(here.network.connected()))
                # The longest pause of a validator's back-off, and a dial.
                assert trio.current_time() - listening < 10
            nursery.cancel_scope.cancel()


async def test_frozen_neighbour_is_noticed_by_the_watchdog_and_met_again(tmp_path: Path) -> None:
    here = Node(HERE, tmp_path)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(here.network.run)
            async with child(here, tmp_path) as process:
                where = await address_of(process)
                here.network.set_validators(
                    {here.peer: here.network.addresses, peer_id(CHILD): (where,)}
                )
                await until(lambda: bool(here.network.connected()))

                process.send_signal(signal.SIGSTOP)
                frozen = trio.current_time()
                await until(lambda: not here.network.connected())
                assert 5 < trio.current_time() - frozen < 12
                assert here.handler.downs[0][1].startswith("PeerSilent")

                process.send_signal(signal.SIGCONT)
                await until(lambda: bool(here.network.connected()))
            assert here.network.stats().bans == ()
            nursery.cancel_scope.cancel()
