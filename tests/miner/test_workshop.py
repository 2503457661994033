"""The workshop: one job at a time, resumed from its checkpoint, never with a device that errs."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from miner.backends.backend import BackendUnavailable, Device, Pending
from miner.backends.numpy_backend import NumpyBackend, NumpyDevice
from miner.resources import proof_kind
from miner.workshop import Order, Told, Workshop
from primitives.types import AccountId, Digest, Epoch
from runtime.pocps.forward_pass import ForwardPassClass, Matrix, Rows
from runtime.pocps.proof import Claim
from runtime.pocps.storage_proof import StorageClass

PROVIDER = AccountId(b"p" * 32)
CHALLENGE = Digest(b"c" * 32)
BEACON = Digest(b"b" * 32)
NETWORK = ForwardPassClass(
    class_id=7, width=64, depth=2, rows_per_unit=512, rows_per_leaf=4, samples=4, units_max=50
)
DISK = StorageClass(
    class_id=8,
    labels_per_chunk=4,
    passes=2,
    chunks_per_unit=100,
    samples=4,
    units_max=20,
    operations_per_unit=1000,
)


class Clock:
    """A second passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Shop:
    """A workshop, and all that it told."""

    def __init__(
        self,
        folder: Path,
        resource: ForwardPassClass | StorageClass = NETWORK,
        devices: Sequence[Device] = (NumpyDevice(),),
    ) -> None:
        self.told: list[Told] = []
        self.shop = Workshop(
            resource, PROVIDER, folder, tell=self.told.append, clock=Clock(), devices=devices
        )

    def finish(self) -> None:
        while not self.shop.is_idle:
            self.shop.work()

    def of(self, event: str) -> list[Told]:
        return [item for item in self.told if item["event"] == event]


def order(units: int = 10, epoch: int = 3) -> Order:
    return Order(Epoch(epoch), CHALLENGE, units)


def verify_response(shop: Shop, resource: ForwardPassClass | StorageClass) -> None:
    """Refuse what the workshop proved unless the chain would take it."""
    proven, response = shop.of("proven")[-1], shop.of("response")[-1]
    octets = bytes.fromhex(str(response["siblings"]))
    siblings = [Digest(octets[at : at + 32]) for at in range(0, len(octets), 32)]
    claim = Claim(PROVIDER, int(proven["units"]), Digest(bytes.fromhex(str(proven["root"]))))
    proof_kind(resource).verify(claim, siblings, challenge=CHALLENGE, beacon=BEACON)


def test_a_workshop_that_is_warm_tells_device_and_speed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    shop.shop.warm_up()
    shop.finish()

    assert [item["device"] for item in shop.of("ready")] == ["numpy"]
    assert int(shop.of("ready")[0]["leaves_per_second"]) > 0


@pytest.mark.parametrize("resource", [NETWORK, DISK], ids=["network", "disk"])
def test_what_is_proven_and_responded_is_what_the_chain_takes(
    tmp_path: Path, resource: ForwardPassClass | StorageClass
) -> None:
    shop = Shop(tmp_path, resource)
    shop.shop.warm_up()
    shop.shop.prove(order())
    shop.finish()

    shop.shop.respond(Epoch(3), BEACON)
    shop.finish()

    assert shop.of("failed") == []
    verify_response(shop, resource)


def test_a_proof_goes_on_from_what_a_killed_workshop_had_saved(tmp_path: Path) -> None:
    killed = Shop(tmp_path)
    killed.shop.warm_up()
    killed.finish()
    killed.shop.prove(order())
    for _ in range(3):
        killed.shop.work()
    saved = int(killed.of("progress")[-1]["done"])

    shop = Shop(tmp_path)
    shop.shop.prove(order())
    shop.finish()
    shop.shop.respond(Epoch(3), BEACON)
    shop.finish()

    assert saved > 0
    assert all(int(item["resumed"]) >= saved for item in shop.of("progress"))
    verify_response(shop, NETWORK)


def test_a_finished_proof_is_not_computed_again(tmp_path: Path) -> None:
    first = Shop(tmp_path)
    first.shop.prove(order())
    first.finish()

    second = Shop(tmp_path)
    second.shop.prove(order())
    second.finish()

    assert second.of("progress") == []
    assert second.of("proven")[0]["root"] == first.of("proven")[0]["root"]


