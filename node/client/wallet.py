"""Signing extrinsics for a chain, and following one until it is final.

Invariant: what is signed names the chain and the version of its rules, and expires: a signature
given to one chain is worth nothing on another, and one that was lost cannot come back later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from node.client.answers import read_amount, read_digest, read_object, read_text
from node.client.errors import BadAnswer, ConnectionLost
from node.client.node_client import NodeClient, hex_of
from node.rpc.json_types import Json
from primitives.block import (
    EXTRINSIC_VERSION,
    Header,
    encode_signed,
    signing_payload,
    signing_prefix,
)
from primitives.codec import Plain
from primitives.crypto import KeyPair, Purpose, keyed_hash
from primitives.errors import LoopinError
from primitives.types import AccountId, Balance, Digest, Height, Nonce, Signature

_SIGNATURE_BYTES = 64
_END = ("finalized", "usurped", "dropped", "invalid")


class IncompatibleChain(LoopinError):
    """The chain signs extrinsics in another way than this program: use a matching version."""


class NotIncluded(LoopinError):
    """The extrinsic will be in no block as it is: nothing was paid."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an extrinsic says beside its call."""

    nonce: Nonce
    valid_until: Height
    tip: Balance


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A final extrinsic: where it is, what it cost and what it did."""

    block: Digest
    header: Header
    position: int
    fee: Balance
    error: str | None
    """``module.ErrorName`` if the call failed; the fee was kept."""
    events: Json


def sign(client: NodeClient, pair: KeyPair, call: Plain, terms: Terms) -> bytes:
    """Return the signed extrinsic. Raises: IncompatibleChain, and as ``NodeClient``."""
    _require_known_signing(client)
    prefix = signing_prefix(client.genesis_hash, client.spec_version)
    draft = encode_signed(
        signer=AccountId(pair.public),
        nonce=terms.nonce,
        valid_until=terms.valid_until,
        tip=terms.tip,
        call=call,
        signature=Signature(bytes(_SIGNATURE_BYTES)),
    )
    return draft[:-_SIGNATURE_BYTES] + pair.sign(signing_payload(prefix, draft))


def submit_and_follow(client: NodeClient, extrinsic: bytes) -> Iterator[tuple[str, str]]:
    """Submit an extrinsic; yield each status and its block or reason, the last ``finalized``.

    Raises: NotIncluded, CallRefused (the mempool does not take it), ConnectionLost, BadAnswer.
    """
    method = "author_submitAndWatchExtrinsic"
    with client.subscribe(method, hex_of(extrinsic)) as subscription:
        for news in subscription.notifications():
            kind, detail = _status(news)
            if kind in _END and kind != "finalized":
                reason = f" ({detail})" if detail else ""
                raise NotIncluded(f"the extrinsic was {_SAID[kind]}{reason}; nothing was paid")
            yield kind, detail
            if kind == "finalized":
                return
    raise ConnectionLost("the node stopped telling what became of the extrinsic")


_SAID = {
    "usurped": "replaced by another with the same nonce",
    "dropped": "dropped from the mempool",
    "invalid": "found invalid",
}


def find_inclusion(client: NodeClient, extrinsic: bytes, block_hash: Digest) -> Inclusion:
    """Return what became of an extrinsic in the block that holds it. Raises: BadAnswer."""
    block = client.find_block(block_hash)
    receipts = client.find_receipts(block_hash)
    if block is None or receipts is None or extrinsic not in block.extrinsics:
        raise BadAnswer(f"block {hex_of(block_hash)} does not hold the extrinsic")
    position = block.extrinsics.index(extrinsic)
    if len(receipts) != len(block.extrinsics) + 2:
        raise BadAnswer("the block has another number of receipts than extrinsics")
    receipt = receipts[position + 1]
    error = receipt.get("error")
    return Inclusion(
        block=block_hash,
        header=block.header,
        position=position,
        fee=read_amount(receipt.get("fee"), "the receipt's fee"),
        error=None if error is None else read_text(error, "the receipt's error"),
        events=receipt.get("events"),
    )


def extrinsic_hash(extrinsic: bytes) -> Digest:
    """Return the hash by which the chain knows an extrinsic."""
    return keyed_hash(Purpose.EXTRINSIC, extrinsic)


def _status(news: Json) -> tuple[str, str]:
    if isinstance(news, str):
        return news, ""
    item = read_object(news, "the extrinsic's status")
    if len(item) != 1:
        raise BadAnswer("the extrinsic's status is not one")
    ((kind, detail),) = item.items()
    if kind in ("inBlock", "finalized", "retracted"):
        read_digest(detail, f"the block of {kind}")
    return kind, read_text(detail, f"the status {kind}")


def _require_known_signing(client: NodeClient) -> None:
    """Compare how the chain says extrinsics are signed with how it is done here."""
    document: Mapping[str, Json] = read_object(client.metadata.document, "the metadata")
    described = read_object(document.get("extrinsic"), "the extrinsic's description")
    known = (EXTRINSIC_VERSION, hex_of(Purpose.EXTRINSIC_SIGNING), hex_of(Purpose.EXTRINSIC))
    found = tuple(described.get(name) for name in ("version", "signing_prefix", "hash_key"))
    if found != known:
        raise IncompatibleChain(
            "this chain signs extrinsics in another way than this version of loopin: "
            "use the version that its node has (loopin chain head shows it)"
        )
