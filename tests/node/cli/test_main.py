import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node.cli.main import (
    COMMANDS,
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_NODE,
    EXIT_USAGE,
    exit_code_of,
    loopin,
)
from node.client.errors import BadAnswer, ConnectionLost, NodeUnreachable
from node.version import VERSION
from primitives.errors import ConfigError, LoopinError
from tests.node.cli.running import invoke


def commands(
    group: click.Group = loopin, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that is no group, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def test_help_lists_every_command_and_the_first_step() -> None:
    shown = invoke("--help").out

    assert "loopin node --dev" in shown
    for name, text in COMMANDS.items():
        assert name in shown
        assert text in shown


def test_version_is_printed() -> None:
    assert VERSION in invoke("--version").out


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_help_of_every_command_has_an_example(path: tuple[str, ...]) -> None:
    result = invoke(*path, "--help")

    assert result.code == 0
    assert f"Example: loopin {' '.join(path)}" in result.out


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_every_command_but_those_that_run_on_speaks_json(path: tuple[str, ...]) -> None:
    options = {name for parameter in ALL[path].params for name in parameter.opts}

    assert "--json" in options or path in {("node",), ("devnet",)}


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    silent = [
        parameter.name
        for parameter in ALL[path].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]

    assert silent == []


def test_no_command_takes_a_secret_as_an_option() -> None:
    for path, command in ALL.items():
        for parameter in command.params:
            names = {name.strip("-") for name in parameter.opts}
            assert not names & {"password", "phrase", "mnemonic", "seed-phrase", "secret"}, path


def test_unknown_command_is_a_usage_error() -> None:
    result = invoke("fly")

    assert result.code == EXIT_USAGE
    assert "fly" in result.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("pol", "list"), "pool"),
        (("pool", "aquire", "0:1"), "acquire"),
        (("pool", "histroy", "0"), "history"),
        (("provider", "serv"), "serve"),
        (("account", "transfre"), "transfer"),
        (("chain", "head", "--ulr", "x"), "--url"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_is_close(
    typed: tuple[str, ...], meant: str
) -> None:
    result = invoke(*typed)

    assert result.code == EXIT_USAGE
    _, asked, close = result.err.partition("Did you mean ")
    assert asked
    assert meant in close


def test_a_word_that_nothing_is_close_to_is_no_command() -> None:
    result = invoke("pool", "xyzzy" * 100)

    assert result.code == EXIT_USAGE
    assert "No such command" in result.err
    assert "Did you mean" not in result.err


def test_usage_error_for_a_machine_is_json() -> None:
    result = invoke("account", "transfer", "--json", "--from", "//Alice", "1")

    assert result.code == EXIT_USAGE
    assert json.loads(result.out)["error"] == "UsageError"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NodeUnreachable("x"), EXIT_NO_NODE),
        (ConnectionLost("x"), EXIT_NO_NODE),
        (ConfigError("x"), EXIT_CONFIG),
        (BadAnswer("x"), EXIT_FAILED),
        (LoopinError("x"), EXIT_FAILED),
    ],
)
def test_exit_codes_tell_failures_apart(error: LoopinError, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize("url", ["ftp://x", "nothing", "http://", "http://a:b", "http://u:p@h", ""])
def test_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    result = invoke("chain", "head", "--url", url)

    assert result.code == EXIT_CONFIG
    assert "u:p" not in result.err


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"

    for command in (
        ("key", "sign", "--from-file", missing, "--message", "x"),
        ("key", "sign", "--from", "//Alice", "--message-file", missing),
        ("key", "inspect", "--secret-file", missing),
        ("chain", "verify-proof", missing, "--header-hash", "0x" + "00" * 32),
        ("chain", "import", missing, "--chain", "dev", "--base-path", tmp_path),
        ("genesis", "build", "--id", "x", "--validators", missing),
    ):
        result = invoke(*command)
        assert result.code == EXIT_CONFIG, command
        assert str(missing) in result.err, command
