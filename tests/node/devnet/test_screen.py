import io
import shlex
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from node.cli.devnet import join_command
from node.devnet.devnet import Devnet
from node.devnet.final_chain import Disagreement
from node.devnet.processes import Condition
from node.devnet.report import begin_document, end_document, status_document, status_line
from node.devnet.screen import draw, introduction
from node.devnet.watch import Sight
from primitives.types import Height
from tests.node.devnet.test_plan import plan_in


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return Devnet(plan_in(tmp_path), chaos_seed=1, load_rate=100)


def drawn(devnet: Devnet, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(devnet, 12.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_screen_shows_what_every_node_does(devnet: Devnet) -> None:
    seen = Sight(
        Condition.RUNNING,
        is_answering=True,
        best=43,
        final=42,
        view=47,
        epoch=1,
        peers=3,
        extrinsics_per_second=99.6,
        finality_p50=0.0814,
        finality_p99=0.2,
        cpu_percent=11.2,
        resident_bytes=120 << 20,
    )
    devnet.watch.sights["validator-1"] = seen

    (row,) = [line for line in drawn(devnet).splitlines() if line.strip().startswith("validator-1")]

    cells = row.split()
    assert cells[1:-1] == ["running", "43", "42", "47", "3", "100", "81", "200", "11", "120"]
    assert cells[-1] == str(devnet.plan.nodes[1].rpc_port)


@pytest.mark.parametrize(
    ("sight", "word"),
    [
        (Sight(Condition.RUNNING), "starting"),
        (Sight(Condition.RUNNING, best=3), "silent"),
        (Sight(Condition.PAUSED, best=3), "paused"),
        (Sight(Condition.FAILED), "failed"),
    ],
)
def test_screen_says_what_a_node_is_up_to(devnet: Devnet, sight: Sight, word: str) -> None:
    devnet.watch.sights["validator-0"] = sight

    (row,) = [line for line in drawn(devnet).splitlines() if line.strip().startswith("validator-0")]

    assert row.split()[1] == word


def test_table_fits_into_eighty_columns(devnet: Devnet) -> None:
    rows = [
        line for line in drawn(devnet, 80).splitlines() if line.strip().startswith("validator-")
    ]

    assert len(rows) == 3
    assert all(
        str(node.rpc_port) in row for node, row in zip(devnet.plan.nodes, rows, strict=False)
    )
    assert not any("…" in row for row in rows)


def test_introduction_holds_the_command_that_joins_on_a_line_of_its_own(devnet: Devnet) -> None:
    join = join_command(devnet.plan)

    lines = [line.strip() for line in introduction(devnet, join).splitlines()]

    assert join in lines
    words = shlex.split(join)
    assert words[words.index("--chain") + 1] == str(devnet.plan.spec_file)
    assert "--validator" not in words


def test_a_disagreement_is_a_problem_on_every_report(devnet: Devnet) -> None:
    devnet.watch.chain.disagreements.append(Disagreement(Height(9), "validator-0", "validator-2"))

    problem = "validator-0 and validator-2 have different final blocks at 9"
    assert problem in drawn(devnet)
    assert end_document(devnet, 1.0)["problems"] == [problem]
    assert "disagreements=1" in status_line(devnet, 1.0)


def test_documents_are_json(devnet: Devnet) -> None:
    begin = orjson.loads(orjson.dumps(begin_document(devnet, "loopin ...")))
    status = orjson.loads(orjson.dumps(status_document(devnet, 3.0)))

    assert [node["name"] for node in begin["nodes"]] == list(status["nodes"])
    assert status["nodes"]["validator-0"]["process"] == "new"
    assert status["finalityP50"] is None
