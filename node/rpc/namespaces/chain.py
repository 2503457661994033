"""``chain_*``: blocks, their receipts and their finality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from node.rpc.backend import BlocksBackend
from node.rpc.feeds import Subscription
from node.rpc.json_codecs import AddressFormat, Rendered, Schema
from node.rpc.method import method, subscription
from node.rpc.plain_json import fields_to_json
from node.rpc.rendering import Renderer
from primitives.block import Header, Receipt
from primitives.codec import Description, Plain
from primitives.types import AccountId, Balance, Digest, Epoch, Height, Millis, View, Weight

Phase = Literal["beginBlock", "applyExtrinsic", "endBlock"]


@dataclass(frozen=True, slots=True)
class HeaderView:
    hash: Digest
    parent_hash: Digest
    number: Height
    view: View
    epoch: Epoch
    timestamp: Millis
    author: AccountId
    state_root: Digest
    extrinsics_root: Digest
    receipts_root: Digest
    vrf_proof: bytes


@dataclass(frozen=True, slots=True)
class BlockView:
    hash: Digest
    header: HeaderView
    extrinsics: Rendered[list[bytes]]


@dataclass(frozen=True, slots=True)
class FinalizationView:
    block: Digest
    certificate: bytes
    """Encoded; docs/consensus.md says how to check it."""


@dataclass(frozen=True, slots=True)
class EventView:
    name: str
    """``module.EventName``."""
    fields: Annotated[object, Schema({"type": "object"})]


@dataclass(frozen=True, slots=True)
class ReceiptView:
    phase: Phase
    extrinsic_index: int | None
    """Position in the block; null for the hooks before and after the extrinsics."""
    error: str | None
    """``module.ErrorName`` if the call failed."""
    fee: Balance
    weight: Weight
    events: Sequence[EventView]


class Chain:
    """Blocks."""

    def __init__(
        self, backend: BlocksBackend, addresses: AddressFormat, renderer: Renderer, buffer: int
    ) -> None:
        """``buffer`` is how many heads wait for a slow subscriber."""
        self._backend = backend
        self._addresses = addresses
        self._renderer = renderer
        self._buffer = buffer

    @method("chain_getHeader")
    def get_header(self, block_hash: Digest | None = None) -> HeaderView | None:
        """Return a block's header, the best block's if no hash is given; null if unknown."""
        block = block_hash or self._backend.best_hash()
        header = self._backend.find_header(block)
        return None if header is None else header_view(header, block)

    @method("chain_getBlock")
    async def get_block(self, block_hash: Digest | None = None) -> BlockView | None:
        """Return a block, the best one if no hash is given; null if unknown."""
        wanted = block_hash or self._backend.best_hash()
        block = self._backend.find_block(wanted)
        if block is None:
            return None
        extrinsics = await self._renderer.render(block.extrinsics, bytes)
        return BlockView(wanted, header_view(block.header, wanted), extrinsics)

    @method("chain_getBlockHash", aliases=("chain_getHead",))
    def get_block_hash(self, block_number: Height | None = None) -> Digest | None:
        """Return the hash of the best chain's block at a height, the best one's without it."""
        if block_number is None:
            return self._backend.best_hash()
        return self._backend.find_hash(block_number)

    @method("chain_getFinalizedHead", aliases=("chain_getFinalisedHead",))
    def get_finalized_head(self) -> Digest:
        """Return the hash of the highest final block."""
        return self._backend.final_hash()

    @method("chain_getFinalization")
    def get_finalization(self, block_hash: Digest | None = None) -> FinalizationView | None:
        """Return the certificate that made a block final; null if it is not, or unknown."""
        block = block_hash or self._backend.final_hash()
        certificate = self._backend.find_certificate(block)
        return None if certificate is None else FinalizationView(block, certificate)

    @method("chain_getHandover")
    def get_handover(self, epoch: Epoch) -> bytes | None:
        """Return what proves the power table after an epoch; null if the epoch has not ended.

        Encoded; who follows these from epoch 0 on needs no trust in the node.
        """
        return self._backend.find_handover(epoch)

    @method("chain_getReceipts")
    async def get_receipts(
        self, block_hash: Digest | None = None
    ) -> Rendered[list[ReceiptView]] | None:
        """Return what each phase of a block did: error, fee, weight and decoded events.

        The first receipt is of what runs before the extrinsics, the last of what runs after them.
        """
        receipts = self._backend.find_receipts(block_hash or self._backend.best_hash())
        if receipts is None:
            return None
        last = len(receipts) - 1
        # Made one by one as they are rendered: a full block has ten thousand events.
        views = (self._receipt_view(place, last, item) for place, item in enumerate(receipts))
        return await self._renderer.render(views, ReceiptView)

    @subscription(
        "chain_subscribeNewHeads",
        notification="chain_newHead",
        unsubscribe="chain_unsubscribeNewHeads",
        aliases=("chain_subscribeNewHead", "subscribe_newHead"),
        unsubscribe_aliases=("chain_unsubscribeNewHead", "unsubscribe_newHead"),
    )
    async def subscribe_new_heads(self) -> Subscription[HeaderView]:
        """Send the header of the best block, now and whenever it changes."""
        return Subscription(
            self._backend.new_heads.subscribe(self._buffer),
            header_view,
            self._first(self._backend.best_hash()),
        )

    @subscription(
        "chain_subscribeFinalizedHeads",
        notification="chain_finalizedHead",
        unsubscribe="chain_unsubscribeFinalizedHeads",
        aliases=("chain_subscribeFinalisedHeads",),
        unsubscribe_aliases=("chain_unsubscribeFinalisedHeads",),
    )
    async def subscribe_finalized_heads(self) -> Subscription[HeaderView]:
        """Send the header of the highest final block, now and of every later one in order."""
        return Subscription(
            self._backend.final_heads.subscribe(self._buffer),
            header_view,
            self._first(self._backend.final_hash()),
        )

    def _first(self, block: Digest) -> Sequence[HeaderView]:
        header = self._backend.find_header(block)
        return () if header is None else (header_view(header, block),)

    def _receipt_view(self, place: int, last: int, receipt: Receipt) -> ReceiptView:
        phase: Phase = "applyExtrinsic"
        if place in (0, last):
            phase = "endBlock" if place else "beginBlock"
        return ReceiptView(
            phase=phase,
            extrinsic_index=place - 1 if phase == "applyExtrinsic" else None,
            error=receipt.error or None,
            fee=receipt.fee,
            weight=receipt.weight,
            events=[event_view(event, self._backend, self._addresses) for event in receipt.events],
        )


class _Describes(Protocol):
    def event_fields(self, name: str) -> Sequence[Description] | None: ...


def event_view(event: Plain, metadata: _Describes, addresses: AddressFormat) -> EventView:
    """Return an event with its fields by name."""
    assert isinstance(event, list | tuple), "an event is [name, field, ...]"
    name, *values = event
    assert isinstance(name, str), "an event is [name, field, ...]"
    fields = metadata.event_fields(name)
    assert fields is not None, f"the metadata describes no {name}"
    return EventView(name, fields_to_json(values, fields, addresses))


def header_view(header: Header, block: Digest | None = None) -> HeaderView:
    """Return a header as clients see it; ``block`` is its hash, if that is known."""
    return HeaderView(
        hash=block or header.hash,
        parent_hash=header.parent_hash,
        number=header.height,
        view=header.view,
        epoch=header.epoch,
        timestamp=header.timestamp,
        author=header.author,
        state_root=header.state_root,
        extrinsics_root=header.extrinsics_root,
        receipts_root=header.receipts_root,
        vrf_proof=header.vrf_proof,
    )
