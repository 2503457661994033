"""Signature workers: right answers, and a death that costs nobody anything."""

import os
import signal
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from node import signatures
from node.signature_worker import check_chunk
from node.signatures import (
    CHUNK_EXTRINSICS,
    FEW_EXTRINSICS,
    NoWorkers,
    SignatureChecker,
    Worker,
    WorkerGone,
    open_signature_checker,
)
from primitives.block import signing_prefix
from primitives.crypto import KeyPair
from primitives.types import Digest, SpecVersion
from tests.chain.small_chains import sign

GENESIS = Digest(bytes(32))
VERSION = SpecVersion(1)
PREFIX = signing_prefix(GENESIS, VERSION)
PAIR = KeyPair(bytes(32))
GOOD = sign(PREFIX, PAIR, 0, ["system.remark", b""])
BAD = sign(signing_prefix(Digest(bytes([1]) * 32), VERSION), PAIR, 0, ["system.remark", b""])


async def test_every_answer_is_for_its_extrinsic() -> None:
    asked = [GOOD if number % 3 else BAD for number in range(2 * CHUNK_EXTRINSICS + 5)]

    async with open_signature_checker(GENESIS, VERSION, workers=2) as checker:
        answers = await checker.check(asked)

    assert answers == [encoded == GOOD for encoded in asked]


async def test_few_extrinsics_are_checked_without_a_worker() -> None:
    checker = SignatureChecker(PREFIX)

    assert await checker.check([GOOD, BAD]) == [True, False]
    assert await checker.check([]) == []


async def test_killed_worker_is_replaced_and_its_chunk_checked_again() -> None:
    async with open_signature_checker(GENESIS, VERSION, workers=1) as checker:
        os.kill(checker.workers[0].process.pid, signal.SIGKILL)
        await checker.workers[0].process.wait()

        assert await checker.check([GOOD, BAD] * 5) == [True, False] * 5
        assert await checker.check([GOOD] * 10) == [True] * 10


async def test_stopped_worker_counts_as_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_signature_checker(GENESIS, VERSION, workers=1) as checker:
        await checker.check([GOOD] * 10)
        os.kill(checker.workers[0].process.pid, signal.SIGSTOP)
        monkeypatch.setattr(signatures, "ANSWER_WAIT", 0.5)

        with pytest.raises(WorkerGone):
            await checker.workers[0].check([GOOD] * 10)
        monkeypatch.undo()


async def test_machine_that_can_run_no_worker_is_told_so() -> None:
    class Dead(Worker):
        def __init__(self) -> None:
            pass

        async def check(self, extrinsics: Sequence[bytes]) -> bytes:
            raise WorkerGone("dead")

        async def end(self) -> None:
            pass

    class Hopeless(SignatureChecker):
        async def _replaced(self, worker: Worker) -> Worker:
            return worker

    checker = Hopeless(PREFIX)
    checker._queue.give_back(Dead())

    for _ in range(2):
        with pytest.raises(NoWorkers):
            await checker.check([GOOD] * (FEW_EXTRINSICS + 1))


class Slow(Worker):
    """Answers when it is let to, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.may_answer = trio.Event()

    async def check(self, extrinsics: Sequence[bytes]) -> bytes:
        self.asked.append(extrinsics[0])
        await self.may_answer.wait()
        return bytes([1]) * len(extrinsics)


async def test_what_a_block_needs_goes_first() -> None:
    checker, worker = SignatureChecker(PREFIX), Slow()
    checker._queue.give_back(worker)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(checker.check, [b"first"] * 10)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(checker.check, [b"client"] * 10)
        await trio.testing.wait_all_tasks_blocked()

        async def check_block() -> None:
            await checker.check([b"block"] * 10, is_urgent=True)

        nursery.start_soon(check_block)
        await trio.testing.wait_all_tasks_blocked()
        worker.may_answer.set()

    assert worker.asked == [b"first", b"block", b"client"]


async def test_client_that_gives_up_leaves_the_worker_to_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    checker, worker = SignatureChecker(PREFIX), Slow()
    checker._queue.give_back(worker)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(checker.check, [b"first"] * 10)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await checker.check([b"gone"] * 10)
        worker.may_answer.set()

    assert await checker.check([b"next"] * 10) == [True] * 10
    assert worker.asked == [b"first", b"next"]


def test_worker_reads_its_chunk_row_by_row() -> None:
    rows = b"".join(len(x).to_bytes(4, "big") + x for x in (GOOD, BAD, GOOD))

    assert check_chunk(PREFIX, rows) == b"\x01\x00\x01"
    assert check_chunk(PREFIX, b"") == b""
