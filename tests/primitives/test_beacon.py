"""The beacon: each input of a proof and of an accumulation counts."""

from primitives.beacon import next_beacon, vrf_input
from primitives.types import Digest, Epoch, View

ONE, TWO = Digest(bytes([1]) * 32), Digest(bytes([2]) * 32)


def test_a_leader_proves_over_the_randomness_the_epoch_and_the_view() -> None:
    inputs = {
        vrf_input(randomness, Epoch(epoch), View(view))
        for randomness in (ONE, TWO)
        for epoch in (0, 1, 256)
        for view in (0, 1, 256)
    }

    assert len(inputs) == 18


def test_the_beacon_depends_on_all_outputs_in_their_order() -> None:
    forth = next_beacon(next_beacon(ONE, b"a"), b"b")
    back = next_beacon(next_beacon(ONE, b"b"), b"a")

    assert len({forth, back, next_beacon(TWO, b"a"), next_beacon(ONE, b"a"), ONE}) == 5
