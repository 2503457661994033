"""What an operator sees of a provider: a screen on a terminal, else a JSON line per fact."""

import sys
from collections.abc import Callable
from typing import Protocol

import click
import orjson
import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from miner.provider_messages import Fact, Tell
from node.cli.amounts import format_amount
from node.client.node_client import Token
from node.provider.board import BAD_FACTS, Board, ClassBoard, fact_document
from node.rpc.json_types import JsonObject
from primitives.types import Height

REFRESH_SECONDS = 0.5
STATUS_SECONDS = 5.0
FACTS_SHOWN = 6
BAR_WIDTH = 24

_WORDS = {
    Fact.PROVING: "proving",
    Fact.BEHIND: "behind",
    Fact.COMMITTED: "committed",
    Fact.RESPONDED: "proven",
    Fact.TOO_LATE: "too late",
    Fact.PROOF_FAILED: "proof failed",
    Fact.OTHER_ROOT: "another root on chain",
    Fact.NOTHING_DUE: "nothing due",
    Fact.MAINTENANCE: "maintenance, as declared",
    Fact.FAULTED: "the chain found a fault",
    Fact.REFUSED: "refused",
    Fact.RESENT: "sent again",
}


class View(Protocol):
    """Shows a board for as long as it is run."""

    async def run(self) -> None: ...


def find_view(board: Board, *, as_json: bool) -> View:
    """Return the view for where the output goes."""
    if as_json or not sys.stdout.isatty():
        return LineView(board, click.echo)
    return ScreenView(board)


class LineView:
    """JSON lines: facts as they happen, the whole state every few seconds."""

    def __init__(self, board: Board, write: Callable[[str], None]) -> None:
        self._board = board
        self._write = write
        board.on_tell.append(lambda of, told: self._line(fact_document(of, told)))
        board.on_trouble.append(self._on_trouble)

    async def run(self) -> None:
        """Write the state now and then."""
        while True:
            self._line(self._board.document())
            await trio.sleep(STATUS_SECONDS)

    def _on_trouble(self, trouble: str) -> None:
        self._line({"event": "unreachable" if trouble else "reachable", "detail": trouble})

    def _line(self, document: JsonObject) -> None:
        self._write(orjson.dumps(document).decode())


class ScreenView:
    """A few lines of a terminal, drawn again and again."""

    def __init__(self, board: Board) -> None:
        self._board = board

    async def run(self) -> None:
        """Draw until cancelled."""
        with Live(console=Console(), auto_refresh=False, transient=False) as live:
            while True:
                live.update(draw(self._board), refresh=True)
                await trio.sleep(REFRESH_SECONDS)


def draw(board: Board) -> RenderableType:
    """Return the screen as it is now."""
    head = Text.assemble(("provider ", "bold"), board.address, ("  at ", "dim"), board.url)
    trouble = [Text(board.trouble, "bold yellow")] if board.trouble else []
    return Group(head, *trouble, *(_draw_class(item, board.token) for item in board.classes))


def _draw_class(board: ClassBoard, token: Token | None) -> RenderableType:
    sight = board.sight
    grid = Table.grid(padding=(0, 2))
    name = f"class {board.class_id} {board.class_name}"
    if sight is None:
        grid.add_row(Text(name, "bold cyan"), board.doing)
        return grid
    place = board.windows.place(Height(sight.height + 1))
    grid.add_row(
        Text(name, "bold cyan"),
        Text(board.doing, "green" if sight.has_responded else "yellow"),
        f"epoch {sight.epoch}, block {place} of {board.windows.epoch_length}"
        f" (commit by {board.windows.commit_deadline},"
        f" respond by {board.windows.respond_deadline})",
    )
    grid.add_row(
        "",
        ProgressBar(total=max(1, board.total), completed=board.done, width=BAR_WIDTH),
        f"{board.done} of {board.total} leaves, {board.device or 'no device yet'},"
        f" {board.leaves_per_second} leaves/s",
    )
    grid.add_row(
        "",
        f"{sight.live} units live",
        f"{sight.staked} staked, {sight.due} due; a miss would cost"
        f" {_amount(sight.penalty, token)} and the epoch's reward",
    )
    facts = [_draw_fact(told, token) for told in list(board.facts)[-FACTS_SHOWN:]]
    return Group(grid, *facts)


def _draw_fact(told: Tell, token: Token | None) -> Text:
    cost = "" if told.cost is None else f"  costs {_amount(told.cost, token)}"
    colour = "red" if told.fact in BAD_FACTS else "dim"
    detail = f": {told.detail}" if told.detail else ""
    return Text(
        f"  block {told.height}  epoch {told.epoch}  {_WORDS[told.fact]}{detail}{cost}", colour
    )


def _amount(units: int, token: Token | None) -> str:
    if token is None:
        return f"{units} base units"
    return f"{format_amount(units, token.decimals)} {token.symbol}"
