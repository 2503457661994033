"""The OpenRPC document and the table of methods in the documentation, made from the code.

Source: the OpenRPC specification 1.3.2.
"""

from collections.abc import Mapping

from node.rpc.errors import MESSAGES, Code
from node.rpc.json_types import Json, JsonObject
from node.rpc.method import Method

OPENRPC_VERSION = "1.3.2"
_ERROR_NAMES = {code: code.name.title().replace("_", "") for code in Code}


def document_of(served: Mapping[str, Method], version: str) -> JsonObject:
    """Return the OpenRPC document of the methods, which are given by name and alias."""
    methods = {method.name: method for method in served.values()}
    errors: JsonObject = {
        _ERROR_NAMES[code]: {"code": int(code), "message": message}
        for code, message in MESSAGES.items()
    }
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "LooPIN node",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_method_object(method) for method in methods.values()],
        "components": {"errors": errors},
    }


def _method_object(method: Method) -> JsonObject:
    tags: list[Json] = [{"name": method.name.partition("_")[0]}]
    if not method.safe:
        tags.append({"name": "unsafe"})
    if method.needs_websocket:
        tags.append({"name": "websocket"})
    described: JsonObject = {
        "name": method.name,
        "summary": method.summary,
        "tags": tags,
        "paramStructure": "either",
        "params": [
            {
                "name": parameter.name,
                "required": parameter.required,
                "schema": parameter.codec.schema,
            }
            for parameter in method.parameters
        ],
        "result": {"name": "result", "schema": method.result.schema},
        "errors": [{"$ref": f"#/components/errors/{_ERROR_NAMES[Code.INVALID_PARAMS]}"}],
    }
    if method.description:
        described["description"] = method.description
    if method.notification:
        described["result"] = {"name": "subscription", "schema": {"type": "string"}}
        described["x-notification"] = {
            "method": method.notification,
            "schema": method.result.schema,
        }
    if method.aliases:
        described["x-aliases"] = list(method.aliases)
    return described


def methods_table(served: Mapping[str, Method]) -> str:
    """Return the table of methods for ``docs/rpc.md``."""
    lines = ["| method | parameters | what it does |", "|---|---|---|"]
    for method in {method.name: method for method in served.values()}.values():
        parameters = ", ".join(
            parameter.name if parameter.required else f"{parameter.name}?"
            for parameter in method.parameters
        )
        notes = [method.summary]
        if not method.safe:
            notes.append("*Unsafe.*")
        if method.notification:
            notes.append(f"Notifies as `{method.notification}`.")
        if method.aliases:
            notes.append("Also " + ", ".join(f"`{alias}`" for alias in method.aliases) + ".")
        lines.append(f"| `{method.name}` | {parameters} | {' '.join(notes)} |")
    return "\n".join(lines)


def errors_table() -> str:
    """Return the table of error codes for ``docs/rpc.md``."""
    rows = (f"| {int(code)} | {message} |" for code, message in MESSAGES.items())
    return "\n".join(["| code | message |", "|---|---|", *rows])
