"""Reports, tables and reference prices as files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from economics.finding import Experiment, Finding, Plot, Setting, Table
from economics.plots import bars, figure_of, label, lines, log_y, panels, smooth, trailing
from economics.prices import PATH, ReferencePricesUnusable, device_hour_cost, load_prices
from economics.report import format_cell, write, write_index


def experiment(name: str = "probe") -> Experiment:
    def never(setting: Setting) -> Finding:
        raise NotImplementedError

    return Experiment(name, "A <b>probe</b>", "Is it & safe?", never)


def finding(*, passed: bool = True) -> Finding:
    (axis,) = panels(1)
    lines(axis, [0, 1, 2], {"one": [1, 2, 3], "two": [3, 2, 1], "three": [2, 2, 2]})
    log_y(axis)
    label(axis, title="probe", x="x", y="y")
    return Finding(
        answer=["<script>alert(1)</script>"],
        passed=passed,
        criterion="a < b",
        parameters={"<": 1.5},
        tables=[
            Table("short", ("name", "value"), [("<i>", 1.0), ("b", 12_345)]),
            Table("long", ("x",), [(i,) for i in range(50)], "A series", is_series=True),
        ],
        plots=[Plot("probe", "A 'caption'", figure_of([axis]))],
    )


def test_a_report_escapes_everything_it_is_given(tmp_path: Path) -> None:
    written = write(experiment(), finding(), seed=3, output=tmp_path)

    page = written.report.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>probe" not in page
    assert "Is it &amp; safe?" in page
    assert "a &lt; b" in page


def test_tables_become_csv_and_series_stay_out_of_the_page(tmp_path: Path) -> None:
    write(experiment(), finding(), seed=3, output=tmp_path)

    folder = tmp_path / "probe"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert (folder / "short.csv").read_text(encoding="utf-8") == "name,value\n<i>,1\nb,12345\n"
    assert len((folder / "long.csv").read_text(encoding="utf-8").splitlines()) == 51
    assert "50 rows in" in page


def test_a_failed_finding_says_so(tmp_path: Path) -> None:
    written = write(experiment(), finding(passed=False), seed=3, output=tmp_path)
    index = write_index([written], seed=3, output=tmp_path)

    assert "FAIL" in written.report.read_text(encoding="utf-8")
    assert "0 of 1 experiments pass" in index.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "cell, text",
    [(0.123456, "0.1235"), (123_456.7, "123,457"), (12_345, "12,345"), ("a", "a"), (True, "True")],
)
def test_cells_read_as_a_person_would_write_them(cell: str | float, text: str) -> None:
    assert format_cell(cell) == text


def test_means_over_a_window_end_at_now_or_lie_around_it() -> None:
    ramp = np.arange(10.0)

    assert trailing(ramp, 3)[[0, 1, 5]].tolist() == [0.0, 0.5, 4.0]
    assert smooth(ramp, 3)[5] == 5.0


def test_bars_carry_their_values() -> None:
    (axis,) = panels(1)

    bars(axis, ["a", "b"], {"one": [1.0, 2.0]})

    assert [text.get_text() for text in axis.texts] == ["1", "2"]


def test_the_reference_prices_are_dated_and_sourced() -> None:
    for price in load_prices().values():
        assert price.as_of[:2] == "20"
        assert price.what
        assert price.source


def test_a_device_hour_costs_its_write_off_power_and_hosting() -> None:
    prices = load_prices()

    cost = device_hour_cost(prices)

    assert cost == pytest.approx(8_000 / (4 * 8_760) + 0.056 + 0.04, rel=0.5)
    assert cost > prices["power_a100_hour"].value


def broken(entry: Any) -> str:
    whole = json.loads(PATH.read_text(encoding="utf-8"))
    whole["prices"]["power_a100_hour"] = entry
    return json.dumps(whole)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"prices": 3}',
        broken(5),
        broken({"value": "dear", "as_of": "2026", "what": "", "source": ""}),
        broken({"value": 1.0}),
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_broken_price_file_is_a_typed_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(ReferencePricesUnusable, match=r"prices\.json"):
        load_prices(path)


def test_a_missing_price_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ReferencePricesUnusable):
        load_prices(tmp_path / "none.json")
