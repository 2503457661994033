"""Every experiment: its files, its verdict, its honesty, and the same bytes from the same seed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from economics.experiments.costs import clearing_price
from economics.experiments.incentives import wash_gain
from economics.prices import load_prices
from economics.registry import EXPERIMENTS, UnknownExperiment, find, run_all, run_experiment

QUICK = ["burn-slider", "faking", "lease-shapes", "cost-claim"]
"""Those of a second or so; the slow test below runs all."""


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()


@pytest.mark.parametrize("name", QUICK)
def test_an_experiment_passes_and_writes_a_report_that_stands_alone(
    name: str, tmp_path: Path
) -> None:
    parts: list[float] = []

    written = run_experiment(name, seed=1, output=tmp_path, progress=parts.append, scale=0.3)

    folder = tmp_path / name
    page = written.report.read_text(encoding="utf-8")
    summary = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert written.passed, written.criterion
    assert list(folder.glob("*.csv"))
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in folder.glob("*.png"))
    assert page.count("data:image/png;base64,") == len(list(folder.glob("*.png"))) > 0
    assert "http-equiv" not in page
    assert "<script" not in page
    assert find(name).asked in page.replace("&#x27;", "'")
    assert "PASS" in page
    assert f"loopin simulate {name} --seed 1" in page
    assert summary["seed"] == 1
    assert summary["parameters"]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for side in ("one", "two"):
        run_experiment("lease-shapes", seed=9, output=tmp_path / side, scale=0.3)

    assert dict(files(tmp_path / "one")) == dict(files(tmp_path / "two"))


def test_the_claim_of_one_per_cent_is_below_the_electricity_bill(tmp_path: Path) -> None:
    prices = load_prices()

    run_experiment("cost-claim", seed=1, output=tmp_path)

    page = (tmp_path / "cost-claim" / "report.html").read_text(encoding="utf-8")
    reference = prices["sagemaker_a100_hour"].value
    assert reference / 100 < prices["power_a100_hour"].value
    assert 0.02 < clearing_price(prices) / reference < 1
    assert "it cannot be a market" in page
    assert all(price.as_of in page for price in list(prices.values())[:8])


def test_self_renting_is_worst_at_small_shares_and_never_pays_up_to_a_half() -> None:
    gains = [wash_gain(share, 0.2) for share in (0.05, 0.25, 0.5)]

    assert gains == sorted(gains)
    assert gains[-1] < 0 < wash_gain(0.5, 0.1)


def test_an_unknown_experiment_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownExperiment, match="rule-race"):
        find("alchemy")


def test_names_are_unique_and_every_experiment_asks_a_question() -> None:
    assert len({one.name for one in EXPERIMENTS}) == len(EXPERIMENTS)
    assert all(one.asked.endswith("?") for one in EXPERIMENTS)


@pytest.mark.slow
def test_the_whole_suite_passes_and_is_listed_on_one_page(tmp_path: Path) -> None:
    done: dict[str, float] = {}

    written = run_all(seed=1, output=tmp_path, progress=done.__setitem__)

    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [one.name for one in written] == [one.name for one in EXPERIMENTS]
    assert [one.criterion for one in written if not one.passed] == []
    assert all(f"{one.name}/report.html" in index for one in written)
    assert done == dict.fromkeys(done, 1.0)


@pytest.mark.slow
def test_the_race_reproduces_the_prototype_within_noise(tmp_path: Path) -> None:
    run_experiment("rule-race", seed=1, output=tmp_path)

    lines = (tmp_path / "rule-race" / "race.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = {fields[0]: [float(f) for f in fields[1:]] for fields in (ln.split(",") for ln in lines)}
    for swing, prototype, use, prototype_use, _ in rows.values():
        assert use == pytest.approx(prototype_use, abs=0.03)
        # The literal rule and EIP-1559 swing less here; the report says why.
        assert 0.55 * prototype < swing < 1.3 * prototype
    by_swing = sorted(rows, key=lambda name: rows[name][0])
    assert by_swing == sorted(rows, key=lambda name: rows[name][1])
