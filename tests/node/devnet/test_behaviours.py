"""Simulated providers: what each does, and that the chain takes honest ones' proofs only."""

import fcntl
from pathlib import Path

import pytest

from miner.workshop import Order, Told
from node.devnet import foul_worker
from node.devnet.behaviours import (
    PPB,
    Behaviour,
    Conduct,
    UnknownBehaviour,
    parse_behaviours,
)
from node.devnet.foul_worker import Foul, FoulWorkshop, LazySource, open_foul_workshop
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Digest, Epoch
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.proof import Claim, RootMismatch

PROVIDER = AccountId(derive_key_pair("//Provider//0").public)
VICTIM = AccountId(derive_key_pair("//Provider//1").public)
RESOURCE = ForwardPassClass(
    class_id=1, width=64, depth=1, rows_per_unit=32, rows_per_leaf=4, samples=16, units_max=100
)
BEACON = Digest(b"b" * 32)
UNITS = 10


def challenge_of(epoch: int) -> Digest:
    return Digest(bytes([epoch]) * 32)


class Shop:
    """A foul workshop and what it told."""

    def __init__(self, folder: Path, foul: Foul) -> None:
        self.told: list[Told] = []
        self.shop = FoulWorkshop(RESOURCE, PROVIDER, folder, tell=self.told.append, foul=foul)
        self.shop.warm_up()

    def prove(self, epoch: int) -> None:
        """Prove and respond, and refuse what the chain would refuse."""
        self.shop.prove(Order(Epoch(epoch), challenge_of(epoch), UNITS))
        self.shop.respond(Epoch(epoch), BEACON)
        while not self.shop.is_idle:
            self.shop.work()
        (proven,) = [item for item in self.told if item["event"] == "proven"]
        (response,) = [item for item in self.told if item["event"] == "response"]
        self.told.clear()
        octets = bytes.fromhex(str(response["siblings"]))
        siblings = [Digest(octets[at : at + 32]) for at in range(0, len(octets), 32)]
        claim = Claim(PROVIDER, UNITS, Digest(bytes.fromhex(str(proven["root"]))))
        self.shop.kind.verify(claim, siblings, challenge=challenge_of(epoch), beacon=BEACON)


def test_a_list_names_providers_and_twins_are_two() -> None:
    found = parse_behaviours("fast, slow,lazy:0.25,lazy,twins")

    assert [each.label for each in found] == [
        "fast", "slow", "lazy:0.25", "lazy:0.1", "twins", "twins"
    ]  # fmt: skip
    assert found[2].skipped_ppb == PPB // 4
    assert found[4].group == found[5].group
    assert [each.is_honest for each in found] == [True, True, False, False, False, False]


def test_two_pairs_of_twins_have_two_devices() -> None:
    one, _, other, _ = parse_behaviours("twins,twins")

    assert one.group != other.group


@pytest.mark.parametrize(
    "text", ["", "honest", "lazy:2", "lazy:", "fast:0.5", "fast,,slow", "lazy:-1", "fast," * 40]
)
def test_what_is_no_list_says_what_there_is(text: str) -> None:
    with pytest.raises(UnknownBehaviour):
        parse_behaviours(text)


def test_too_many_providers_are_refused() -> None:
    with pytest.raises(UnknownBehaviour, match="at most 32"):
        parse_behaviours(",".join(["fast"] * 33))


@pytest.mark.parametrize("conduct", [Conduct.SLOW, Conduct.TWIN])
def test_slow_hardware_proves_what_the_chain_takes(tmp_path: Path, conduct: Conduct) -> None:
    device = str(tmp_path / "device") if conduct is Conduct.TWIN else ""

    Shop(tmp_path, Foul(conduct, pace_seconds=0.05, device=device)).prove(1)


@pytest.mark.parametrize(
    "foul", [Foul(Conduct.LAZY, skipped_ppb=PPB // 2), Foul(Conduct.COPIER, victim=VICTIM.hex())]
)
def test_lazy_and_copied_leaves_are_caught(tmp_path: Path, foul: Foul) -> None:
    with pytest.raises(RootMismatch):
        Shop(tmp_path, foul).prove(1)


def test_a_replayer_is_right_once_and_caught_afterwards(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Foul(Conduct.REPLAYER))
    shop.prove(1)

    with pytest.raises(RootMismatch):
        shop.prove(2)


def test_a_silent_provider_commits_to_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Foul(Conduct.SILENT))
    shop.shop.prove(Order(Epoch(1), challenge_of(1), UNITS))
    while not shop.shop.is_idle:
        shop.shop.work()

    assert [item["event"] for item in shop.told] == ["ready"]


@pytest.mark.parametrize("skipped_ppb", [0, 1, PPB // 3, PPB // 2, PPB])
def test_a_lazy_source_makes_up_exactly_its_fraction(skipped_ppb: int) -> None:
    class Honest:
        batch_leaves = 100

        def submit(self, first: int, count: int):  # type: ignore[no-untyped-def] # noqa: ANN202 - as the protocol
            return lambda: [Digest(bytes(32))] * count

    leaves = LazySource(Honest(), skipped_ppb).submit(0, 1000)()

    made_up = sum(leaf != bytes(32) for leaf in leaves)
    assert made_up == 1000 * skipped_ppb // PPB


def test_a_shared_device_makes_one_proof_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foul_worker, "LOOK_SECONDS", 0.0)
    device = tmp_path / "device"
    shop = Shop(tmp_path, Foul(Conduct.TWIN, device=str(device)))
    while not shop.shop.is_idle:
        shop.shop.work()
    with device.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        shop.shop.prove(Order(Epoch(1), challenge_of(1), UNITS))
        for _ in range(20):
            shop.shop.work()
        waited = not shop.shop.is_idle

    shop.prove(1)

    assert waited


def test_a_worker_is_told_its_behaviour_in_words() -> None:
    foul = Foul(Conduct.LAZY, skipped_ppb=5, victim="ab", pace_seconds=0.5, device="x")

    assert Foul.from_text(foul.to_text()) == foul


def test_a_foul_workshop_opens_like_any_other(tmp_path: Path) -> None:
    command: dict[str, object] = {
        "class": {
            "kind": "forward_pass", "class_id": 1, "width": 64, "depth": 1, "rows_per_unit": 4,
            "rows_per_leaf": 1, "samples": 2, "units_max": 5,
        },
        "provider": PROVIDER.hex(),
        "folder": str(tmp_path),
    }  # fmt: skip

    shop = open_foul_workshop(Foul(Conduct.SILENT), command, lambda _: None)

    assert shop.provider == PROVIDER


def test_labels_are_what_the_command_line_takes() -> None:
    for behaviour in (Behaviour(Conduct.FAST), Behaviour(Conduct.LAZY, skipped_ppb=PPB // 8)):
        assert parse_behaviours(behaviour.label) == (behaviour,)
