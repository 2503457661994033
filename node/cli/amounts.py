"""Amounts as people write them: whole tokens with decimals, exact on the way in and out."""

import re

from primitives.errors import ConfigError
from primitives.types import UINT64_MAX, Balance

_PERCENT_DECIMALS = 7
_AMOUNT = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?")


class InvalidAmount(ConfigError):
    """The text is no amount of the token; the message says what one looks like."""


def parse_amount(text: str, decimals: int, symbol: str) -> Balance:
    """Return the base units of ``"1.5"``. Raises: InvalidAmount."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise InvalidAmount(f"{text!r:.40} is no amount: write {symbol} with a point, like 1.5")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise InvalidAmount(f"{text}: {symbol} has {decimals} decimals, no more")
    amount = int(whole + fraction.ljust(decimals, "0"))
    if amount > UINT64_MAX:
        raise InvalidAmount(f"{text} {symbol} are more than can exist")
    return Balance(amount)


def parse_percent(text: str) -> int:
    """Return the parts per billion of ``"2.5"`` percent. Raises: InvalidAmount."""
    match = _AMOUNT.fullmatch(text.removesuffix("%"))
    fraction = "" if match is None else (match[2] or "").rstrip("0")
    if match is None or len(fraction) > _PERCENT_DECIMALS:
        raise InvalidAmount(f"{text!r:.40} is no percentage: write it with a point, like 2.5")
    ppb = int(match[1] + fraction.ljust(_PERCENT_DECIMALS, "0"))
    if ppb > 100 * 10**_PERCENT_DECIMALS:
        raise InvalidAmount(f"{text}: at most 100 percent")
    return ppb


def format_percent(ppb: int) -> str:
    """Return parts per billion as a percentage with as many decimals as it needs."""
    return f"{format_amount(ppb, _PERCENT_DECIMALS)} %"


def format_amount(amount: int, decimals: int) -> str:
    """Return base units as whole tokens with as many decimals as they need."""
    digits = str(amount).rjust(decimals + 1, "0")
    if decimals == 0:
        return digits
    return f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")
