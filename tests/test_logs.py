"""Every log line is one fact: height and view first, then the event, then ``key=value``."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LINE = re.compile(
    r"(height=%d )?(view=%d )?event=([a-z][a-z0-9_]*|%s)"
    r"( [a-z][a-z0-9_]*=(0x)?(%[-.0-9]*[sdrf]\S*|\w+))*"
)
FILES = sorted([*(ROOT / "node").rglob("*.py"), *(ROOT / "p2p").rglob("*.py")])


def logged(tree: ast.Module) -> Iterator[tuple[int, object]]:
    """Yield line number and message of every call of a logger."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and "log" in ast.unparse(node.func.value).lower()
        ):
            message = node.args[0]
            yield node.lineno, message.value if isinstance(message, ast.Constant) else None


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_log_lines_are_facts(file: Path) -> None:
    lines = list(logged(ast.parse(file.read_text(encoding="utf-8"))))

    wrong = [
        f"{number}: {message!r}"
        for number, message in lines
        if not isinstance(message, str) or not LINE.fullmatch(message)
    ]

    assert wrong == []


def test_log_lines_are_found() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in FILES]

    assert sum(len(list(logged(tree))) for tree in trees) > 20
