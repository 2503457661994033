"""Reference prices: dated, sourced, and edited in reference_prices.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from primitives.errors import ConfigError

PATH: Final = Path(__file__).with_name("reference_prices.json")


@dataclass(frozen=True, slots=True)
class ReferencePrice:
    """One number from outside, with its date and where it comes from."""

    name: str
    value: float
    as_of: str
    what: str
    source: str


class ReferencePricesUnusable(ConfigError):
    """The file of reference prices lacks a price or cannot be read; says which."""


def load_prices(path: Path = PATH) -> dict[str, ReferencePrice]:
    """Read every reference price.

    Raises: ReferencePricesUnusable.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["prices"]
        return {
            name: ReferencePrice(
                name=name,
                value=float(entry["value"]),
                as_of=str(entry["as_of"]),
                what=str(entry["what"]),
                source=str(entry["source"]),
            )
            for name, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferencePricesUnusable(
            f"{path}: {type(error).__name__}: {error}; every price needs value, as_of, what, source"
        ) from error


def device_hour_cost(prices: Mapping[str, ReferencePrice]) -> float:
    """Return what an hour of an A100 costs its provider: write-off, power and hosting, in USD."""
    hours = prices["device_life_years"].value * 365 * 24
    return (
        prices["device_a100"].value / hours
        + prices["power_a100_hour"].value
        + prices["hosting_a100_hour"].value
    )
