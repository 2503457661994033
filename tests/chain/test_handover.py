"""Power tables from epoch to epoch: the true ones are taken, every change of one is refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chain.handover import Checkpoint, CheckpointMissed, Handover, NotBoundary, NotFinal
from chain.light_proof import WrongValue
from chain.state_proof import STATE_PROOF, InvalidProof
from consensus.simplex.messages import CERTIFICATE, Kind
from consensus.simplex.verification import BadBitmap, BadSignature, NoQuorum
from primitives.block import HEADER
from primitives.errors import DecodeError, LoopinError
from primitives.power_table import POWER_TABLE, PowerTable
from primitives.types import Digest, Epoch, Height, Millis, Signature, VotingPower
from tests.chain.certified_chains import (
    add_final,
    checkpoint_at,
    grow,
    handover,
    signed_certificate,
    tables_of,
)
from tests.chain.small_chains import SmallChain, small_spec

EPOCH = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallChain]:
    spec = small_spec(("Alice", "Bob", "Charlie", "Dave"), epoch_length=EPOCH)
    chain = SmallChain.open(tmp_path_factory.mktemp("chain") / "db", spec)
    grow(chain, 3 * EPOCH + 1)
    yield chain
    chain.close()


def test_tables_are_followed_from_genesis_to_the_present(small: SmallChain) -> None:
    tables = tables_of(small)

    heights = [tables.advance(handover(small, epoch)).height for epoch in range(3)]

    assert heights == [EPOCH, 2 * EPOCH, 3 * EPOCH]
    assert tables.epoch == 3
    assert tables.table == small.rules(small.chain.final_hash).table
    certificate = small.chain.store.reads.certificate_at(small.chain.final.height)
    assert tables.verify_final(small.chain.final, certificate).block == small.chain.final_hash


def change_header(item: Handover) -> Handover:
    header = HEADER.decode(item.header)
    return replace(item, header=replace(header, timestamp=Millis(header.timestamp + 1)).encode())


def change_table(item: Handover) -> Handover:
    table = POWER_TABLE.decode(item.table)
    first = replace(table.validators[0], weight=VotingPower(1000))
    stolen = PowerTable((first, *table.validators[1:]))
    return replace(item, table=POWER_TABLE.encode(stolen))


def change_proof(item: Handover) -> Handover:
    proof = STATE_PROOF.decode(item.proof)
    entries = bytearray(proof.entries)
    entries[-1] ^= 1
    return replace(item, proof=STATE_PROOF.encode(replace(proof, entries=bytes(entries))))


def change_signature(item: Handover) -> Handover:
    certificate = CERTIFICATE.decode(item.certificate)
    forged = (Signature(bytes(64)), *certificate.signatures[1:])
    return replace(item, certificate=CERTIFICATE.encode(replace(certificate, signatures=forged)))


def drop_signers(item: Handover) -> Handover:
    certificate = CERTIFICATE.decode(item.certificate)
    fewer = replace(certificate, signers=b"\x03", signatures=certificate.signatures[:2])
    return replace(item, certificate=CERTIFICATE.encode(fewer))


def add_signer(item: Handover) -> Handover:
    certificate = CERTIFICATE.decode(item.certificate)
    more = replace(certificate, signers=b"\x1f")
    return replace(item, certificate=CERTIFICATE.encode(more))


def notarize(item: Handover) -> Handover:
    certificate = CERTIFICATE.decode(item.certificate)
    weaker = replace(certificate, kind=Kind.NOTARIZE)
    return replace(item, certificate=CERTIFICATE.encode(weaker))


def later_epoch(item: Handover) -> Handover:
    certificate = CERTIFICATE.decode(item.certificate)
    return replace(item, certificate=CERTIFICATE.encode(replace(certificate, epoch=Epoch(1))))


@pytest.mark.parametrize(
    "change, refusal",
    [
        (change_header, NotFinal),
        (change_table, WrongValue),
        (change_proof, InvalidProof),
        (change_signature, BadSignature),
        (drop_signers, NoQuorum),
        (add_signer, BadBitmap),
        (notarize, NotFinal),
        (later_epoch, NotFinal),
        (lambda item: replace(item, header=item.header[:-1]), DecodeError),
        (lambda item: replace(item, certificate=b""), DecodeError),
        (lambda item: replace(item, table=item.table[:-1]), WrongValue),
        (lambda item: replace(item, proof=item.proof + b"\x00"), DecodeError),
    ],
)
def test_every_lie_is_refused_by_name_and_changes_nothing(
    small: SmallChain, change: Callable[[Handover], Handover], refusal: type[LoopinError]
) -> None:
    tables = tables_of(small)
    before = tables.table

    with pytest.raises(refusal):
        tables.advance(change(handover(small, 0)))

    assert (tables.epoch, tables.table) == (0, before)
    tables.advance(handover(small, 0))


def test_handover_of_another_epoch_is_refused(small: SmallChain) -> None:
    with pytest.raises(NotFinal):
        tables_of(small).advance(handover(small, 1))


def test_handover_of_another_chain_is_refused(small: SmallChain) -> None:
    tables = tables_of(small)
    tables.genesis = Digest(bytes(32))

    with pytest.raises(BadSignature):
        tables.advance(handover(small, 0))


def test_final_block_that_ends_no_epoch_hands_nothing_over(tmp_path: Path) -> None:
    small = SmallChain.open(tmp_path / "db", small_spec(epoch_length=EPOCH))
    imported = add_final(small)
    certificate = small.chain.store.reads.certificate_at(imported.header.height)
    item = Handover(imported.header.encode(), certificate, b"", b"")

    with pytest.raises(NotBoundary):
        tables_of(small).advance(item)
    small.close()


def test_chain_that_goes_through_the_checkpoint_is_taken(small: SmallChain) -> None:
    tables = tables_of(small, checkpoint_at(small, 2 * EPOCH))

    tables.advance(handover(small, 0))
    assert not tables.has_passed_checkpoint
    tables.advance(handover(small, 1))

    assert tables.has_passed_checkpoint


def test_chain_that_misses_the_checkpoint_is_refused(small: SmallChain) -> None:
    trusted = Checkpoint(Height(2 * EPOCH), Digest(bytes(32)))
    tables = tables_of(small, trusted)
    tables.advance(handover(small, 0))

    with pytest.raises(CheckpointMissed):
        tables.advance(handover(small, 1))

    assert tables.epoch == 1


def test_checkpoint_inside_an_epoch_is_refused(small: SmallChain) -> None:
    with pytest.raises(NotBoundary):
        tables_of(small, checkpoint_at(small, EPOCH + 1))


def test_fewer_than_a_quorum_make_no_header_final(small: SmallChain) -> None:
    parent = small.chain.final_hash
    imported = small.build(parent)
    tables = tables_of(small)
    for epoch in range(3):
        tables.advance(handover(small, epoch))

    two = CERTIFICATE.encode(signed_certificate(small, imported, signers=2))
    three = CERTIFICATE.encode(signed_certificate(small, imported, signers=3))

    with pytest.raises(NoQuorum):
        tables.verify_final(imported.header, two)
    assert tables.verify_final(imported.header, three).block == imported.hash
