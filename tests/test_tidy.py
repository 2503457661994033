"""House rules that no linter knows, checked on the syntax tree of every file."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "primitives", "runtime", "consensus", "chain", "p2p", "genesis", "miner", "economics", "node",
)  # fmt: skip
PURE = ("primitives", "runtime", "consensus")
FLOAT_ALLOWED = {"runtime/pocps/forward_pass.py"}
"""Where float arrays are exact, and so allowed in a pure layer."""

BROAD_EXCEPT_ALLOWED = {
    "node/service.py": "the one place that logs our own bug before the node stops",
    "node/rpc/dispatcher.py": "no request may stop the node; the client gets an internal error",
    "p2p/libp2p_fixes/swarm.py": "libp2p lets a stranger's bytes surface as any exception",
    "p2p/libp2p_fixes/yamux.py": "libp2p lets a stranger's bytes surface as any exception",
}
"""Files that may swallow ``Exception``, each with its reason; to clean up and re-raise is free."""

FUNCTION_LINES_MAX = 50
FORBIDDEN_MODULE_NAMES = {"util", "utils", "common", "helpers", "misc", "base", "manager"}
ISSUE = re.compile(r"#\d+")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

Rule = Callable[[str, str, ast.Module], Iterator[str]]


def is_pure(path: str) -> bool:
    return path.partition("/")[0] in PURE


def pure_layers_use_no_float(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not is_pure(path) or path in FLOAT_ALLOWED:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"{node.lineno}: float constant {node.value!r}"
        if isinstance(node, ast.Name) and node.id in {"float", "complex"}:
            yield f"{node.lineno}: {node.id} in a pure layer"


def pure_layers_divide_whole_numbers_only(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not is_pure(path) or path in FLOAT_ALLOWED:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"{node.lineno}: / gives a float; use //"


def pure_layers_ask_no_process_for_identity(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not is_pure(path):
        return
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"hash", "id"}
        ):
            yield f"{node.lineno}: {node.func.id}() differs between two runs"


def pure_layers_are_synchronous(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not is_pure(path):
        return
    kinds = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            yield f"{node.lineno}: async in a pure layer"


def functions_fit_on_a_screen(_path: str, _: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {node.name} has {lines} lines"


def init_files_hold_a_docstring_only(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not path.endswith("__init__.py"):
        return
    if len(tree.body) != 1 or ast.get_docstring(tree) is None:
        yield "1: __init__.py holds one docstring and nothing else"


def modules_say_what_they_are_for(_path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "1: no module docstring"


def imports_are_absolute_and_named(_path: str, _: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                yield f"{node.lineno}: relative import"
            if any(alias.name == "*" for alias in node.names):
                yield f"{node.lineno}: star import"


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Return whether the handler ends by letting the exception go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def nobody_catches_everything(path: str, _: str, tree: ast.Module) -> Iterator[str]:
    if path in BROAD_EXCEPT_ALLOWED:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {each.id for each in caught if isinstance(each, ast.Name)}
            broad = node.type is None or names & {"Exception", "BaseException"}
            if broad and not raises_again(node):
                yield f"{node.lineno}: catches everything"


def unfinished_work_has_an_issue_number(_path: str, text: str, _: ast.Module) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if UNFINISHED.search(line) and not ISSUE.search(line):
            yield f"{number}: unfinished work without an issue number"


def modules_are_named_by_a_noun(path: str, _: str, _tree: ast.Module) -> Iterator[str]:
    for part in Path(path).with_suffix("").parts:
        if part in FORBIDDEN_MODULE_NAMES:
            yield f"1: {part!r} says nothing; put the code where its noun lives"


RULES: tuple[Rule, ...] = (
    pure_layers_use_no_float,
    pure_layers_divide_whole_numbers_only,
    pure_layers_ask_no_process_for_identity,
    pure_layers_are_synchronous,
    functions_fit_on_a_screen,
    init_files_hold_a_docstring_only,
    modules_say_what_they_are_for,
    imports_are_absolute_and_named,
    nobody_catches_everything,
    unfinished_work_has_an_issue_number,
    modules_are_named_by_a_noun,
)


@cache
def sources() -> dict[str, tuple[str, ast.Module]]:
    """Return the text and tree of every source file of the packages, by path from the root."""
    found = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}
    return {path: (text, ast.parse(text)) for path, text in texts.items()}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_source_file_obeys(rule: Rule) -> None:
    complaints = []
    for path, (text, tree) in sources().items():
        complaints += [f"{path}:{each}" for each in rule(path, text, tree)]

    assert complaints == []


def test_every_package_is_looked_at() -> None:
    seen = {path.partition("/")[0] for path in sources()}

    assert seen == set(PACKAGES)


def test_files_allowed_to_catch_everything_exist_for_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in BROAD_EXCEPT_ALLOWED.values())


LONG = "def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
BAD = [
    (pure_layers_use_no_float, "runtime/fees.py", "rate = 0.5"),
    (pure_layers_use_no_float, "consensus/a.py", "def f(x: float) -> None: ..."),
    (pure_layers_use_no_float, "primitives/a.py", "y = float(x)"),
    (pure_layers_use_no_float, "primitives/a.py", "y = 2j"),
    (pure_layers_divide_whole_numbers_only, "runtime/fees.py", "y = a / b"),
    (pure_layers_divide_whole_numbers_only, "runtime/fees.py", "y /= b"),
    (pure_layers_ask_no_process_for_identity, "consensus/a.py", "k = hash(vote)"),
    (pure_layers_ask_no_process_for_identity, "consensus/a.py", "k = id(vote)"),
    (pure_layers_are_synchronous, "runtime/a.py", "async def f(): ..."),
    (functions_fit_on_a_screen, "node/a.py", LONG),
    (functions_fit_on_a_screen, "node/a.py", "async " + LONG),
    (init_files_hold_a_docstring_only, "chain/__init__.py", '"""Doc."""\nimport os'),
    (init_files_hold_a_docstring_only, "chain/__init__.py", ""),
    (modules_say_what_they_are_for, "chain/a.py", "x = 1"),
    (imports_are_absolute_and_named, "chain/a.py", "from . import b"),
    (imports_are_absolute_and_named, "chain/a.py", "from chain.b import *"),
    (nobody_catches_everything, "chain/a.py", "try: f()\nexcept Exception: pass"),
    (nobody_catches_everything, "chain/a.py", "try: f()\nexcept (ValueError, BaseException): pass"),
    (nobody_catches_everything, "chain/a.py", "try: f()\nexcept: pass"),
    (unfinished_work_has_an_issue_number, "chain/a.py", "# TO" + "DO: later"),
    (modules_are_named_by_a_noun, "chain/util.py", ""),
    (modules_are_named_by_a_noun, "node/common/rpc.py", ""),
]
GOOD = [
    (pure_layers_use_no_float, "runtime/pocps/forward_pass.py", "rate = 0.5"),
    (pure_layers_use_no_float, "economics/model.py", "rate = 0.5"),
    (pure_layers_divide_whole_numbers_only, "runtime/fees.py", "y = a // b"),
    (pure_layers_ask_no_process_for_identity, "node/a.py", "k = id(task)"),
    (pure_layers_are_synchronous, "node/a.py", "async def f(): ..."),
    (functions_fit_on_a_screen, "node/a.py", "def f(): ..."),
    (init_files_hold_a_docstring_only, "chain/__init__.py", '"""Doc."""'),
    (modules_say_what_they_are_for, "chain/a.py", '"""Doc."""\nx = 1'),
    (imports_are_absolute_and_named, "chain/a.py", "from chain import b"),
    (nobody_catches_everything, "node/service.py", "try: f()\nexcept Exception: log()"),
    (nobody_catches_everything, "chain/a.py", "try: f()\nexcept BaseException:\n g()\n raise"),
    (nobody_catches_everything, "chain/a.py", "try: f()\nexcept (KeyError, OSError): pass"),
    (unfinished_work_has_an_issue_number, "chain/a.py", "# TO" + "DO: #12 later"),
    (modules_are_named_by_a_noun, "runtime/module.py", ""),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_rule_fires_on_what_it_forbids(rule: Rule, path: str, text: str) -> None:
    assert list(rule(path, text, ast.parse(text)))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_rule_is_silent_on_what_it_allows(rule: Rule, path: str, text: str) -> None:
    assert list(rule(path, text, ast.parse(text))) == []


def test_every_rule_is_shown_to_fire() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)
