"""``loopin simulate``: what it prints, where it writes, and how it ends."""

import json
from pathlib import Path

from click.testing import CliRunner

from economics.registry import EXPERIMENTS, UnknownExperiment
from node.cli.simulate import simulate


def test_without_arguments_it_lists_the_experiments() -> None:
    result = CliRunner().invoke(simulate, [])

    assert result.exit_code == 0
    assert all(one.name in result.stdout for one in EXPERIMENTS)


def test_the_list_is_there_for_machines() -> None:
    result = CliRunner().invoke(simulate, ["--list", "--json"])

    assert [one["name"] for one in json.loads(result.stdout)] == [one.name for one in EXPERIMENTS]


def test_an_experiment_is_run_and_its_report_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, ["burn-slider", "--seed", "3", "--output", str(tmp_path)])

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("pass  burn-slider: ")
    assert (tmp_path / "burn-slider" / "report.html").exists()


def test_a_verdict_is_there_for_machines(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, ["wash-trader", "--json", "--output", str(tmp_path)])

    (verdict,) = json.loads(result.stdout)
    assert verdict["passed"] is True
    assert Path(verdict["report"]).exists()


def test_one_experiment_and_all_at_once_is_a_usage_error() -> None:
    result = CliRunner().invoke(simulate, ["rule-race", "--all"])

    assert result.exit_code == 2
    assert "not both" in result.stderr


def test_an_unknown_experiment_is_our_own_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, ["alchemy", "--output", str(tmp_path)])

    assert isinstance(result.exception, UnknownExperiment)
