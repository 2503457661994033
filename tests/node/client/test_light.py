"""Following a chain through a node that says whatever a test wants."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from chain.handover import HANDOVER, NotFinal
from chain.light_client import EpochSkipped, HeadTooOld, LightClient, StaleHead
from chain.light_proof import WrongValue
from genesis.presets import dev_account
from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer
from node.client.light import HANDOVERS_PER_CALL, OtherChain, fetch_balance, follow
from node.client.node_client import KnownHeader, NodeClient
from primitives.block import Header
from primitives.codec import AMOUNT
from primitives.types import Balance, Digest, Epoch, Height, Millis, StorageKey
from tests.chain.certified_chains import genesis_hash, grow, tables_of
from tests.chain.small_chains import SmallChain, small_spec

EPOCH = 2
HEAD = 2 * EPOCH + 1


class TestimonyClient(NodeClient):
    """Answers from a chain in this process, as far as a test leaves it alone."""

    __test__ = False

    def __init__(self, small: SmallChain) -> None:
        super().__init__(Endpoint.parse("http://127.0.0.1:1"))
        self.small = small
        self.genesis_hash = genesis_hash(small)
        self.height = HEAD
        self.hidden_epochs = 0
        self.lost_certificates = 0

    def handovers(self, first: Epoch, count: int) -> list[bytes]:
        reads = self.small.chain.store.reads
        last = self.height // EPOCH - self.hidden_epochs
        found = [reads.find_handover(Epoch(epoch)) for epoch in range(first, last)]
        return [handover for handover in found if handover is not None][:count]

    def final_hash(self) -> Digest:
        return self.small.chain.final_header_at(Height(self.height)).hash

    def header(self, block: Digest | None = None) -> KnownHeader:
        header = self.small.chain.header(block or self.final_hash())
        return KnownHeader(header.hash, header)

    def find_certificate(self, block: Digest) -> bytes | None:
        if self.lost_certificates:
            self.lost_certificates -= 1
            return None
        height = self.small.chain.header(block).height
        return self.small.chain.store.reads.certificate_at(height)

    def storage(self, key: StorageKey, at: Digest | None = None) -> bytes | None:
        return self.small.chain.state_after(self.small.chain.final_hash).get(key)

    def read_proof(self, key: StorageKey, at: Digest) -> bytes:
        return self.small.chain.tree.tree.prove(key, self.small.chain.header(at).state_root)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallChain]:
    path = tmp_path_factory.mktemp("chain") / "db"
    chain = SmallChain.open(path, small_spec(epoch_length=EPOCH))
    grow(chain, HEAD)
    yield chain
    chain.close()


@pytest.fixture
def light(small: SmallChain) -> LightClient:
    return LightClient(tables_of(small))


def seen(_: Epoch, __: Header) -> None:
    """Nobody looks."""


def test_head_and_balance_are_proven_through_the_epochs(
    small: SmallChain, light: LightClient
) -> None:
    client = TestimonyClient(small)
    epochs: list[int] = []

    header = follow(client, light, lambda epoch, _: epochs.append(epoch))

    assert header == small.chain.final
    assert epochs == [1, 2]
    assert len(epochs) < HANDOVERS_PER_CALL
    balance = fetch_balance(client, light, dev_account("Bob"))
    assert balance == small.free("Bob", small.chain.final_hash)


def test_certificate_that_comes_late_is_asked_for_again(
    small: SmallChain, light: LightClient
) -> None:
    client = TestimonyClient(small)
    client.lost_certificates = 2

    assert follow(client, light, seen).height == HEAD


def test_node_of_another_chain_is_refused(small: SmallChain, light: LightClient) -> None:
    client = TestimonyClient(small)
    client.genesis_hash = Digest(bytes(32))

    with pytest.raises(OtherChain):
        follow(client, light, seen)


def test_node_that_hides_its_certificates_is_refused(small: SmallChain, light: LightClient) -> None:
    client = TestimonyClient(small)
    client.lost_certificates = 10**6

    with pytest.raises(BadAnswer):
        follow(client, light, seen)


def test_node_that_hides_handovers_is_refused(small: SmallChain, light: LightClient) -> None:
    client = TestimonyClient(small)
    client.hidden_epochs = 1

    with pytest.raises(EpochSkipped):
        follow(client, light, seen)


def test_node_that_goes_back_is_refused(small: SmallChain, light: LightClient) -> None:
    client = TestimonyClient(small)
    follow(client, light, seen)

    client.height = HEAD - 1
    with pytest.raises(StaleHead):
        follow(client, light, seen)


def test_node_that_shows_the_past_only_is_found_out_by_the_clock(
    small: SmallChain, light: LightClient
) -> None:
    client = TestimonyClient(small)
    client.height = 1
    header = follow(client, light, seen)

    with pytest.raises(HeadTooOld):
        light.require_recent(Millis(small.chain.final.timestamp), Millis(1))
    assert header.height == 1


def test_handover_that_was_tampered_with_is_refused(
    small: SmallChain, light: LightClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestimonyClient(small)
    first, second = (HANDOVER.decode(item) for item in client.handovers(Epoch(0), 9))
    mixed = HANDOVER.encode(replace(first, certificate=second.certificate))
    monkeypatch.setattr(client, "handovers", lambda *_: [mixed])

    with pytest.raises(NotFinal):
        follow(client, light, seen)


def test_balance_that_is_a_lie_is_refused(
    small: SmallChain, light: LightClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestimonyClient(small)
    follow(client, light, seen)
    monkeypatch.setattr(client, "storage", lambda *_: AMOUNT.encode(Balance(10**18)))

    with pytest.raises(WrongValue):
        fetch_balance(client, light, dev_account("Bob"))
