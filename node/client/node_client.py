"""What a client asks a node, as typed functions.

Invariants: a header is taken only if its hash is the one that was asked for, so a block's hash
stands for everything that its header says; nothing here holds a secret.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

from node.client.answers import (
    read_amount,
    read_bytes,
    read_digest,
    read_header,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer, CallRefused
from node.client.http import TIMEOUT, HttpClient
from node.client.metadata import Metadata
from node.client.websocket import Subscription
from node.rpc.json_types import Json
from primitives.block import Block, Header
from primitives.codec import ACCOUNT, AMOUNT
from primitives.errors import DecodeError
from primitives.ss58 import PREFIX_MAX
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Nonce,
    SpecVersion,
    StorageKey,
)
from runtime.balances import HOLD_REASON

DECIMALS_MAX = 18
HOLDS_MAX = 100
HISTORY_PAGE = 50


@dataclass(frozen=True, slots=True)
class Token:
    """How the chain's amounts and addresses are written for people."""

    symbol: str
    decimals: int
    ss58_prefix: int


@dataclass(frozen=True, slots=True)
class KnownHeader:
    """A header and its hash, which belong together."""

    hash: Digest
    header: Header


class NodeClient:
    """One node, asked over HTTP; subscriptions open a connection of their own."""

    def __init__(self, endpoint: Endpoint, timeout: float = TIMEOUT) -> None:
        """``timeout`` is in seconds, for each answer."""
        self.endpoint = endpoint
        self._http = HttpClient(endpoint, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def call(self, method: str, *parameters: Json) -> Json:
        """Return the result of any call, as it comes."""
        return self._http.call(method, *parameters)

    def subscribe(self, method: str, *parameters: Json) -> Subscription:
        """Open a subscription."""
        return Subscription(self.endpoint, method, *parameters)

    # What never changes while one talks to a chain

    @cached_property
    def genesis_hash(self) -> Digest:
        """The hash by which the chain is known; part of what extrinsics sign."""
        return read_digest(self.call("chain_getBlockHash", 0), "the genesis hash")

    @cached_property
    def spec_version(self) -> SpecVersion:
        """The version of the rules; part of what extrinsics sign."""
        answer = read_object(self.call("state_getRuntimeVersion"), "the runtime version")
        return SpecVersion(read_integer(answer.get("specVersion"), "specVersion"))

    @cached_property
    def token(self) -> Token:
        """How amounts and addresses are written."""
        answer = read_object(self.call("system_properties"), "the chain's properties")
        decimals = read_integer(answer.get("tokenDecimals"), "tokenDecimals")
        prefix = read_integer(answer.get("ss58Format"), "ss58Format")
        if decimals > DECIMALS_MAX or prefix > PREFIX_MAX:
            raise BadAnswer("the chain's properties are out of range")
        symbol = read_text(answer.get("tokenSymbol"), "tokenSymbol")
        return Token(symbol[:16], decimals, prefix)

    @cached_property
    def chain_name(self) -> str:
        return read_text(self.call("system_chain"), "the chain's name")

    @cached_property
    def metadata(self) -> Metadata:
        """The calls, events and storage of the chain's runtime."""
        return Metadata.parse(self.call("state_getMetadata"))

    # Blocks

    def hash_at(self, height: Height) -> Digest | None:
        """Return the hash of the best chain's block at a height, or None."""
        answer = self.call("chain_getBlockHash", height)
        return None if answer is None else read_digest(answer, "a block's hash")

    def final_hash(self) -> Digest:
        """Return the hash of the highest final block."""
        return read_digest(self.call("chain_getFinalizedHead"), "the final block's hash")

    def find_header(self, block: Digest | None = None) -> KnownHeader | None:
        """Return a block's header, by default the best block's. Raises: BadAnswer."""
        answer = self.call("chain_getHeader", None if block is None else hex_of(block))
        return None if answer is None else self._known_header(answer, block)

    def header(self, block: Digest | None = None) -> KnownHeader:
        """Return the header of a block that the node has just named. Raises: BadAnswer."""
        known = self.find_header(block)
        if known is None:
            raise BadAnswer("the node does not know a block that it named itself")
        return known

    def find_block(self, block: Digest) -> Block | None:
        """Return a block, or None if the node has it not, or not any more."""
        answer = self.call("chain_getBlock", hex_of(block))
        if answer is None:
            return None
        item = read_object(answer, "the block")
        known = self._known_header(item.get("header"), block)
        extrinsics = read_list(item.get("extrinsics"), "the block's extrinsics")
        return Block(known.header, tuple(read_bytes(x, "an extrinsic") for x in extrinsics))

    def find_receipts(self, block: Digest) -> list[Mapping[str, Json]] | None:
        """Return the receipts as the node shows them, or None if it has them not."""
        answer = self.call("chain_getReceipts", hex_of(block))
        if answer is None:
            return None
        return [read_object(item, "a receipt") for item in read_list(answer, "the receipts")]

    def find_certificate(self, block: Digest) -> bytes | None:
        """Return the certificate that made a block final, or None."""
        answer = self.call("chain_getFinalization", hex_of(block))
        if answer is None:
            return None
        return read_bytes(read_object(answer, "the finality").get("certificate"), "certificate")

    def handovers(self, first: Epoch, count: int) -> list[bytes]:
        """Return what proves the power tables after ``first`` and following epochs, as they come.

        The list is shorter than ``count`` where the chain's last full epoch is reached.
        """
        calls: list[tuple[str, Sequence[Json]]] = [
            ("chain_getHandover", [epoch]) for epoch in range(first, first + count)
        ]
        answers = self._http.call_many(calls)
        ended = answers.index(None) if None in answers else len(answers)
        return [read_bytes(answer, "a handover") for answer in answers[:ended]]

    # State

    def storage(self, key: StorageKey, at: Digest | None = None) -> bytes | None:
        """Return the value of a key after a block, the best one by default."""
        answer = self.call("state_getStorage", hex_of(key), None if at is None else hex_of(at))
        return None if answer is None else read_bytes(answer, "a stored value")

    def balance(self, account: AccountId, at: Digest | None = None) -> Balance:
        """Return an account's free balance after a block."""
        value = self.storage(StorageKey(b"balances.free:" + ACCOUNT.encode(account)), at)
        try:
            return Balance(0) if value is None else AMOUNT.decode(value)
        except DecodeError as error:
            raise BadAnswer(f"a balance is no amount: {error}") from None

    def held(self, account: AccountId, at: Digest) -> dict[str, Balance]:
        """Return what is held of an account's tokens after a block, by reason."""
        start = b"balances.held:\x92" + ACCOUNT.encode(account)
        answer = self.call("state_getKeysPaged", hex_of(start), HOLDS_MAX)
        held: dict[str, Balance] = {}
        for item in read_list(answer, "the keys"):
            key = read_bytes(item, "a key")
            value = self.storage(StorageKey(key), at)
            try:
                reason = HOLD_REASON.decode(key[len(start) :])
                if value is not None:
                    held[str(reason)] = AMOUNT.decode(value)
            except DecodeError as error:
                raise BadAnswer(f"a hold is none: {error}") from None
        return held

    def read_proof(self, key: StorageKey, at: Digest) -> bytes:
        """Return the proof of what a key holds after a block."""
        answer = read_object(
            self.call("state_getReadProof", [hex_of(key)], hex_of(at)), "the proof"
        )
        proofs = read_list(answer.get("proof"), "the proofs")
        if len(proofs) != 1:
            raise BadAnswer(f"{len(proofs)} proofs for one key")
        return read_bytes(proofs[0], "a proof")

    # Accounts and extrinsics

    def account_history(
        self, address: str, count: int, before: int | None = None
    ) -> list[Mapping[str, Json]]:
        """Return an account's latest ``count`` extrinsics in blocks below ``before``."""
        found: list[Mapping[str, Json]] = []
        place: list[Json] = [before, 0 if before is not None else None]
        while len(found) < count:
            wanted = min(count - len(found), HISTORY_PAGE)
            answer = self.call("chain_getAccountHistory", address, wanted, *place)
            page = [read_object(item, "an entry") for item in read_list(answer, "the history")]
            found += page
            if len(page) < wanted:
                break
            place = [page[-1].get("number"), page[-1].get("extrinsicIndex")]
        return found[:count]

    def next_nonce(self, address: str) -> Nonce:
        """Return the nonce of an account's next extrinsic."""
        return Nonce(read_integer(self.call("system_accountNextIndex", address), "the nonce"))

    def fee(self, extrinsic: bytes) -> Balance:
        """Return what an extrinsic would cost now, without its tip."""
        answer = read_object(self.call("payment_queryInfo", hex_of(extrinsic)), "the fee")
        return read_amount(answer.get("partialFee"), "partialFee")

    def submit(self, extrinsic: bytes) -> Digest:
        """Offer an extrinsic to the mempool; return its hash."""
        answer = self.call("author_submitExtrinsic", hex_of(extrinsic))
        return read_digest(answer, "the extrinsic's hash")

    def submit_many(self, extrinsics: Sequence[bytes]) -> list[CallRefused | None]:
        """Offer extrinsics in one batch; return for each why it was refused, or None."""
        calls = [("author_submitExtrinsic", (hex_of(extrinsic),)) for extrinsic in extrinsics]
        results = self._http.try_many(calls)
        return [item if isinstance(item, CallRefused) else None for item in results]

    def _known_header(self, answer: Json, block: Digest | None) -> KnownHeader:
        header = read_header(answer, self.token.ss58_prefix)
        claimed = read_digest(read_object(answer, "the header").get("hash"), "the header's hash")
        if header.hash != claimed or block not in (None, claimed):
            raise BadAnswer("a header does not have the hash under which it was given")
        return KnownHeader(claimed, header)


def hex_of(data: bytes) -> str:
    """Return bytes as 0x-hex."""
    return "0x" + data.hex()
