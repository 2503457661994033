"""Where extrinsics are, read in a thread: a full block takes a while to decode."""

from collections.abc import Sequence

import trio

from chain.store_reader import HistoryPruned, StoreReader
from chain.store_schema import Place
from node.rpc.backend import HistoryEntry
from primitives.block import HEADER, Receipt, body_from_plain, decode_receipts
from primitives.codec import decode_trusted
from primitives.types import AccountId, Digest, Height

POSITION_MAX = (1 << 32) - 1
READERS_MAX = 2
"""Threads that read at one time: each may hold a decoded block."""


class AccountHistory:
    """The indexes of one node's final blocks, as the RPC asks for them."""

    def __init__(self, reads: StoreReader) -> None:
        self._reads = reads
        self._limiter = trio.CapacityLimiter(READERS_MAX)

    async def find(self, extrinsic: Digest) -> HistoryEntry | None:
        """Return the extrinsic with that hash, or None."""

        def read() -> list[HistoryEntry]:
            place = self._reads.find_extrinsic(extrinsic)
            return [] if place is None else self._entries([place])

        found = await trio.to_thread.run_sync(read, limiter=self._limiter)
        return found[0] if found else None

    async def of_account(
        self, account: AccountId, count: int, before: tuple[Height, int] | None
    ) -> Sequence[HistoryEntry]:
        """Return an account's latest extrinsics before a place, newest first."""
        stop = None if before is None else Place(before[0], min(before[1], POSITION_MAX))

        def read() -> list[HistoryEntry]:
            return self._entries(self._reads.account_history(account, before=stop, count=count))

        return await trio.to_thread.run_sync(read, limiter=self._limiter)

    def _entries(self, places: Sequence[Place]) -> list[HistoryEntry]:
        """Return what stands at those places, which lie next to each other block by block."""
        entries: list[HistoryEntry] = []
        held: Height | None = None
        bodies: tuple[bytes, ...] = ()
        receipts: tuple[Receipt, ...] = ()
        block: Digest | None = None
        for height, position in places:
            if height != held:
                try:
                    bodies = body_from_plain(decode_trusted(self._reads.body_at(height)))
                    receipts = decode_receipts(self._reads.receipts_at(height))
                except HistoryPruned:
                    # Pruned between the look into the index and this one; older ones are too.
                    break
                block = HEADER.load(self._reads.header_at(height)).hash
                held = height
            assert block is not None, "set with the height"
            extrinsic, receipt = bodies[position], receipts[position + 1]
            entries.append(HistoryEntry(height, block, position, extrinsic, receipt))
        return entries
