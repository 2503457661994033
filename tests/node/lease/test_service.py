"""A client and its provider over a memory network, with real worker processes."""

import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trio

from node.client.errors import NodeUnreachable
from node.lease.client import (
    BadResult,
    JobOutcome,
    WrongProvider,
    find_wrong_row,
)
from node.lease.job_store import FILE_BYTES, JobStore, Quota
from node.lease.messages import (
    CommandOutput,
    Exited,
    Knock,
    RunNetwork,
    Upload,
    blob_digest,
    encode_request,
)
from node.lease.processes import Command
from p2p.faults import RequestRefused
from primitives.crypto import KeyPair
from primitives.types import AccountId, Height
from runtime.jobs.commitment import is_signed
from runtime.jobs.network import IntegerNetwork, Rows
from tests.node.lease.lease_world import (
    CLIENT_PEER,
    GENESIS,
    HEIGHT,
    LEASE,
    LEASE_KEY,
    PROVIDER,
    SERVICE_KEY,
    LeaseWorld,
    ignore,
    lease_world,
)
from tests.runtime.jobs.world import make_network, make_rows

NETWORK = make_network([8, 30, 4])
ROWS = make_rows(600, 8)
ECHO = Command((sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read())"))


async def run_job(
    world: LeaseWorld, network: IntegerNetwork = NETWORK, rows: Rows = ROWS
) -> JobOutcome:
    client = world.client()
    await client.open()
    return await client.run_network(network, rows, HEIGHT, ignore)


async def ask(world: LeaseWorld, payload: bytes) -> list[bytes]:
    async with world.client_network.request(world.server, "lease", payload) as answers:
        return [body async for body in answers]


# --------------------------------------------------------------------------------------- access


async def test_the_leases_client_is_let_in(tmp_path: Path) -> None:
    async with lease_world(tmp_path, commands={"echo": ECHO}) as world:
        assert await world.client().open() == ("echo",)


async def test_another_key_is_not_let_in(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        with pytest.raises(RequestRefused, match="NoAccess"):
            await world.client(KeyPair(bytes(32))).open()


async def test_a_lease_that_is_not_served_is_refused(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        with pytest.raises(RequestRefused, match="serves no lease 6"):
            await world.client(lease_id=6).open()


async def test_a_client_goes_away_from_another_provider(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        with pytest.raises(WrongProvider):
            await world.client(provider=AccountId(bytes(32))).open()


async def test_nothing_is_done_for_who_has_not_shown_the_key(tmp_path: Path) -> None:
    zero = GENESIS
    async with lease_world(tmp_path) as world:
        await ask(world, encode_request(Knock(LEASE)))
        for request in (Upload(LEASE, zero, 1, 0, b"x"), RunNetwork(LEASE, zero, zero)):
            with pytest.raises(RequestRefused, match="NoAccess"):
                await ask(world, encode_request(request))


async def test_access_ends_with_the_connection(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        client = world.client()
        await client.open()
        world.hub.cut(CLIENT_PEER, world.server)
        world.hub.heal(CLIENT_PEER, world.server)

        with pytest.raises(RequestRefused, match="NoAccess"):
            await client.upload(b"x", "x", ignore)


async def test_access_ends_with_the_lease(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        client = world.client()
        await client.open()
        world.book.leases.clear()

        with pytest.raises(RequestRefused, match="NoAccess"):
            await client.run_network(NETWORK, ROWS, HEIGHT, ignore)


async def test_a_challenge_is_answered_once(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        client = world.client()
        await client.open()
        with pytest.raises(RequestRefused, match="knock first"):
            await ask(world, b"\x02" + b"\x92\x05\xc4\x40" + bytes(64))


async def test_bytes_that_are_no_request_cost_the_peer(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        with pytest.raises(RequestRefused, match="bad request"):
            await ask(world, b"\x63nonsense")
        assert world.server_network._scores.points(CLIENT_PEER, trio.current_time()) > 0


# ------------------------------------------------------------------------------- integer networks


async def test_rows_come_back_signed_and_right(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        outcome = await run_job(world)

    signed = outcome.result
    assert (outcome.data.outputs == NETWORK.run(ROWS)).all()
    assert signed.key == SERVICE_KEY.public
    assert signed.commitment.provider == PROVIDER
    assert signed.commitment.made_at == HEIGHT
    assert is_signed(GENESIS, signed.commitment, signed.key, signed.signature)
    assert find_wrong_row(outcome.data, range(len(ROWS))) is None


async def test_what_a_result_was_made_of_is_kept_until_it_cannot_be_disputed(
    tmp_path: Path,
) -> None:
    async with lease_world(tmp_path) as world:
        commitment = (await run_job(world)).result.commitment
        store = world.service.store
        job = store.find_job(LEASE, commitment.inputs, commitment.outputs)
        assert job is not None
        assert job.network.read_bytes() == NETWORK.encode()
        assert job.inputs.read_bytes() == ROWS.tobytes()

        store.forget(Height(HEIGHT + 10), blocks=10, live={LEASE})
        assert store.find_job(LEASE, commitment.inputs, commitment.outputs) is not None
        store.forget(Height(HEIGHT + 11), blocks=10, live={LEASE})
        assert store.find_job(LEASE, commitment.inputs, commitment.outputs) is None
        assert not job.inputs.exists()
        store.forget(Height(HEIGHT + 11), blocks=10, live=set())
        assert store.leases() == set()


async def test_a_network_of_many_parts_is_sent_once(tmp_path: Path) -> None:
    network = make_network([1024, 1024, 4])
    rows = make_rows(3, 1024)
    seen: list[tuple[str, int, int]] = []
    async with lease_world(tmp_path) as world:
        client = world.client()
        await client.open()
        await client.run_network(network, rows, HEIGHT, lambda *each: seen.append(each))
        first = [each for each in seen if each[0] == "sending the network"]
        seen.clear()
        await client.run_network(network, rows, HEIGHT, lambda *each: seen.append(each))
        again = [each for each in seen if each[0] == "sending the network"]

    assert len(first) == 3
    assert len(again) == 1


async def test_a_network_that_is_none_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        client = world.client()
        await client.open()
        nonsense = await client.upload(b"nonsense", "", ignore)
        with pytest.raises(RequestRefused, match="JobFailed: Malformed"):
            await ask(world, encode_request(RunNetwork(LEASE, nonsense, nonsense)))


async def test_a_blob_that_was_not_uploaded_is_refused(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        await world.client().open()
        with pytest.raises(RequestRefused, match="UnknownBlob"):
            await ask(world, encode_request(RunNetwork(LEASE, GENESIS, GENESIS)))


async def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with lease_world(tmp_path, job_seconds_max=0.0) as world:
        with pytest.raises(RequestRefused, match="took longer"):
            await run_job(world)


async def test_a_job_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    async with lease_world(tmp_path, memory_bytes_max=1 << 20) as world:
        with pytest.raises(RequestRefused, match="JobFailed"):
            await run_job(world, make_network([1024, 2048, 4]), make_rows(3, 1024))


async def test_no_more_jobs_wait_than_may(tmp_path: Path) -> None:
    async with lease_world(tmp_path, running_max=1, waiting_max=0) as world:
        await run_job(world)
        world.service._jobs = 1
        with pytest.raises(RequestRefused, match="TooBusy"):
            await run_job(world)


@pytest.mark.parametrize("quota", [Quota(lease_bytes_max=5000), Quota(total_bytes_max=5000)])
async def test_a_lease_stores_no_more_than_its_quota(tmp_path: Path, quota: Quota) -> None:
    async with lease_world(tmp_path, quota=quota) as world:
        client = world.client()
        await client.open()
        await client.upload(bytes(10), "", ignore)
        with pytest.raises(RequestRefused, match="UploadRefused"):
            await client.upload(b"11", "", ignore)


async def test_an_upload_must_be_what_it_was_announced_as(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        await world.client().open()
        for wrong in (Upload(LEASE, GENESIS, 1, 0, b"x"), Upload(LEASE, GENESIS, 1, 0, b"xy")):
            with pytest.raises(RequestRefused, match="UploadRefused"):
                await ask(world, encode_request(wrong))
        # What was refused takes no room.
        again = JobStore(tmp_path, Quota(lease_bytes_max=FILE_BYTES + 1))
        whole = Upload(LEASE, blob_digest(b"y"), 1, 0, b"y")

        assert again.accept(whole) == 1


async def test_a_job_fails_with_the_node_and_the_service_goes_on(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        height = world.book.height

        async def away() -> Height:
            raise NodeUnreachable("away")

        world.book.height = away  # type: ignore[method-assign] # the node is gone
        with pytest.raises(RequestRefused, match="NodeUnreachable"):
            await run_job(world)
        await world.service._tidy_safely()
        world.book.height = height  # type: ignore[method-assign] # and back

        assert (await run_job(world)).result.commitment.rows == len(ROWS)


# ------------------------------------------------------------------------------------ wrong results


class OtherResult:
    """Changes what the service is about to sign, or to send."""

    def __init__(self, world: LeaseWorld, **changes: object) -> None:
        conclude = world.service._conclude

        async def other(request: object, result: object) -> object:
            return await conclude(request, replace(result, **changes))  # type: ignore[arg-type,type-var] # any field

        world.service._conclude = other  # type: ignore[method-assign,assignment] # the lie


@pytest.mark.parametrize(
    "changes",
    [{"network": GENESIS}, {"inputs": GENESIS}, {"outputs": GENESIS}, {"rows": 599}],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_signature_for_something_else_is_no_result(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    async with lease_world(tmp_path) as world:
        OtherResult(world, **changes)
        with pytest.raises(BadResult, match="another job"):
            await run_job(world)


async def test_a_signature_with_an_old_height_is_no_result(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        world.book.now = Height(HEIGHT - 1)
        with pytest.raises(BadResult, match="long past"):
            await run_job(world)


async def test_another_keys_signature_is_no_result(tmp_path: Path) -> None:
    async with lease_world(tmp_path) as world:
        world.service._key = LEASE_KEY
        with pytest.raises(BadResult, match="signature is wrong"):
            await run_job(world)


async def test_the_sample_finds_a_wrong_row(tmp_path: Path) -> None:
    module = "tests.node.lease.wrong_worker"
    async with lease_world(tmp_path, worker_module=module) as world:
        outcome = await run_job(world)

    right = NETWORK.run(ROWS)
    wrong = np.flatnonzero((outcome.data.outputs != right).any(axis=1)).tolist()
    assert wrong == [3]
    assert find_wrong_row(outcome.data, [7, 3, 5]) == 3
    assert find_wrong_row(outcome.data, [7, 5]) is None
    assert find_wrong_row(outcome.data, []) is None


# ----------------------------------------------------------------------------------------- commands


async def run_command(
    world: LeaseWorld, name: str, *arguments: str, stdin: bytes | None = None
) -> tuple[bytes, bytes, Exited]:
    client = world.client()
    await client.open()
    written = {False: b"", True: b""}
    end: Exited | None = None
    async with aclosing(client.run_command(name, arguments, stdin, ignore)) as telling:
        async for told in telling:
            match told:
                case CommandOutput(is_error, data):
                    written[is_error] += data
                case Exited():
                    end = told
    assert end is not None
    return written[False], written[True], end


def python(code: str, **limits: int) -> Command:
    return Command((sys.executable, "-c", code), **limits)


async def test_a_command_that_is_offered_runs_with_what_was_sent(tmp_path: Path) -> None:
    async with lease_world(tmp_path, commands={"echo": ECHO}) as world:
        found = await run_command(world, "echo", stdin=b"hello")

    assert found == (b"hello", b"", Exited(0, ""))


async def test_errors_and_exit_codes_come_back(tmp_path: Path) -> None:
    code = "import sys; sys.stderr.write('no'); sys.exit(3)"
    async with lease_world(tmp_path, commands={"fail": python(code)}) as world:
        assert await run_command(world, "fail") == (b"", b"no", Exited(3, ""))


async def test_a_command_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    async with lease_world(tmp_path, commands={"echo": ECHO}) as world:
        for call in (("rm",), ("echo", "an argument")):
            with pytest.raises(RequestRefused, match="NotOffered"):
                await run_command(world, *call)


async def test_arguments_reach_a_command_that_takes_some(tmp_path: Path) -> None:
    command = python("import sys; print(*sys.argv[1:])", arguments_max=2)
    async with lease_world(tmp_path, commands={"say": command}) as world:
        assert (await run_command(world, "say", "a b", ";c"))[0] == b"a b ;c\n"


async def test_a_command_writes_no_more_than_it_may(tmp_path: Path) -> None:
    command = python("while True: print('x' * 100)", output_bytes_max=1000)
    async with lease_world(tmp_path, commands={"flood": command}) as world:
        out, _, end = await run_command(world, "flood")

    assert len(out) == 1000
    assert end == Exited(-9, "output")


async def test_a_command_and_its_children_end_in_time(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while 1: pass'])"
    command = python(code, seconds_max=1)
    async with lease_world(tmp_path, commands={"endless": command}) as world:
        _, _, end = await run_command(world, "endless")

    assert end.reason == "time" or end.code in (-9, -24)


async def test_a_command_has_no_more_memory_than_it_may(tmp_path: Path) -> None:
    command = python("bytearray(1 << 29)", memory_bytes_max=1 << 28)
    async with lease_world(tmp_path, commands={"greedy": command}) as world:
        _, errors, end = await run_command(world, "greedy")

    assert b"MemoryError" in errors
    assert end.code == 1


async def test_a_command_sees_nothing_of_the_providers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPIN_SECRET", "password")
    command = python("import os; print(sorted(os.environ), os.listdir())")
    async with lease_world(tmp_path, commands={"look": command}) as world:
        out = (await run_command(world, "look"))[0]

    assert b"SECRET" not in out
    assert b"[]" in out
