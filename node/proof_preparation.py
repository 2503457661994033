"""What verifying an epoch's proofs takes, computed beside the event loop before the first comes.

A class's network may take longer to expand than a block should. Its challenge is known when the
block that ends an epoch is final; the first response comes half an epoch later.
"""

import logging
from collections.abc import Callable

import trio

from chain.blockchain import Blockchain, Finalized
from primitives.types import Epoch, Height
from runtime.pocps.classes import Preparation
from runtime.session import epoch_of, is_boundary

_log = logging.getLogger(__name__)


class ProofPreparation:
    """Prepares the epoch that has begun, whichever block is final."""

    def __init__(
        self,
        chain: Blockchain,
        on_prepared: Callable[[Epoch], None] = lambda _: None,
    ) -> None:
        self._chain, self._on_prepared = chain, on_prepared
        self._news = trio.Event()
        # A node that starts within an epoch has missed its beginning.
        self._news.set()

    def on_final(self, finalized: Finalized) -> None:
        """Wake up if an epoch has ended."""
        if is_boundary(finalized.header.height, self._chain.config.session.epoch_length):
            self._news.set()

    async def run(self) -> None:
        """Prepare what is to be prepared, for ever."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            epoch, preparations = self._due()
            started = trio.current_time()
            for preparation in preparations:
                await trio.to_thread.run_sync(preparation.run)
            seconds = trio.current_time() - started
            _log.info("event=proofs_prepared epoch=%d seconds=%.2f", epoch, seconds)
            self._on_prepared(epoch)

    def _due(self) -> tuple[Epoch, tuple[Preparation, ...]]:
        """Return the epoch of the next block and what its proofs need."""
        final = self._chain.final
        following = Height(final.height + 1)
        epoch = epoch_of(following, self._chain.config.session.epoch_length)
        return epoch, self._chain.runtime_after(self._chain.final_hash).pocps.preparations(epoch)
