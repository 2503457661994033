"""The document that describes the RPC says what the code does, and the pages in docs say the same.

``python -m tests.node.rpc.test_openrpc`` writes the generated parts of ``docs/rpc.md``.
"""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import node.rpc.limits
from node.rpc.assembly import build_dispatcher
from node.rpc.dispatcher import Dispatcher
from node.rpc.errors import MESSAGES, Code
from node.rpc.limits import Limits
from node.rpc.openrpc import document_of, errors_table, methods_table
from tests.node.rpc.calling import call
from tests.node.rpc.fake_node import FakeNode

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rpc.md"
SCHEMA_TYPES = {"string", "integer", "boolean", "null", "array", "object", "number"}


@pytest.fixture
def dispatcher() -> Dispatcher:
    return build_dispatcher(FakeNode())


@pytest.fixture
def document(dispatcher: Dispatcher) -> Any:
    # Through JSON and back: what cannot be written cannot be served.
    return json.loads(json.dumps(document_of(dispatcher.served, "0.1.0")))


def check_schema(schema: Any) -> None:
    """Assert that a value is a JSON schema of the few forms that are made here."""
    assert isinstance(schema, dict)
    assert schema.get("type", "object") in SCHEMA_TYPES
    assert schema.keys() & {"type", "oneOf"}
    if schema.get("type") == "array":
        check_schema(schema["items"])
    if "pattern" in schema:
        re.compile(schema["pattern"])
    for member in schema.get("oneOf", []):
        check_schema(member)
    properties = schema.get("properties", {})
    for member in properties.values():
        check_schema(member)
    assert set(schema.get("required", [])) <= set(properties)


async def test_discover_serves_the_document_under_both_names(
    dispatcher: Dispatcher, document: Any
) -> None:
    assert await call(dispatcher, "rpc_discover") == document
    assert await call(dispatcher, "rpc.discover") == document


def test_document_has_what_openrpc_requires(document: Any) -> None:
    assert re.fullmatch(r"1\.\d+\.\d+", document["openrpc"])
    assert document["info"]["title"]
    assert document["info"]["version"] == "0.1.0"
    names = [method["name"] for method in document["methods"]]
    assert len(names) == len(set(names))
    for method in document["methods"]:
        assert method["paramStructure"] in {"by-name", "by-position", "either"}
        assert method["result"]["name"]
        check_schema(method["result"]["schema"])
        parameters = method["params"]
        assert len({parameter["name"] for parameter in parameters}) == len(parameters)
        required = [parameter["required"] for parameter in parameters]
        assert required == sorted(required, reverse=True), "optional parameters come last"
        for parameter in parameters:
            check_schema(parameter["schema"])
        for error in method["errors"]:
            assert error["$ref"].rpartition("/")[2] in document["components"]["errors"]


def test_every_method_is_in_the_document_and_says_what_it_does(
    dispatcher: Dispatcher, document: Any
) -> None:
    described = {method["name"]: method for method in document["methods"]}

    for method in dispatcher.served.values():
        entry = described[method.name]
        assert entry["summary"].endswith("."), method.name
        assert {"name": "unsafe"} in entry["tags"] or method.safe
        assert ("x-notification" in entry) is bool(method.notification)
        assert entry.get("x-aliases", []) == list(method.aliases)


def test_every_code_has_one_message_and_every_message_a_code() -> None:
    assert set(MESSAGES) == set(Code)


def limits_table() -> str:
    """Return the limits with their defaults and the sentences beside them in the code."""
    tree = ast.parse(inspect.getsource(node.rpc.limits))
    (body,) = [part.body for part in tree.body if isinstance(part, ast.ClassDef)]
    said: dict[str, str] = {}
    for field, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            is_said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            said[field.target.id] = str(after.value.value) if is_said else ""  # type: ignore[union-attr]
    rows = (
        f"| `{name}` | {getattr(Limits(), name):,} | {text.replace('``', '`')} |"
        for name, text in said.items()
    )
    return "\n".join(["| limit | default | |", "|---|---|---|", *rows])


def with_generated_parts(page: str) -> str:
    """Return ``page`` with its generated parts made anew."""
    parts = {
        "methods": methods_table(build_dispatcher(FakeNode()).served),
        "errors": errors_table(),
        "limits": limits_table(),
    }
    for name, text in parts.items():
        begin = f"<!-- {name}: generated -->\n"
        before, found, rest = page.partition(begin)
        assert found, f"docs/rpc.md has no place for {name}"
        page = before + begin + text + "\n<!-- end -->" + rest.partition("<!-- end -->")[2]
    return page


def test_page_in_the_documentation_is_what_the_code_says() -> None:
    page = PAGE.read_text()

    assert page == with_generated_parts(page), "run python -m tests.node.rpc.test_openrpc"


if __name__ == "__main__":
    PAGE.write_text(with_generated_parts(PAGE.read_text()))
