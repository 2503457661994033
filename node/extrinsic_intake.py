"""The way of an extrinsic into the mempool: decoded, its signature checked, judged, queued.

Invariants: a signature is checked once for each extrinsic while it is remembered; what is refused
is refused with a typed reason and leaves nothing behind.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from chain.blockchain import Blockchain
from chain.mempool import AlreadyKnown, Mempool
from chain.mempool_queue import Entry
from node.signatures import SignatureChecker
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import InvalidExtrinsic, LoopinError
from primitives.types import AccountId, Balance, Digest, Nonce
from runtime.executive import BlockExecution, ReadyExtrinsic, UnsignedExtrinsic

T = TypeVar("T")
U = TypeVar("U")

SLICE_EXTRINSICS = 32
BATCHES_MAX = 8
"""Batches on their way at a time; others wait their turn."""


class BadSignature(InvalidExtrinsic):
    """The signature is not the signer's over this extrinsic on this chain.

    It covers the genesis hash and the spec version: the wallet may be set to another chain.
    """


class FinalizedJudge:
    """Answers the mempool's questions from the state after the last final block."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._trial = chain.trial_after(chain.final_hash)
        self._trial_at = chain.final_hash

    def nonce(self, account: AccountId) -> Nonce:
        """Return the account's next nonce."""
        return Nonce(self._current().runtime.system.nonces[account])

    def validate(self, ready: ReadyExtrinsic, *, pending: Balance) -> Balance:
        """Return the fee in the next block. Raises: InvalidExtrinsic."""
        return self._current().validate(ready, pending=pending)

    def _current(self) -> BlockExecution:
        if self._trial_at != self._chain.final_hash:
            self._trial = self._chain.trial_after(self._chain.final_hash)
            self._trial_at = self._chain.final_hash
        return self._trial


class ExtrinsicIntake:
    """Takes encoded extrinsics from RPC clients and peers."""

    def __init__(
        self,
        mempool: Mempool,
        checker: SignatureChecker,
        on_accepted: Callable[[Sequence[Entry]], None] = lambda _: None,
    ) -> None:
        """``on_accepted`` is told what to relay to peers."""
        self._mempool = mempool
        self._checker = checker
        self.on_accepted = on_accepted
        self._turns = trio.CapacityLimiter(BATCHES_MAX)

    async def submit(self, extrinsics: Sequence[bytes]) -> list[Digest | LoopinError]:
        """Offer extrinsics to the mempool; return the hash of each, or why it was refused."""
        async with self._turns:
            decoded = await _gently(extrinsics, self._decode)
            to_check = [item for item in decoded if isinstance(item, ReadyExtrinsic)]
            verdicts = iter(await self._checker.check([r.extrinsic.encoded for r in to_check]))
            accepted: list[Entry] = []

            def take(item: ReadyExtrinsic | LoopinError) -> Digest | LoopinError:
                if isinstance(item, LoopinError):
                    return item
                if not next(verdicts):
                    return BadSignature("signed by another key, or for another chain")
                try:
                    entry = self._mempool.submit(item)
                except LoopinError as error:
                    # Its traceback leads back to the list that it is put into: a cycle, with all
                    # that came in the batch, for the collector.
                    return error.with_traceback(None)
                accepted.append(entry)
                return entry.hash

            results = await _gently(decoded, take)
        if accepted:
            self.on_accepted(accepted)
        return results

    def find_verified(self, extrinsic_hash: Digest) -> ReadyExtrinsic | None:
        """Return a decoded extrinsic whose signature has been checked, or None."""
        entry = self._mempool.find(extrinsic_hash)
        return entry.ready if entry else None

    async def verify(self, extrinsics: Sequence[bytes]) -> bool:
        """Return whether all signatures of decoded extrinsics, of a block say, are valid."""
        return all(await self._checker.check(extrinsics, is_urgent=True))

    def _decode(self, encoded: bytes) -> ReadyExtrinsic | LoopinError:
        try:
            known = keyed_hash(Purpose.EXTRINSIC, encoded)
            if self._mempool.find(known) is not None:
                return AlreadyKnown(f"0x{known.hex()}")
            ready = ReadyExtrinsic.decode(encoded)
        except LoopinError as error:
            return error.with_traceback(None)
        if ready.extrinsic.signer is None:
            return UnsignedExtrinsic("only block authors put inherents in")
        return ready


async def _gently(items: Sequence[T], work: Callable[[T], U]) -> list[U]:
    """Return the results of ``work``, giving way to other tasks now and then."""
    results: list[U] = []
    for number, item in enumerate(items, start=1):
        results.append(work(item))
        if number % SLICE_EXTRINSICS == 0:
            await trio.lowlevel.checkpoint()
    return results
