"""A client and a provider's service over real connections on loopback."""

from pathlib import Path

import pytest
import trio

from node.lease import session
from node.lease.client import LeaseAccess
from node.lease.program import KeyFileUnusable, ServeSettings, load_service_key, network_config
from node.lease.service import LeaseService, ServiceConfig
from node.lease.session import NotReached, Place, connected, sample
from p2p.identity import Address, peer_id_of_key
from p2p.network import Network
from primitives.crypto import KeyPair
from tests.node.lease.lease_world import (
    GENESIS,
    HEIGHT,
    LEASE,
    LEASE_KEY,
    PROVIDER,
    FakeBook,
    ignore,
)
from tests.runtime.jobs.world import make_network, make_rows

LOOPBACK = Address("/ip4/127.0.0.1/tcp/0")


async def test_a_job_goes_over_noise_to_the_announced_key_and_back(tmp_path: Path) -> None:
    settings = ServeSettings(tmp_path, LOOPBACK)
    key = load_service_key(tmp_path)
    service = LeaseService(ServiceConfig(tmp_path / "jobs", 10), FakeBook(), key)
    server = Network(network_config(key.seed, GENESIS, settings), service)
    service.attach(server)
    network, rows = make_network([8, 4]), make_rows(10, 8)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await nursery.start(service.run)
        place = Place(PROVIDER, peer_id_of_key(key.public), server.addresses)
        access = LeaseAccess(GENESIS, LEASE, PROVIDER, LEASE_KEY)

        async with connected(access, place) as client:
            outcome = await client.run_network(network, rows, HEIGHT, ignore)

        nursery.cancel_scope.cancel()

    assert (outcome.data.outputs == network.run(rows)).all()


async def test_a_provider_that_is_not_there_is_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONNECT_SECONDS", 0.2)
    peer = peer_id_of_key(KeyPair(bytes(32)).public)
    place = Place(PROVIDER, peer, (Address("/ip4/127.0.0.1/tcp/1"),))

    with pytest.RaisesGroup(NotReached):
        async with connected(LeaseAccess(GENESIS, LEASE, PROVIDER, LEASE_KEY), place):
            raise AssertionError("nobody is there")


def test_a_services_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    first = load_service_key(folder)

    assert load_service_key(folder).public == first.public
    assert (folder / "service.key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "service.key").write_text("nonsense")

    with pytest.raises(KeyFileUnusable):
        load_service_key(tmp_path)


def test_a_sample_is_of_different_rows_in_their_order() -> None:
    drawn = sample(5, 100)

    assert len(set(drawn)) == 5
    assert drawn == sorted(drawn)
    assert sample(16, 3) == [0, 1, 2]
    assert sample(0, 3) == []
