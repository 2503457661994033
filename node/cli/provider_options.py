"""The options with which ``loopin node`` runs a provider beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.keys_given import dev_key_pair
from primitives.errors import ConfigError

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--provider",
        is_flag=True,
        help="Prove computing power beside the node, as a child process.",
    ),
    click.option(
        "--provider-key",
        metavar="//NAME",
        help="Development key that stakes and signs for the provider; with --dev //Alice, with "
        "--as that account's.",
    ),
    click.option(
        "--provider-key-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Account file of the key that stakes and signs for the provider.",
    ),
    click.option(
        "--provider-password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with its password: nobody is there to type it when the provider restarts.",
    ),
    click.option(
        "--provider-class",
        type=click.IntRange(0, 2**32 - 1),
        multiple=True,
        help="Class to prove; by default all in which the account has units; may be repeated.",
    ),
    click.option(
        "--provider-units",
        type=click.IntRange(min=1),
        help="Stake so many units in each class if less is staked; with --dev, 500 of class 1.",
    ),
)


def provider_options(command: _Command) -> _Command:
    """Give a command the options of a provider beside it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def key_words(key: str | None, file: Path | None, password_file: Path | None) -> tuple[str, ...]:
    """Return the words that name the key to ``loopin provider run``. Raises: ConfigError."""
    if file is not None:
        if password_file is None:
            raise ConfigError("--provider-key-file needs --provider-password-file")
        return (
            "--key-file",
            str(file.absolute()),
            "--password-file",
            str(password_file.absolute()),
        )
    if key is None:
        raise ConfigError("whose units does --provider prove? give --provider-key-file FILE")
    # Refused here and not by a child whose output nobody sees.
    dev_key_pair(key)
    return ("--key", key)
