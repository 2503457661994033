"""docs/cli.md is what ``--help`` says. To make it anew: python -m tests.node.cli.test_cli_page."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from node.cli.main import COMMANDS, loopin

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
BEGIN, END = "<!-- commands: generated -->\n", "<!-- end -->"


def described(command: click.Command, words: str) -> Iterator[str]:
    """Yield the lines about one command and those below it."""
    context = click.Context(command, info_name=words)
    yield f"{'#' * (words.count(' ') + 2)} {words}\n"
    yield f"{inspect.cleandoc(command.help or '').partition(chr(12))[0]}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from described(below, f"{words} {name}")
        return
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```\n{words} {usage}\n```\n"
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) and "--help" not in record[0]
    ]
    if records:
        yield "| option | |\n|---|---|"
        for names, text in records:
            yield f"| `{names.replace('|', chr(92) + '|')}` | {text.replace('|', chr(92) + '|')} |"
        yield ""
    if command.epilog:
        label, _, example = command.epilog.partition(": ")
        yield f"{label}: `{example}`\n"


def with_generated_part(page: str) -> str:
    """Return ``page`` with the commands made anew."""
    before, found, rest = page.partition(BEGIN)
    assert found, "docs/cli.md has no place for the commands"
    context = click.Context(loopin)
    lines: list[str] = []
    for name in COMMANDS:
        command = loopin.get_command(context, name)
        assert command is not None
        lines += described(command, f"loopin {name}")
    return before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2]


def test_page_in_the_documentation_is_what_help_says() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_generated_part(page), "run python -m tests.node.cli.test_cli_page"


def test_page_lists_every_exit_code() -> None:
    page = PAGE.read_text(encoding="utf-8")

    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n| {code} |" in page


if __name__ == "__main__":
    PAGE.write_text(with_generated_part(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
