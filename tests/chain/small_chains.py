"""Real chains in real databases, small enough for a test: specs, extrinsics, blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chain.blockchain import Blockchain, Finalized, Imported
from chain.builder import Assignment, build_block
from chain.header_checks import EpochRules
from chain.importer import decode_body, import_block
from chain.slices import run_slices
from chain.store import Store
from chain.store_schema import FinalizedBlock
from genesis.build import build_genesis
from genesis.presets import (
    DEV_NAMES,
    build_spec,
    dev_account,
    dev_member,
    dev_session_seeds,
)
from genesis.spec import ChainSpec
from primitives.beacon import vrf_input
from primitives.block import (
    IMMORTAL,
    Block,
    Header,
    encode_receipts,
    encode_signed,
    signing_payload,
    signing_prefix,
)
from primitives.codec import Plain, encode
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.errors import InvalidExtrinsic
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    View,
)
from primitives.vrf import prove, verify
from runtime.executive import ReadyExtrinsic
from runtime.session import Config as SessionConfig
from runtime.session import epoch_of

LOOP = 10**9
SESSION_NAMES = (*DEV_NAMES, "Fresh")
"""Whose session keys a test can sign with; the last belong to nobody until they are set."""


def small_spec(
    validators: Sequence[str] = ("Alice",), *, epoch_length: int = 600, interval: int = 1000
) -> ChainSpec:
    """Return a spec like that of ``--dev``, with other validators or shorter epochs."""
    spec = build_spec(
        id="small",
        name="Small",
        chain_type="development",
        validators=[dev_member(name) for name in validators],
        endowed=[dev_account(name) for name in DEV_NAMES],
        block_interval=Millis(interval),
    )
    runtime = replace(spec.runtime, session=SessionConfig(epoch_length=epoch_length))
    return replace(spec, runtime=runtime)


def genesis_of(spec: ChainSpec) -> FinalizedBlock:
    """Return the genesis block as the store takes it."""
    genesis = build_genesis(spec)
    header = genesis.block.header
    return FinalizedBlock(
        height=header.height,
        hash=genesis.hash,
        parent_hash=header.parent_hash,
        state_root=header.state_root,
        header=header.encode(),
        body=encode([]),
        receipts=encode_receipts([]),
        certificate=b"",
        state_writes=genesis.state,
    )


@dataclass
class SmallChain:
    """A chain, and what a test needs to make blocks for it."""

    spec: ChainSpec
    chain: Blockchain
    prefix: bytes

    @classmethod
    def open(cls, path: Path, spec: ChainSpec) -> "SmallChain":
        """Open the chain in ``path``, or begin it there."""
        genesis = genesis_of(spec)
        is_new = not (path / "CURRENT").exists()
        store = Store.create(path, genesis, chain_spec=b"{}") if is_new else Store.open(path)
        chain = Blockchain(store, config=spec.runtime, interval=spec.consensus.block_interval)
        prefix = signing_prefix(genesis.hash, spec.runtime.system.spec_version)
        return cls(spec, chain, prefix)

    def close(self) -> None:
        self.chain.store.close()

    def signed(self, name: str, nonce: int, call: Plain, *, tip: int = 0) -> ReadyExtrinsic:
        """Return an extrinsic of ``//name``."""
        return ReadyExtrinsic.decode(
            sign(self.prefix, derive_key_pair(f"//{name}"), nonce, call, tip)
        )

    def transfer(self, name: str, nonce: int, to: str, amount: int = LOOP) -> ReadyExtrinsic:
        """Return a transfer between two development accounts."""
        return self.signed(name, nonce, ["balances.transfer", dev_account(to), amount])

    def rules(self, parent: Digest) -> EpochRules:
        """Return the rules for a block on ``parent``."""
        height = Height(self.chain.header(parent).height + 1)
        epoch = epoch_of(height, self.spec.runtime.session.epoch_length)
        return self.chain.rules(Epoch(epoch), parent)

    def assignment(self, parent: Digest, view: int | None = None) -> Assignment:
        """Return what the leader of ``view`` is told to build; by default the next view."""
        header, rules = self.chain.header(parent), self.rules(parent)
        if view is None:
            view = header.view + 1 if header.epoch == rules.epoch else 1
        account, public = rules.leader(View(view))
        pairs = (KeyPair(dev_session_seeds(name).vrf) for name in SESSION_NAMES)
        key = next(pair for pair in pairs if pair.public == public)
        alpha = vrf_input(rules.randomness, rules.epoch, View(view))
        proof = prove(key, alpha)
        return Assignment(
            parent=parent,
            view=View(view),
            timestamp=Millis(header.timestamp + self.chain.interval),
            author=account,
            vrf_proof=proof,
            vrf_output=verify(public, alpha, proof),
        )

    def build(
        self,
        parent: Digest,
        extrinsics: Sequence[ReadyExtrinsic] = (),
        *,
        view: int | None = None,
        refused: list[InvalidExtrinsic] | None = None,
    ) -> Imported:
        """Build a block on ``parent`` and hold it."""
        lost = [] if refused is None else refused
        return run_slices(
            build_block(
                self.chain,
                self.assignment(parent, view),
                extrinsics,
                is_late=lambda: False,
                on_invalid=lambda _, error: lost.append(error),
            )
        )

    def take(self, block: Block) -> Imported:
        """Import a block whose signatures are known to be valid."""
        body = run_slices(decode_body(block, lambda _: None))
        return run_slices(
            import_block(self.chain, block, body, self.rules(block.header.parent_hash))
        )

    def finalize(self, imported: Imported, certificate: bytes = b"certificate") -> Finalized:
        """Make a held block final."""
        self.chain.commit(imported, certificate)
        return run_slices(self.chain.on_committed(imported))

    def free(self, name: str, at: Digest) -> int:
        """Return the free balance of a development account."""
        return self.chain.runtime_after(at).balances.free[dev_account(name)]


def sign(prefix: bytes, pair: KeyPair, nonce: int, call: Plain, tip: int = 0) -> bytes:
    """Return an encoded extrinsic."""

    def encoded(signature: Signature) -> bytes:
        return encode_signed(
            signer=AccountId(pair.public),
            nonce=Nonce(nonce),
            valid_until=IMMORTAL,
            tip=Balance(tip),
            call=call,
            signature=signature,
        )

    return encoded(pair.sign(signing_payload(prefix, encoded(Signature(bytes(64))))))


def forged(block: Block, **changes: object) -> Block:
    """Return ``block`` with other header fields; its author need not agree."""
    header: Header = replace(block.header, **changes)  # type: ignore[arg-type]  # any field
    return Block(header, block.extrinsics)
