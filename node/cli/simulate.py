"""``loopin simulate``: run the economic experiments and write reports that a person can read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress

    from economics.report import Written


@click.command(
    epilog="Example: loopin simulate rule-race --seed 7 --output reports",
)
@click.argument("experiment", required=False)
@click.option("--all", "every", is_flag=True, help="Run every experiment.")
@click.option("--list", "only_list", is_flag=True, help="List the experiments and stop.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of what is drawn."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulation"),
    show_default=True,
    help="Folder for the reports; made if missing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print verdicts for a machine.")
@click.pass_context
def simulate(
    context: click.Context,
    *,
    experiment: str | None,
    every: bool,
    only_list: bool,
    seed: int,
    output: Path,
    as_json: bool,
) -> None:
    """Run EXPERIMENT (or --all) with the chain's own pricing code and write its report.

    Exits with 1 if a criterion does not hold. Without arguments it lists the experiments.
    """
    if every and experiment is not None:
        raise click.UsageError("name one EXPERIMENT or give --all, not both")
    if only_list or (experiment is None and not every):
        _print_list(as_json=as_json)
        return
    written = _run(None if every else experiment, seed=seed, output=output, quiet=as_json)
    _print_verdicts(written, as_json=as_json)
    if not all(one.passed for one in written):
        context.exit(1)


def _run(experiment: str | None, *, seed: int, output: Path, quiet: bool) -> "list[Written]":
    """Run one experiment, or all if none is named, with a progress bar each on stderr."""
    from economics.registry import run_all, run_experiment

    with _bars(quiet=quiet) as progress:
        tasks = {}

        def report(name: str, part: float) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=1.0)
            progress.update(tasks[name], completed=part)

        if experiment is None:
            return run_all(seed=seed, output=output, progress=report)
        name = experiment
        return [
            run_experiment(name, seed=seed, output=output, progress=lambda part: report(name, part))
        ]


@contextmanager
def _bars(*, quiet: bool) -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:22}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        yield progress


def _print_list(*, as_json: bool) -> None:
    from economics.registry import EXPERIMENTS

    if as_json:
        listed = [{"name": e.name, "title": e.title, "asked": e.asked} for e in EXPERIMENTS]
        click.echo(json.dumps(listed, indent=1))
        return
    for one in EXPERIMENTS:
        click.echo(f"{one.name:22} {one.asked}")
    click.echo("\nRun one with: loopin simulate NAME, or all with: loopin simulate --all")


def _print_verdicts(written: "list[Written]", *, as_json: bool) -> None:
    if as_json:
        listed = [
            {
                "name": one.name,
                "passed": one.passed,
                "criterion": one.criterion,
                "report": str(one.report),
            }
            for one in written
        ]
        click.echo(json.dumps(listed, indent=1))
        return
    for one in written:
        click.echo(f"{'pass' if one.passed else 'FAIL'}  {one.name}: {one.criterion}")
        click.echo(f"      {one.report}")
