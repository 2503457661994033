import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.amounts import InvalidAmount, format_amount, parse_amount
from primitives.types import UINT64_MAX

AMOUNTS = st.integers(0, UINT64_MAX)
DECIMALS = st.integers(0, 18)


@given(amount=AMOUNTS, decimals=DECIMALS)
def test_amount_that_is_written_is_read_back_exactly(amount: int, decimals: int) -> None:
    assert parse_amount(format_amount(amount, decimals), decimals, "LOOP") == amount


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("1.5", 1_500_000_000),
        ("0.000000001", 1),
        ("1.50000000000", 1_500_000_000),
        ("18446744073.709551615", UINT64_MAX),
    ],
)
def test_amounts_of_nine_decimals(text: str, units: int) -> None:
    assert parse_amount(text, 9, "LOOP") == units


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0"), (1, "0.000000001"), (10**9, "1"), (1_500_000_000, "1.5")]
)
def test_amounts_are_written_with_no_more_digits_than_they_need(amount: int, text: str) -> None:
    assert format_amount(amount, 9) == text


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", " 1", "1 ", "1_0", "٣", "0.0000000001",
     "18446744073.709551616", "9" * 21],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text, 9, "LOOP")


@given(text=st.text(max_size=30))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        units = parse_amount(text, 9, "LOOP")
    except InvalidAmount:
        return
    assert 0 <= units <= UINT64_MAX