@pytest.mark.parametrize(("first", "second"), [(5, 10), (10, 5)])
def test_a_proof_of_other_units_goes_on_from_the_leaves_that_both_have(
    tmp_path: Path, first: int, second: int
) -> None:
    shop = Shop(tmp_path)
    shop.shop.prove(order(first))
    shop.finish()
    shop.told.clear()

    shop.shop.prove(order(second))
    shop.shop.respond(Epoch(3), BEACON)
    shop.finish()

    assert all(int(item["resumed"]) == 5 * 128 for item in shop.of("progress"))
    verify_response(shop, NETWORK)


def test_a_response_does_not_wait_for_sealing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, DISK)
    shop.shop.prove(order(2))
    shop.finish()
    shop.shop.seal(10)
    shop.shop.work()

    shop.shop.respond(Epoch(3), BEACON)
    while not shop.of("response"):
        shop.shop.work()

    assert not shop.shop.is_idle
    assert shop.of("sealed")[-1]["units"] == 2
    verify_response(shop, DISK)


def test_a_new_proof_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.shop.warm_up()
    shop.finish()
    shop.shop.prove(order(epoch=3))
    shop.shop.work()

    shop.shop.prove(Order(Epoch(4), Digest(b"d" * 32), 5))
    shop.finish()

    assert [item["epoch"] for item in shop.of("proven")] == [4]


def test_an_abandoned_proof_is_not_finished(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.shop.warm_up()
    shop.finish()
    shop.shop.prove(order())
    shop.shop.work()

    shop.shop.abandon()

    assert shop.shop.is_idle
    assert shop.of("proven") == []


def test_a_response_without_a_proof_is_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    shop.shop.respond(Epoch(3), BEACON)
    shop.finish()

    assert [item["reason"] for item in shop.of("failed")] == ["NothingProven"]


class Lying:
    """A device that reproduces every trial and errs afterwards, as a card that grows old does."""

    name = "lying"

    def __init__(self) -> None:
        self.opened = 0

    def open(self, layers: Sequence[Matrix]) -> NumpyBackend:
        self.opened += 1
        # The trials and the timed run come first.
        return NumpyBackend(layers) if self.opened <= 3 + 1 else _Wrong(layers)


class _Wrong(NumpyBackend):
    def submit(self, rows: Rows) -> Pending:
        right = super().submit(rows)()
        return lambda: bytes(len(right))


class Vanishing:
    """A device that is there in the trials and gone afterwards."""

    name = "vanishing"

    def __init__(self) -> None:
        self.opened = 0

    def open(self, layers: Sequence[Matrix]) -> NumpyBackend:
        self.opened += 1
        if self.opened > 3 + 1:
            raise BackendUnavailable("the card is gone")
        return NumpyBackend(layers)


@pytest.mark.parametrize("make", [Lying, Vanishing])
def test_a_device_that_errs_or_vanishes_is_replaced_before_anything_is_committed(
    tmp_path: Path, make: type[Lying] | type[Vanishing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner.workshop.load_trials", load_three)
    device = make()
    shop = Shop(tmp_path, devices=(device, NumpyDevice()))
    shop.shop.warm_up()
    shop.finish()
    shop.shop._devices.sort(key=lambda item: item.name == "numpy")
    shop.shop.prove(order())
    shop.shop.respond(Epoch(3), BEACON)

    shop.finish()

    assert [item["device"] for item in shop.of("device")] == [device.name]
    verify_response(shop, NETWORK)


def load_three() -> tuple[object, ...]:
    from miner.backends.selection import load_trials  # noqa: PLC0415 - the real one

    return load_trials()[:3]


def test_without_a_device_the_proof_fails_with_a_reason(tmp_path: Path) -> None:
    shop = Shop(tmp_path, devices=())

    shop.shop.prove(order())
    shop.finish()

    assert [(item["what"], item["reason"]) for item in shop.of("failed")] == [
        ("prove", "BackendUnavailable")
    ]
    assert shop.of("failed")[0]["epoch"] == 3


def test_a_disk_that_takes_no_checkpoint_stops_no_proof(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "none")
    shop.shop.prove(order())
    shop.shop.respond(Epoch(3), BEACON)

    shop.finish()

    assert [item["reason"] for item in shop.of("unsaved")] == ["DiskUnusable"]
    verify_response(shop, NETWORK)


def test_sealing_tells_its_progress_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    first = Shop(tmp_path, DISK)
    first.shop.seal(2)
    for _ in range(50):
        first.shop.work()
    first.shop.abandon()
    first.shop._open_plot().close()

    second = Shop(tmp_path, DISK)
    second.shop.seal(2)
    second.finish()

    assert [item["total"] for item in first.of("sealing")[:1]] == [200]
    assert int(second.of("sealing")[0]["done"]) == 51
    assert second.of("sealed") == [{"event": "sealed", "units": 2}]
