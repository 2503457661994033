"""Reading, and sending to, a real node whose chain has a provider from genesis on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from genesis.presets import CPU_CLASS, dev_account, small_pocps_config
from genesis.spec import ChainSpec
from node.client.endpoint import Endpoint
from node.client.errors import NodeUnreachable
from node.client.node_client import NodeClient
from node.provider.chain_reader import NoSuchClass, PocpsReader
from node.provider.folder import locked_folder
from node.provider.sender import NotSent, Sender
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import Height
from runtime.pocps.classes import kind_of, response_weight
from runtime.pocps.records import GenesisProvider
from runtime.session import Config as SessionConfig
from tests.node.cli.running import invoke, quick_spec, running_node, wait_for_height

EPOCH_LENGTH = 40
UNITS = 30


def proving_spec() -> ChainSpec:
    """Return a quick chain on which //Alice owes proofs from genesis on."""
    spec = quick_spec()
    alice = GenesisProvider(dev_account("Alice"), CPU_CLASS.class_id, UNITS)
    pocps = replace(small_pocps_config(EPOCH_LENGTH), providers=(alice,))
    session = SessionConfig(epoch_length=EPOCH_LENGTH)
    return replace(spec, runtime=replace(spec.runtime, session=session, pocps=pocps))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node"), proving_spec()) as address:
        wait_for_height(address, 1)
        yield address


@pytest.fixture
def client(url: str) -> Iterator[NodeClient]:
    with NodeClient(Endpoint.parse(url)) as client:
        yield client


def alice() -> KeyPair:
    return derive_key_pair("//Alice")


def reader_of(client: NodeClient, name: str) -> PocpsReader:
    return PocpsReader(client, dev_account(name))


def test_windows_and_classes_are_the_specs(client: NodeClient) -> None:
    reader = reader_of(client, "Alice")

    windows, classes = reader.windows(), reader.classes()

    assert windows.epoch_length == EPOCH_LENGTH
    assert windows.commit_deadline == EPOCH_LENGTH // 2
    assert list(classes) == [each.class_id for each in proving_spec().runtime.pocps.classes]
    assert classes[1].response_weight == response_weight(CPU_CLASS)
    assert reader.staked_classes() == [1]
    assert reader_of(client, "Bob").staked_classes() == []


def test_a_sight_is_of_the_epoch_of_the_next_block(client: NodeClient) -> None:
    reader = reader_of(client, "Alice")
    wait_for_height(client.endpoint.url, EPOCH_LENGTH)
    boundary = client.hash_at(Height(EPOCH_LENGTH))
    before = client.hash_at(Height(EPOCH_LENGTH - 1))
    assert boundary is not None
    assert before is not None

    last, first = (reader.look(1, client.header(block)) for block in (before, boundary))

    assert (last.epoch, first.epoch) == (0, 1)
    seed = proving_spec().genesis_randomness
    assert last.challenge == kind_of(CPU_CLASS).challenge(seed)
    assert first.challenge != last.challenge
    assert (first.staked, first.due, first.claim) == (UNITS, UNITS, UNITS)
    assert last.beacon is not None
    assert first.beacon is None
    assert first.commitment is None
    assert not first.has_responded


def test_who_has_no_units_owes_nothing(client: NodeClient) -> None:
    sight = reader_of(client, "Bob").look(1, client.header())

    assert (sight.staked, sight.due, sight.claim, sight.penalty) == (0, 0, 0, 0)
    assert sight.fault is None


def test_a_class_that_is_not_there_is_named(client: NodeClient) -> None:
    with pytest.raises(NoSuchClass, match="9"):
        reader_of(client, "Alice").look(9, client.header())


async def _send(url: str, call: list[object], *, valid_for: int = 64) -> int:
    with NodeClient(Endpoint.parse(url)) as client:
        until = Height(client.header().header.height + valid_for)
    sender = Sender(Endpoint.parse(url), derive_key_pair("//Charlie"))
    return await sender.send(call, until, raise_tip=1, tip_max=1000)  # type: ignore[arg-type] # plain values


async def test_a_call_that_is_included_costs_its_fee(url: str) -> None:
    assert await _send(url, ["pocps.register", 1, 20]) > 0


async def test_a_call_that_fails_says_with_what(url: str) -> None:
    with pytest.raises(NotSent, match="pocps"):
        await _send(url, ["pocps.commit", 2, 5, bytes(32)])


async def test_a_call_that_no_mempool_takes_is_not_sent(url: str) -> None:
    with pytest.raises(NotSent):
        await _send(url, ["pocps.no_such_call"])


async def test_two_calls_at_once_get_two_nonces(url: str) -> None:
    costs: list[int] = []

    async def send(sender: Sender) -> None:
        call = ["balances.transfer", bytes(dev_account("Bob")), 10**9]
        costs.append(await sender.send(call, Height(10**6), raise_tip=0, tip_max=0))  # type: ignore[arg-type] # plain values

    sender = Sender(Endpoint.parse(url), alice())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, sender)
        nursery.start_soon(send, sender)

    assert len(costs) == 2
    assert all(cost > 0 for cost in costs)


async def test_nothing_is_sent_where_no_node_answers() -> None:
    sender = Sender(Endpoint.parse("http://127.0.0.1:1"), alice())

    with pytest.raises(NodeUnreachable):
        await sender.send(["pocps.withdraw", 1], Height(1), raise_tip=0, tip_max=0)


def test_a_provider_without_units_is_told_what_to_do(url: str, tmp_path: Path) -> None:
    words = ("provider", "run", "--key", "//Bob", "--url", url, "--folder", tmp_path)

    nothing = invoke(*words)
    unknown = invoke(*words, "--class", 9)

    assert nothing.code == unknown.code == 3
    assert "loopin provider join" in nothing.err
    assert "1 (cpu), 2 (storage)" in unknown.err


def test_a_provider_has_one_key(tmp_path: Path) -> None:
    assert invoke("provider", "run").code == 2
    assert invoke("provider", "run", "--key", "//A", "--key-file", tmp_path / "x").code == 2


def test_a_second_program_keeps_out_of_the_folder(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        result = invoke("provider", "run", "--key", "//Bob", "--folder", tmp_path)

    assert result.code == 3
    assert "--folder" in result.err


def test_the_bench_takes_classes_and_pace_from_a_node(url: str) -> None:
    words = ("miner", "bench", "--url", url, "--device", "numpy", "--seconds", "0.05", "--json")

    document = invoke(*words).json

    assert [row["class"] for row in document["rows"]] == [1, 2]
    assert all(row["problem"] is None for row in document["rows"])
    assert document["windowSeconds"] > 0
    assert document["best"]["1"] == "numpy"
