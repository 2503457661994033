"""What always holds, on networks for trying out: checked after every block, while that is cheap.

The checks walk the whole state. A live chain leaves them to the tests; any other stops at the
first block that breaks one, with the invariant's name in the log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from chain.blockchain import Blockchain, Finalized
from genesis.spec import ChainSpec
from runtime.module import InvariantBroken

CHECKED_ENTRIES_MAX = 10_000
"""Entries of a state that are walked after each block: some 50 ms of one processor."""

_log = logging.getLogger(__name__)


def checked_entries_max(spec: ChainSpec, is_wanted: bool | None) -> int:  # noqa: FBT001 - as configured
    """Return up to how many entries a chain checks; by default none on a live chain."""
    if is_wanted is None:
        is_wanted = spec.chain_type != "live"
    return CHECKED_ENTRIES_MAX if is_wanted else 0


class SizeWatch:
    """Says once that the state has become too large to be checked after each block."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._is_silent = not chain.checked_entries_max

    def on_final(self, finalized: Finalized) -> None:
        """Look at the state's size after another final block."""
        entries, most = self._chain.entries, self._chain.checked_entries_max
        if entries <= most or self._is_silent:
            return
        self._is_silent = True
        _log.warning(
            "height=%d event=invariants_unchecked entries=%d entries_max=%d",
            finalized.header.height,
            entries,
            most,
        )


@contextmanager
def told_if_broken(block: str) -> Iterator[None]:
    """Log which invariant a block breaks; ``block`` is its hash, if it has one already."""
    try:
        yield
    except InvariantBroken as broken:
        _log.critical(
            "height=%d view=%d event=invariant_broken invariant=%s block=%s",
            broken.height,
            broken.view,
            broken.invariant,
            block,
        )
        raise


def find_broken(error: BaseException) -> InvariantBroken | None:
    """Return the broken invariant among what stopped a node, or None."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(find_broken, error.exceptions)), None)
    return error if isinstance(error, InvariantBroken) else None
