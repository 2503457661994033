"""What commands print: one JSON document for machines, or tables and colour for people.

Invariants: with ``--json`` stdout holds exactly one JSON document; colour, frames and progress
bars appear on a terminal only; what is no result goes to stderr.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from node.rpc.json_types import Json, JsonObject


class Bar(Protocol):
    """A progress bar."""

    def __call__(self, done: int, total: int | None = None, what: str | None = None) -> None:
        """Say how much is done."""
        ...


class Output:
    """Where a command's results go; made once for each run of the program."""

    def __init__(self) -> None:
        self.as_json = False

    def result(self, document: Json, show: Callable[[], None]) -> None:
        """Print ``document`` for machines, or ``show`` it to people."""
        if self.as_json:
            self.document(document)
        else:
            show()

    def document(self, document: Json) -> None:
        """Print a JSON document."""
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())

    def facts(self, facts: Mapping[str, str]) -> None:
        """Print names and values, one a line."""
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            for number, line in enumerate(value.split("\n")):
                label = (name if number == 0 else "").ljust(width)
                click.echo(f"{click.style(label, fg='cyan')}  {line}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; without a terminal, columns with nothing around them."""
        if sys.stdout.isatty():
            table = Table(*map(escape, columns), header_style="bold cyan")
            for column in table.columns:
                column.overflow = "fold"
            for row in rows:
                table.add_row(*map(escape, row))
            Console().print(table)
            return
        lines = [columns, *rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
        for line in lines:
            padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            click.echo("  ".join(padded).rstrip())

    def text(self, text: str) -> None:
        """Print a line for people."""
        click.echo(text)

    def note(self, text: str) -> None:
        """Tell people on stderr what goes on; machines are not told."""
        if not self.as_json:
            click.echo(click.style(text, dim=True), err=True)

    def fail(self, reason: str, message: str) -> None:
        """Tell why the command failed: on stderr, with ``--json`` on stdout."""
        if self.as_json:
            error: JsonObject = {"error": reason, "message": message}
            self.document(error)
        else:
            click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True)

    @contextmanager
    def waiting(self, for_what: str) -> Iterator[Callable[[str], None]]:
        """Show on a terminal's stderr what is waited for; the function changes the text."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        with Console(stderr=True).status(escape(for_what)) as status:
            yield lambda text: status.update(escape(text))

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Bar]:
        """Show a bar on stderr while something long goes on; nothing without a terminal."""
        is_hidden = self.as_json or not sys.stderr.isatty()
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=is_hidden,
            transient=True,
        )
        with bars:
            task = bars.add_task(what, total=total)

            def bar(done: int, total: int | None = None, what: str | None = None) -> None:
                bars.update(task, completed=done, total=total, description=what)

            yield bar


def _wants_json(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click passes it by position
    output = context.find_object(Output)
    assert output is not None, "main gives every command its output"
    output.as_json = output.as_json or wanted


json_option = click.option(
    "--json",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_wants_json,
    help="Print one JSON document for a machine.",
)
"""Every command that prints a result has it, and takes the output by ``@pass_output``."""

pass_output = click.make_pass_decorator(Output)
