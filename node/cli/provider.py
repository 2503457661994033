"""``loopin provider``: stake computing power or storage, and prove it."""

import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
import trio

from node.cli.connection import url_option
from node.cli.failures import only_reason
from node.cli.keys_given import dev_key_pair, unlock
from node.cli.lazy import LazyGroup
from node.cli.logs import DEFAULT_BASE_PATH, configure_logs
from node.cli.output import Output, json_option, pass_output
from node.client.endpoint import Endpoint
from node.provider.board import Board
from node.provider.folder import default_folder, locked_folder
from node.provider.program import Settings
from node.provider.run import run_provider
from node.provider.views import find_view
from primitives.crypto import KeyPair
from primitives.types import AccountId

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_ACCOUNT = "node.cli.provider_account"


@click.group(
    cls=LazyGroup,
    lazy={
        name: f"{_ACCOUNT}:{name}"
        for name in ("classes", "join", "leave", "maintenance", "withdraw")
    }
    | {
        "serve": "node.cli.provider_serve:serve",
        "status": "node.cli.provider_status:status",
    },
)
def provider() -> None:
    """Stake computing power or storage, and prove it in every epoch."""


@provider.command(epilog="Example: loopin provider run --key //Alice --class 1 --units 1000")
@click.option("--key", metavar="//NAME", help="A development key that stakes and signs.")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Account file of the key that stakes and signs; its password is asked for.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password of the account file.",
)
@click.option(
    "--class",
    "class_ids",
    type=click.IntRange(0, 2**32 - 1),
    multiple=True,
    help="Class to prove; by default all in which the account has units; may be repeated.",
)
@click.option(
    "--units",
    type=click.IntRange(min=1),
    help="Stake so many units in each class if less is staked; loopin miner bench says how many.",
)
@click.option("--device", metavar="NAME", help="Prove with this device instead of the fastest.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Checkpoints and sealed chunks; default {DEFAULT_BASE_PATH}/provider/<account>.",
)
@click.option(
    "--serve",
    metavar="ADDRESS",
    help="Also serve the clients of leases here, as loopin provider serve does by itself.",
)
@click.option(
    "--stop-with-stdin",
    is_flag=True,
    help="Stop when standard input ends, as it does when the program that started this one dies.",
)
@click.option("--log", metavar="LEVEL", default="warning", show_default=True, help="Or name=level.")
@url_option
@json_option
@pass_output
def run(  # noqa: PLR0913 - one parameter an option
    output: Output,
    *,
    key: str | None,
    key_file: Path | None,
    password_file: Path | None,
    class_ids: tuple[int, ...],
    units: int | None,
    device: str | None,
    folder: Path | None,
    serve: str | None,
    stop_with_stdin: bool,
    log: str,
    url: str,
) -> None:
    """Prove in every epoch until Ctrl-C.

    Follows the chain of a node, starts each proof with its challenge, commits, responds, and says
    what a miss would cost before it happens. A restart goes on where the last proof was. On a
    terminal a few lines show how it goes; elsewhere, or with --json, each fact is a JSON line.
    """
    configure_logs(log)
    pair = given_pair(key, key_file, password_file)
    account = AccountId(pair.public)
    folder = (folder or default_folder(DEFAULT_BASE_PATH, account)).expanduser()
    endpoint = Endpoint.parse(url)
    settings = Settings(folder, units, device)
    board = Board(address=key or "", url=endpoint.url)
    leases = None if serve is None else _lease_service(endpoint, pair, folder / "leases", serve)
    with locked_folder(folder):
        program = _Program(endpoint, pair, settings, board, class_ids, leases)
        try:
            trio.run(program.run, output.as_json, stop_with_stdin)
        except BaseExceptionGroup as group:
            reason = only_reason(group)
            if reason is None:
                raise
            raise reason from None


def given_pair(key: str | None, key_file: Path | None, password_file: Path | None) -> KeyPair:
    """Return the key of the provider's account. Raises: LoopinError, click.UsageError."""
    if (key is None) == (key_file is None):
        raise click.UsageError("whose units are proven? give --key //NAME or --key-file FILE")
    if key_file is not None:
        return unlock(key_file, password_file)
    assert key is not None, "one of the two was given"
    return dev_key_pair(key)


class _Program:
    """One run of the provider from its start to its end."""

    def __init__(
        self,
        endpoint: Endpoint,
        pair: KeyPair,
        settings: Settings,
        board: Board,
        class_ids: tuple[int, ...],
        serve_leases: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._endpoint, self._pair, self._settings = endpoint, pair, settings
        self._board, self._class_ids, self._serve_leases = board, class_ids, serve_leases

    async def run(self, as_json: bool, stop_with_stdin: bool) -> None:  # noqa: FBT001 - trio.run passes no keywords
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._prove)
            if self._serve_leases is not None:
                nursery.start_soon(self._serve_leases)
            view = find_view(self._board, as_json=as_json)
            nursery.start_soon(view.run)
            if stop_with_stdin:
                nursery.start_soon(_stop_at_end_of_stdin, nursery)
            with trio.open_signal_receiver(*_ENDINGS) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return

    async def _prove(self) -> None:
        await run_provider(
            self._endpoint, self._pair, self._settings, self._board, class_ids=self._class_ids
        )


def _lease_service(
    endpoint: Endpoint, pair: KeyPair, folder: Path, address: str
) -> Callable[[], Awaitable[None]]:
    """Return what serves the provider's leases; the network's library is slow to import."""
    from node.cli.provider_serve import given_address
    from node.lease.program import ServeSettings, serve_leases

    return partial(serve_leases, endpoint, pair, ServeSettings(folder, given_address(address)))


async def _stop_at_end_of_stdin(nursery: trio.Nursery) -> None:
    """Stop when the other end of the pipe is closed, as it is when that process dies."""
    with suppress(trio.BrokenResourceError):
        async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
            while await stdin.receive_some():
                pass
    logging.getLogger("node").info("event=stopping signal=stdin")
    nursery.cancel_scope.cancel()
