"""Telling whoever watches an extrinsic what becomes of it."""

from collections.abc import Iterable

from chain.blockchain import Finalized
from chain.mempool import Change, Status
from node.chain_service import NewBest
from node.rpc.backend import ExtrinsicStatus, StatusKind
from node.rpc.feeds import Feed
from primitives.types import Digest

STATUSES_MAX = 64
"""Statuses that wait for one watcher; more than an extrinsic has in any honest chain."""

_KINDS = {
    Status.FUTURE: StatusKind.FUTURE,
    Status.READY: StatusKind.READY,
    Status.DROPPED: StatusKind.DROPPED,
    Status.INVALID: StatusKind.INVALID,
    Status.USURPED: StatusKind.INVALID,  # by an extrinsic that this node never saw wait
}


class ExtrinsicWatch:
    """The watchers of one node's extrinsics."""

    def __init__(self) -> None:
        self._feeds: dict[Digest, list[Feed[ExtrinsicStatus]]] = {}
        self._in_block: dict[Digest, list[Digest]] = {}
        """Watched extrinsics of each block that is best and not final."""

    def watch(self, extrinsic_hash: Digest) -> Feed[ExtrinsicStatus]:
        """Return a feed of the statuses to come; it ends with the last one."""

        def forget(feed: Feed[ExtrinsicStatus]) -> None:
            feeds = self._feeds.get(extrinsic_hash, [])
            if feed in feeds:
                feeds.remove(feed)
            if not feeds:
                self._feeds.pop(extrinsic_hash, None)

        feed = Feed[ExtrinsicStatus](STATUSES_MAX, on_close=forget)
        self._feeds.setdefault(extrinsic_hash, []).append(feed)
        return feed

    def on_change(self, change: Change) -> None:
        """Take news from the mempool."""
        if change.hash not in self._feeds:
            return
        if change.status is Status.USURPED and change.by is not None:
            status = ExtrinsicStatus(StatusKind.USURPED, change.by, change.reason)
        elif change.status is Status.INCLUDED:
            return  # told by ``on_final``, which knows the block
        else:
            status = ExtrinsicStatus(_KINDS[change.status], reason=change.reason)
        is_last = change.status not in (Status.FUTURE, Status.READY)
        self._tell(change.hash, status, is_last=is_last)

    def on_new_best(self, news: NewBest) -> None:
        """Take news of a new best block."""
        self._retract(news.retracted)
        if not self._feeds:
            return
        watched = [known for known in news.imported.extrinsic_hashes if known in self._feeds]
        if watched:
            self._in_block[news.imported.hash] = watched
        for extrinsic_hash in watched:
            status = ExtrinsicStatus(StatusKind.IN_BLOCK, news.imported.hash)
            self._tell(extrinsic_hash, status, is_last=False)

    def on_final(self, finalized: Finalized) -> None:
        """Take news of a final block."""
        self._in_block.pop(finalized.hash, None)
        self._retract(finalized.abandoned)
        if not self._feeds:
            return
        for extrinsic_hash in finalized.extrinsic_hashes:
            if extrinsic_hash in self._feeds:
                status = ExtrinsicStatus(StatusKind.FINALIZED, finalized.hash)
                self._tell(extrinsic_hash, status, is_last=True)

    def _retract(self, blocks: Iterable[Digest]) -> None:
        for gone in blocks:
            for extrinsic_hash in self._in_block.pop(gone, ()):
                status = ExtrinsicStatus(StatusKind.RETRACTED, gone)
                self._tell(extrinsic_hash, status, is_last=False)

    def _tell(self, extrinsic_hash: Digest, status: ExtrinsicStatus, *, is_last: bool) -> None:
        for feed in self._feeds.get(extrinsic_hash, ()):
            feed.put(status)
            if is_last:
                feed.finish()
        if is_last:
            self._feeds.pop(extrinsic_hash, None)
