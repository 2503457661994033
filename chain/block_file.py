r"""Final blocks in a file: how a chain is carried from one machine to another without a network.

::

    "loopin-blocks/1\n" | genesis hash | (length, 4 bytes big endian | [block, certificate])*

Blocks stand in order of height, without a gap. The certificate is empty where a later block's
stands for the block too. A file is believed in nothing: whoever reads it executes every block and
checks every certificate, so that the worst a forged file can do is to be refused.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from chain.blockchain import Blockchain, Imported
from chain.importer import InvalidBody, decode_body, import_block
from chain.slices import run_slices
from consensus.simplex.messages import CERTIFICATE, Kind
from consensus.simplex.verification import verify_certificate
from primitives.block import BLOCK_BYTES_MAX, Block, Extrinsic, signing_payload, signing_prefix
from primitives.codec import blob, pair
from primitives.crypto import is_valid_signature
from primitives.errors import DecodeError, InvalidBlock, LoopinError
from primitives.types import Digest, Epoch, PublicKey
from runtime.session import epoch_of

MAGIC = b"loopin-blocks/1\n"
LENGTH_BYTES = 4
DIGEST_BYTES = 32
UNCERTIFIED_MAX = 64
"""Blocks in a row that wait for a certificate."""

_RECORD = pair(blob(BLOCK_BYTES_MAX), blob(CERTIFICATE.bytes_max))


class NotABlockFile(LoopinError):
    """The file is damaged, cut off, or holds something else than blocks."""


class OtherChain(LoopinError):
    """The blocks are of another chain: use that chain's spec."""


class BadFinality(InvalidBlock):
    """A certificate does not make the block final under the power table of its epoch."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A block in a file, with the certificate that makes it and those before it final."""

    block: Block
    certificate: bytes


def write_blocks(file: BinaryIO, genesis: Digest, blocks: Iterable[Stored]) -> int:
    """Write final blocks and return how many there were."""
    file.write(MAGIC + genesis)
    count = 0
    for stored in blocks:
        record = _RECORD.encode((stored.block.encode(), stored.certificate))
        file.write(len(record).to_bytes(LENGTH_BYTES, "big") + record)
        count += 1
    return count


def read_genesis(file: BinaryIO) -> Digest:
    """Return whose blocks follow. Raises: NotABlockFile."""
    start = file.read(len(MAGIC) + DIGEST_BYTES)
    if len(start) != len(MAGIC) + DIGEST_BYTES or not start.startswith(MAGIC):
        raise NotABlockFile("the file does not begin as loopin chain export writes it")
    return Digest(start[len(MAGIC) :])


def read_blocks(file: BinaryIO) -> Iterator[Stored]:
    """Yield the blocks that follow ``read_genesis``. Raises: NotABlockFile."""
    while prefix := file.read(LENGTH_BYTES):
        length = int.from_bytes(prefix, "big")
        if len(prefix) != LENGTH_BYTES or length > _RECORD.bytes_max:
            raise NotABlockFile("a block's length is damaged")
        record = file.read(length)
        if len(record) != length:
            raise NotABlockFile("the file is cut off in the middle of a block")
        try:
            encoded, certificate = _RECORD.decode(record)
            yield Stored(Block.decode(encoded), certificate)
        except DecodeError as error:
            raise NotABlockFile(f"a block is damaged: {error}") from error


class Replay:
    """Blocks of a file, executed one after the other on a chain that holds their parents."""

    def __init__(self, chain: Blockchain, genesis: Digest) -> None:
        self._chain = chain
        self._genesis = genesis
        self._prefix = signing_prefix(genesis, chain.config.system.spec_version)
        self._waiting: list[Imported] = []

    def run(self, blocks: Iterable[Stored], on_final: Callable[[int], None]) -> int:
        """Take blocks until they end; return how many became final here.

        Blocks that the chain has already are passed over. ``on_final`` is told each new height.
        Raises: InvalidBlock, NotABlockFile, LoopinError of the store.
        """
        count = 0
        for stored in blocks:
            if stored.block.header.height <= self._chain.final.height:
                continue
            self._take(stored.block)
            if stored.certificate:
                count += self._finalize(stored.certificate)
                on_final(self._chain.final.height)
            elif len(self._waiting) >= UNCERTIFIED_MAX:
                raise BadFinality(f"{UNCERTIFIED_MAX} blocks in a row without a certificate")
        return count

    def _take(self, block: Block) -> None:
        body = run_slices(decode_body(block, lambda _: None))
        for encoded in body.unverified:
            if not self._is_signed(encoded):
                raise InvalidBody("an extrinsic's signature is not its signer's")
        parent = block.header.parent_hash
        epoch = Epoch(epoch_of(block.header.height, self._chain.config.session.epoch_length))
        if not self._chain.has_block(parent):
            raise InvalidBlock(f"block {block.header.height} does not follow the block before it")
        rules = self._chain.rules(epoch, parent)
        self._waiting.append(run_slices(import_block(self._chain, block, body, rules)))

    def _is_signed(self, encoded: bytes) -> bool:
        extrinsic = Extrinsic.decode(encoded)
        assert extrinsic.signer is not None, "inherents are not among the unverified"
        assert extrinsic.signature is not None, "what has a signer has a signature"
        message = signing_payload(self._prefix, encoded)
        return is_valid_signature(PublicKey(extrinsic.signer), message, extrinsic.signature)

    def _finalize(self, encoded: bytes) -> int:
        """Make every waiting block final, once the certificate says so of the last."""
        last = self._waiting[-1]
        try:
            certificate = CERTIFICATE.decode(encoded)
        except DecodeError as error:
            raise BadFinality(f"block {last.header.height}: {error}") from error
        is_of_it = certificate.block == last.hash and certificate.epoch == last.header.epoch
        if certificate.kind is not Kind.FINALIZE or not is_of_it:
            raise BadFinality(f"the certificate of block {last.header.height} is of another")
        rules = self._chain.rules(last.header.epoch, last.header.parent_hash)
        try:
            verify_certificate(rules.table, self._genesis, certificate)
        except LoopinError as error:
            raise BadFinality(f"block {last.header.height}: {error.reason}") from error
        handover = self._chain.handover_after(last, encoded)
        self._chain.commit_path(self._waiting, encoded, handover)
        run_slices(self._chain.on_path_committed(self._waiting))
        count = len(self._waiting)
        self._waiting.clear()
        return count
