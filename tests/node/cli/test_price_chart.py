"""Charts: as wide as there is room, nothing left out, the highest on top."""

from hypothesis import given
from hypothesis import strategies as st

from node.cli.price_chart import WIDTH_MIN, chart, spark, squeezed

VALUES = st.lists(st.integers(0, 2**80), min_size=1, max_size=300)


def test_a_rise_fills_the_columns_from_low_to_high() -> None:
    lines = chart([0, 8, 16], width=20, rows=2, label=str)

    assert lines == ["16 ┤  █", " 0 ┤▁██"]


def test_a_price_that_never_moves_is_a_line_in_the_middle() -> None:
    lines = chart([5, 5], width=20, rows=4, label=str)

    assert [line[3:] for line in lines] == ["  ", "  ", "██", "██"]


def test_no_values_are_no_chart() -> None:
    assert chart([], width=80, rows=5, label=str) == []


@given(VALUES, st.integers(1, 200), st.integers(2, 20))
def test_a_chart_is_as_wide_as_asked_and_as_high(values: list[int], width: int, rows: int) -> None:
    lines = chart(values, width=width, rows=rows, label=lambda _: "label")

    assert len(lines) == rows
    assert {len(line) for line in lines} == {
        len("label ┤") + min(len(values), max(WIDTH_MIN, width - 7))
    }
    assert all(line[7] != " " for line in lines[-1:]), "the oldest column is never empty"


@given(VALUES, st.integers(1, 100))
def test_squeezing_leaves_nothing_out_and_stays_within_bounds(
    values: list[int], columns: int
) -> None:
    squeeze = squeezed(values, columns)

    assert len(squeeze) == min(columns, len(values))
    assert min(values) <= min(squeeze) <= max(squeeze) <= max(values)


@given(VALUES)
def test_a_spark_shows_every_value_at_least_a_little(values: list[int]) -> None:
    line = spark(values, width=500, highest=2**80)

    assert len(line) == len(values)
    assert " " not in line
