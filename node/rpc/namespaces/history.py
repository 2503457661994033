"""``chain_getExtrinsic`` and ``chain_getAccountHistory``: where extrinsics are, and whose."""

from collections.abc import Sequence
from dataclasses import dataclass

from node.rpc.backend import HistoryBackend, HistoryEntry
from node.rpc.errors import invalid_parameter
from node.rpc.json_codecs import AddressFormat
from node.rpc.method import method
from node.rpc.namespaces.chain import EventView, event_view
from primitives.types import AccountId, Balance, Digest, Height

HISTORY_PAGE_MAX = 100


@dataclass(frozen=True, slots=True)
class HistoryView:
    block: Digest
    number: Height
    extrinsic_index: int
    extrinsic: bytes
    error: str | None
    fee: Balance
    events: Sequence[EventView]


class History:
    """Extrinsics of final blocks that have not been pruned."""

    def __init__(self, backend: HistoryBackend, addresses: AddressFormat) -> None:
        self._backend = backend
        self._addresses = addresses

    @method("chain_getExtrinsic")
    async def get_extrinsic(self, extrinsic_hash: Digest) -> HistoryView | None:
        """Return a final extrinsic and what it did; null if no block that is kept has it."""
        entry = await self._backend.find_extrinsic(extrinsic_hash)
        return None if entry is None else self._view(entry)

    @method("chain_getAccountHistory")
    async def get_account_history(
        self,
        account: AccountId,
        count: Height,
        before_number: Height | None = None,
        before_index: Height | None = None,
    ) -> Sequence[HistoryView]:
        """Return an account's latest final extrinsics, newest first: its own and those it was in.

        The next page begins before the number and index of this page's last.
        """
        if count > HISTORY_PAGE_MAX:
            raise invalid_parameter("count", f"expected at most {HISTORY_PAGE_MAX}")
        before = None if before_number is None else (before_number, before_index or 0)
        entries = await self._backend.account_history(account, count, before)
        return [self._view(entry) for entry in entries]

    def _view(self, entry: HistoryEntry) -> HistoryView:
        receipt = entry.receipt
        return HistoryView(
            block=entry.block,
            number=entry.height,
            extrinsic_index=entry.position,
            extrinsic=entry.extrinsic,
            error=receipt.error or None,
            fee=receipt.fee,
            events=[event_view(event, self._backend, self._addresses) for event in receipt.events],
        )
