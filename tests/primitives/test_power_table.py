"""The power table: which tables are refused, quorums, positions and the root."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.codec import encode
from primitives.errors import DecodeError
from primitives.power_table import (
    POWER_TABLE,
    VALIDATORS_MAX,
    InvalidPowerTable,
    PowerTable,
    Validator,
)
from primitives.types import UINT64_MAX, AccountId, PublicKey, VotingPower


def validator(number: int, weight: int = 1, **changes: Any) -> Validator:
    name = number.to_bytes(4, "big")
    fields = {
        "account": AccountId(name * 8),
        "consensus_key": PublicKey(b"consensus..." + name * 5),
        "vrf_key": PublicKey(b"vrf........." + name * 5),
        "weight": VotingPower(weight),
        **changes,
    }
    return Validator(**fields)


def table(*weights: int) -> PowerTable:
    return PowerTable(tuple(validator(number, weight) for number, weight in enumerate(weights)))


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param((), id="empty"),
        pytest.param((validator(2), validator(1)), id="out of order"),
        pytest.param((validator(1), validator(1)), id="one account twice"),
        pytest.param(
            (validator(1), validator(2, consensus_key=validator(1).consensus_key)),
            id="one consensus key twice",
        ),
        pytest.param(
            (validator(1), validator(2, vrf_key=validator(1).vrf_key)), id="one VRF key twice"
        ),
        pytest.param((validator(1, 0),), id="no weight"),
        pytest.param((validator(1, UINT64_MAX), validator(2)), id="total above 64 bits"),
        pytest.param(tuple(validator(n) for n in range(VALIDATORS_MAX + 1)), id="too many"),
    ],
)
def test_a_table_that_breaks_an_invariant_cannot_be_made(entries: tuple[Validator, ...]) -> None:
    with pytest.raises(InvalidPowerTable):
        PowerTable(entries)
    plain: Any = [[e.account, e.consensus_key, e.vrf_key, e.weight, e.peer_key] for e in entries]
    with pytest.raises(DecodeError):
        POWER_TABLE.decode(encode(plain))


def test_the_largest_table_can_be_made() -> None:
    full = PowerTable(tuple(validator(number) for number in range(VALIDATORS_MAX)))

    assert (len(full), full.total) == (VALIDATORS_MAX, VALIDATORS_MAX)
    assert POWER_TABLE.decode(POWER_TABLE.encode(full)) == full
    assert table(UINT64_MAX).total == UINT64_MAX


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=8))
def test_two_quorums_share_more_than_a_third(weights: list[int]) -> None:
    power = table(*weights)

    lightest = (
        next(weight for weight in range(1, power.total + 1) if power.is_quorum(weight))
        if (power.total < 1000)
        else power.total * 2 // 3 + 1
    )

    assert power.is_quorum(lightest)
    assert not power.is_quorum(lightest - 1)
    assert 3 * (2 * lightest - power.total) > power.total


def test_two_thirds_exactly_are_no_quorum() -> None:
    assert not table(1, 1, 1).is_quorum(2)
    assert table(1, 1, 1, 1).is_quorum(3)


def test_validators_are_found_by_key_and_weighed_by_position() -> None:
    power = table(5, 7, 11)

    assert power.find_position(power[1].consensus_key) == 1
    assert power.find_position(power[1].vrf_key) is None
    assert power.weight_of([0, 2]) == 16
    assert power.weight_of([]) == 0


def test_the_root_covers_every_field() -> None:
    power = table(1, 2)
    changes: list[dict[str, Any]] = [
        {"account": AccountId(bytes(31) + b"\x01")},
        {"consensus_key": PublicKey(bytes(32))},
        {"vrf_key": PublicKey(bytes(32))},
        {"weight": VotingPower(9)},
        {"peer_key": PublicKey(bytes(32))},
    ]

    others = {PowerTable((replace(power[0], **change), power[1])).root for change in changes}

    assert len(others | {power.root}) == len(changes) + 1
