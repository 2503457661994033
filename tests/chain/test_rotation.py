"""Validators come, go and change their keys, on a chain of two nodes with real blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.simplex.evidence import EVIDENCE, evidence_of
from consensus.simplex.messages import Notarize, message_bytes
from genesis.presets import DEV_BOND, dev_account, dev_session_seeds
from primitives.block import Receipt
from primitives.crypto import KeyPair
from primitives.types import Digest, Epoch, PublicKey, Signature, View
from runtime.executive import ReadyExtrinsic
from tests.chain.small_chains import SmallChain, small_spec
from tests.runtime.staking_chain import keys_call, seeds_of

LENGTH = 4


class TwoNodes:
    """One node builds every block, another imports it; both make it final."""

    def __init__(self, path: Path) -> None:
        spec = small_spec(("Alice", "Bob"), epoch_length=LENGTH)
        self.builder = SmallChain.open(path / "builder", spec)
        self.importer = SmallChain.open(path / "importer", spec)
        self.genesis = self.builder.chain.final_hash
        self.nonces: dict[str, int] = {}

    def close(self) -> None:
        self.builder.close()
        self.importer.close()

    def block(self, *calls: tuple[str, Sequence[object]]) -> tuple[Receipt, ...]:
        """Make a block of calls and return their receipts."""
        extrinsics = [self._signed(name, call) for name, call in calls]
        built = self.builder.build(self.builder.chain.final_hash, extrinsics)
        taken = self.importer.take(built.block)
        assert taken.hash == built.hash
        assert taken.executed == built.executed
        self.builder.finalize(built)
        self.importer.finalize(taken)
        receipts: tuple[Receipt, ...] = built.executed.receipts[2:-1]
        assert len(receipts) == len(calls)
        return receipts

    def end_epochs(self, count: int) -> None:
        """Make empty blocks to the end of the epoch, and of those after it."""
        height = self.builder.chain.final.height
        for _ in range((height // LENGTH + count) * LENGTH - height):
            self.block()

    def voters(self, epoch: int) -> dict[bytes, PublicKey]:
        session = self.importer.chain.runtime_after(self.importer.chain.final_hash).session
        table = session.table(Epoch(epoch))
        return {entry.account: entry.consensus_key for entry in table.validators}

    def _signed(self, name: str, call: Sequence[object]) -> ReadyExtrinsic:
        nonce = self.nonces.get(name, 0)
        self.nonces[name] = nonce + 1
        return self.builder.signed(name, nonce, list(call))  # type: ignore[arg-type]  # a call


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[TwoNodes]:
    made = TwoNodes(tmp_path)
    yield made
    made.close()


def consensus_key(name: str) -> PublicKey:
    return seeds_of(name)[0].public


def test_blocks_are_made_with_new_keys_from_the_epoch_after_the_next(nodes: TwoNodes) -> None:
    alice = dev_account("Alice")

    (receipt,) = nodes.block(("Alice", keys_call(alice, "Fresh", nodes.genesis)))
    nodes.end_epochs(5)

    assert receipt.error == ""
    assert [nodes.voters(epoch)[alice] for epoch in range(6)] == [
        consensus_key("Alice"),
        consensus_key("Alice"),
        *[consensus_key("Fresh")] * 4,
    ]
    chain = nodes.importer.chain
    authors = [chain.final_header_at(height).author for height in range(9, 21)]  # type: ignore[arg-type]  # heights
    # Both validators led in the epochs of the new keys, so the new VRF key made valid headers.
    assert set(authors) == {alice, dev_account("Bob")}


def test_keys_for_another_chain_are_refused(nodes: TwoNodes) -> None:
    elsewhere = Digest(bytes([1]) * 32)

    (receipt,) = nodes.block(("Alice", keys_call(dev_account("Alice"), "Fresh", elsewhere)))

    assert receipt.error == "session.InvalidKeyProof"


def test_a_validator_joins_and_another_leaves(nodes: TwoNodes) -> None:
    dave = dev_account("Dave")
    nodes.block(
        ("Dave", keys_call(dave, "Dave", nodes.genesis)),
        ("Dave", ["staking.bond", DEV_BOND]),
        ("Dave", ["staking.validate", 0]),
    )
    nodes.end_epochs(2)
    assert set(nodes.voters(1)) == {dev_account("Alice"), dev_account("Bob")}
    assert set(nodes.voters(2)) == {dev_account("Alice"), dev_account("Bob"), dave}

    nodes.block(("Bob", ["staking.chill"]))
    nodes.end_epochs(1)

    assert set(nodes.voters(3)) == {dev_account("Alice"), dave}
    nodes.end_epochs(1)


def test_a_node_convicts_who_signed_two_blocks(nodes: TwoNodes) -> None:
    bob = dev_account("Bob")
    spec = nodes.builder.spec
    position = [member.account for member in spec.validators].index(bob)
    key = KeyPair(dev_session_seeds("Bob").consensus)
    votes = [
        Notarize(Epoch(0), View(1), Digest(bytes([n]) * 32), position, Signature(bytes(64)))
        for n in (1, 2)
    ]
    signed = [
        replace(vote, signature=key.sign(message_bytes(nodes.genesis, vote))) for vote in votes
    ]
    report = EVIDENCE.encode(evidence_of(signed[0], signed[1]))

    first, second = nodes.block(
        ("Charlie", ["offences.report", report]), ("Dave", ["offences.report", report])
    )
    nodes.end_epochs(1)

    assert (first.error, second.error) == ("", "offences.AlreadyPunished")
    runtime = nodes.importer.chain.runtime_after(nodes.importer.chain.final_hash)
    assert runtime.staking.ledgers[bob].active == DEV_BOND * 95 // 100
    assert bob not in nodes.voters(1)
