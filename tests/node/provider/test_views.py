"""What an operator sees of a provider."""

import io

import orjson
import pytest
import trio
from rich.console import Console

from miner.provider_messages import Commitment, Fact, Tell
from node.client.node_client import Token
from node.provider.board import Board, ClassBoard
from node.provider.views import LineView, ScreenView, draw, find_view
from primitives.types import Balance, Digest, Epoch, Height
from tests.miner.provider_chain import WINDOWS, PaperChain


def board_in(epoch: int = 0) -> Board:
    chain = PaperChain(height=20 * epoch + 3)
    chain.commitments[epoch] = Commitment(5, Digest(b"r" * 32))
    board = Board("5Alice", "http://node", token=Token("LOOP", 9, 42))
    of = ClassBoard(1, "cpu", WINDOWS, device="numpy", leaves_per_second=77, done=3, total=9)
    of.sight = chain.sight()
    board.classes += [of, ClassBoard(2, "storage", WINDOWS)]
    return board


def drawn(board: Board) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(draw(board))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_screen_shows_where_the_proof_is_and_what_a_miss_costs() -> None:
    board = board_in()
    board.tell(
        board.classes[0],
        Tell(Fact.BEHIND, Height(3), Epoch(0), "needs 9 s more", Balance(2_500_000_000)),
    )
    board.set_trouble("no node answers")

    text = drawn(board)

    assert "5Alice" in text
    assert "no node answers" in text
    assert "epoch 0, block 4 of 20 (commit by 8, respond by 16)" in text
    assert "3 of 9 leaves, numpy, 77 leaves/s" in text
    assert "behind: needs 9 s more  costs 2.5 LOOP" in text
    assert "class 2 storage" in text


def test_amounts_are_base_units_until_the_chain_has_said_how_they_are_written() -> None:
    board = board_in()
    board.token = None

    assert "70 base units" in drawn(board)


def test_every_fact_has_words() -> None:
    board = board_in()
    for fact in Fact:
        board.tell(board.classes[0], Tell(fact, Height(1), Epoch(0)))

        assert drawn(board)


async def test_lines_are_facts_as_they_happen_and_the_state_now_and_then() -> None:
    board, lines = board_in(), list[str]()
    view = LineView(board, lines.append)
    board.tell(board.classes[0], Tell(Fact.TOO_LATE, Height(3), Epoch(0), "why", Balance(7)))
    board.set_trouble("gone")
    board.set_trouble("gone")
    board.set_trouble("")

    with trio.move_on_after(0):
        await view.run()

    documents = [orjson.loads(line) for line in lines]
    assert [each["event"] for each in documents] == [
        "too_late", "unreachable", "reachable", "status"
    ]  # fmt: skip
    assert documents[0] == {
        "event": "too_late", "class": 1, "height": 3, "epoch": 0, "detail": "why", "cost": "7",
    }  # fmt: skip
    first = documents[-1]["classes"][0]
    assert (first["committed"], first["counts"], first["penalty"]) == (True, {"too_late": 1}, "70")


@pytest.mark.parametrize(("is_terminal", "as_json"), [(True, True), (False, False), (True, False)])
def test_a_screen_is_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    as_json: bool,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)

    view = find_view(board_in(), as_json=as_json)

    assert isinstance(view, ScreenView if is_terminal and not as_json else LineView)
