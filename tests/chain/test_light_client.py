"""A client that trusts the chain spec alone: what it believes and what it refuses."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chain.handover import HANDOVER, NotFinal
from chain.light_client import (
    CheckpointNotReached,
    EpochSkipped,
    HeadTooOld,
    LightClient,
    StaleHead,
)
from chain.light_proof import ReadProof, WrongHeader, WrongValue
from chain.state_proof import InvalidProof
from consensus.simplex.verification import InvalidMessage
from genesis.presets import dev_account
from primitives.block import Header
from primitives.codec import ACCOUNT, AMOUNT
from primitives.errors import DecodeError
from primitives.types import AccountId, Balance, Height, Millis, StorageKey
from tests.chain.certified_chains import checkpoint_at, grow, handover, tables_of
from tests.chain.small_chains import SmallChain, small_spec

EPOCH = 4
HEAD = 2 * EPOCH + 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path_factory.mktemp("chain") / "db", small_spec(epoch_length=EPOCH))
    grow(chain, HEAD)
    yield chain
    chain.close()


@pytest.fixture
def light(small: SmallChain) -> LightClient:
    client = LightClient(tables_of(small))
    for epoch in range(2):
        client.take_handover(HANDOVER.encode(handover(small, epoch)))
    return client


def at(small: SmallChain, height: int) -> tuple[bytes, bytes]:
    header = small.chain.final_header_at(Height(height))
    return header.encode(), small.chain.store.reads.certificate_at(Height(height))


def balance_proof(small: SmallChain, account: AccountId) -> ReadProof:
    key = StorageKey(b"balances.free:" + ACCOUNT.encode(account))
    header: Header = small.chain.final
    proof = small.chain.tree.tree.prove(key, header.state_root)
    value = small.chain.state_after(small.chain.final_hash).get(key)
    return ReadProof(header.encode(), key, value, proof)


def test_newest_final_header_and_a_balance_are_proven(
    small: SmallChain, light: LightClient
) -> None:
    header = light.take_head(*at(small, HEAD))

    balance = light.read_balance(balance_proof(small, dev_account("Bob")))

    assert header.height == HEAD
    assert balance == small.free("Bob", small.chain.final_hash)


def test_account_that_does_not_exist_has_nothing_and_that_is_proven(
    small: SmallChain, light: LightClient
) -> None:
    light.take_head(*at(small, HEAD))

    assert light.read_balance(balance_proof(small, AccountId(bytes([7]) * 32))) == 0


def test_last_block_of_an_epoch_is_a_head_too(small: SmallChain, light: LightClient) -> None:
    assert light.take_head(*at(small, 2 * EPOCH)).height == 2 * EPOCH


def test_older_head_than_the_known_one_is_refused(small: SmallChain, light: LightClient) -> None:
    light.take_head(*at(small, HEAD))

    with pytest.raises(StaleHead):
        light.take_head(*at(small, HEAD - 1))


def test_head_of_an_epoch_whose_table_is_not_proven_is_refused(small: SmallChain) -> None:
    client = LightClient(tables_of(small))

    with pytest.raises(EpochSkipped):
        client.take_head(*at(small, HEAD))


def test_certificate_of_another_block_or_epoch_is_refused(
    small: SmallChain, light: LightClient
) -> None:
    header, certificate = at(small, HEAD)
    for height in (HEAD - 1, EPOCH):
        with pytest.raises(NotFinal):
            light.take_head(header, at(small, height)[1])
    for cut in (certificate[:-1], certificate + b"\x00", b""):
        with pytest.raises(DecodeError):
            light.take_head(header, cut)
    assert light.final is not None
    assert light.final.height == 2 * EPOCH


def test_every_flipped_byte_of_a_head_is_refused(small: SmallChain, light: LightClient) -> None:
    header, certificate = at(small, HEAD)
    for place in range(len(header)):
        forged = header[:place] + bytes([header[place] ^ 1]) + header[place + 1 :]
        with pytest.raises((DecodeError, InvalidMessage, StaleHead, EpochSkipped)):
            light.take_head(forged, certificate)
    for place in range(len(certificate)):
        forged = certificate[:place] + bytes([certificate[place] ^ 1]) + certificate[place + 1 :]
        with pytest.raises((DecodeError, InvalidMessage)):
            light.take_head(header, forged)


def test_every_lie_about_a_balance_is_refused(small: SmallChain, light: LightClient) -> None:
    light.take_head(*at(small, HEAD))
    read = balance_proof(small, dev_account("Bob"))
    other = balance_proof(small, dev_account("Alice"))

    with pytest.raises(WrongValue):
        light.read(replace(read, value=AMOUNT.encode(Balance(1))))
    with pytest.raises(WrongValue):
        light.read(replace(read, value=None))
    with pytest.raises((InvalidProof, WrongValue)):
        light.read(replace(read, key=StorageKey(other.key + b"\x00"), value=b"\x01"))
    with pytest.raises((InvalidProof, DecodeError)):
        light.read(replace(read, proof=read.proof[:-1] + bytes([read.proof[-1] ^ 1])))
    with pytest.raises(WrongHeader):
        light.read(replace(read, header=at(small, HEAD - 1)[0]))


def test_head_from_long_ago_is_refused(small: SmallChain, light: LightClient) -> None:
    light.take_head(*at(small, HEAD))
    timestamp = small.chain.final.timestamp

    light.require_recent(Millis(timestamp + 1000), Millis(1000))
    with pytest.raises(HeadTooOld):
        light.require_recent(Millis(timestamp + 1001), Millis(1000))


def test_chain_that_ends_before_the_checkpoint_is_refused(small: SmallChain) -> None:
    client = LightClient(tables_of(small, checkpoint_at(small, 2 * EPOCH)))
    client.take_handover(HANDOVER.encode(handover(small, 0)))

    with pytest.raises(CheckpointNotReached):
        client.take_head(*at(small, EPOCH + 1))
    client.take_handover(HANDOVER.encode(handover(small, 1)))
    assert client.take_head(*at(small, HEAD)).height == HEAD
