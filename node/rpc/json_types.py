"""Types for JSON values, as ``orjson`` reads and writes them."""

from typing import TypeAlias

JsonObject: TypeAlias = dict[str, "Json"]
Json: TypeAlias = bool | int | float | str | list["Json"] | JsonObject | None
"""Any JSON value."""
