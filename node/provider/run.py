"""Running a provider: which classes, over which node, until it is cancelled."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TypeVar

import trio

from node.client.endpoint import Endpoint
from node.client.errors import CallRefused, ConnectionLost, NodeUnreachable
from node.client.node_client import NodeClient
from node.provider.board import Board
from node.provider.chain_reader import NoSuchClass, PocpsReader
from node.provider.heads import PAUSE_SECONDS, PAUSE_SECONDS_MAX, follow_heads
from node.provider.program import ClassProgram, ClassTerms, Settings
from node.provider.sender import CALL_SECONDS, Sender
from primitives.crypto import KeyPair
from primitives.errors import ConfigError, LoopinError
from primitives.ss58 import encode_address
from primitives.types import AccountId

T = TypeVar("T")


class NothingToProve(ConfigError):
    """The account has no units, and the command names no class to stake in."""


async def run_provider(
    endpoint: Endpoint,
    pair: KeyPair,
    settings: Settings,
    board: Board,
    *,
    class_ids: Sequence[int] = (),
) -> None:
    """Prove for ever, in the classes given or in all in which the account has units.

    Raises: NoSuchClass, NothingToProve, BadAnswer.
    """
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = AccountId(pair.public)
    with ExitStack() as stack:
        client = stack.enter_context(NodeClient(endpoint, CALL_SECONDS))
        reader = PocpsReader(client, account)
        chosen = await _until_reachable(board, partial(_choose, reader, tuple(class_ids)))
        board.token = await _until_reachable(board, lambda: client.token)
        board.address = encode_address(account, client.token.ss58_prefix)
        sender = Sender(endpoint, pair)

        def program(terms: ClassTerms) -> ClassProgram:
            # Each reads in a thread of its own.
            own = stack.enter_context(NodeClient(endpoint, CALL_SECONDS))
            reading = PocpsReader(own, account)
            windows = reader.windows()
            return ClassProgram(terms, windows, settings, reader=reading, post=sender, board=board)

        programs = [program(terms) for terms in chosen]
        async with trio.open_nursery() as nursery:
            for each in programs:
                nursery.start_soon(each.run)
            nursery.start_soon(_follow, endpoint, programs, board)


async def _follow(endpoint: Endpoint, programs: Sequence[ClassProgram], board: Board) -> None:
    def on_trouble(trouble: LoopinError, pause: float) -> None:
        board.set_trouble(f"{trouble} (again in {pause:.0f} s)")

    with NodeClient(endpoint, CALL_SECONDS) as client:
        async with aclosing(follow_heads(client, on_trouble)) as heads:
            async for head in heads:
                board.set_trouble("")
                for program in programs:
                    program.on_head(head)


async def _until_reachable(board: Board, ask: Callable[[], T]) -> T:
    """Return what a node answers, waiting for as long as there is none."""
    pause = PAUSE_SECONDS
    while True:
        try:
            answer: T = await trio.to_thread.run_sync(ask)
        except (NodeUnreachable, ConnectionLost, CallRefused) as trouble:
            board.set_trouble(f"{trouble} (again in {pause:.0f} s)")
            await trio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
        else:
            board.set_trouble("")
            return answer


def _choose(reader: PocpsReader, class_ids: tuple[int, ...]) -> list[ClassTerms]:
    """Return the classes to prove."""
    known = reader.classes()
    reader.windows()
    names = ", ".join(f"{number} ({terms.name})" for number, terms in known.items()) or "none"
    for number in class_ids:
        if number not in known:
            raise NoSuchClass(f"the chain has no class {number}; it has {names}")
    chosen = class_ids or tuple(reader.staked_classes())
    if not chosen:
        raise NothingToProve(
            "the account has no units: stake some with loopin provider join, or name a class "
            f"with --class and units with --units; the chain has {names}"
        )
    return [known[number] for number in chosen]
