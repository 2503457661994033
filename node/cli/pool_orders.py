"""What a client orders of pools on the command line: POOL:UNITS, and for how long."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from typing import Any, TypeVar

import click

from node.client.answers import read_integer, read_list, read_object
from node.client.errors import BadAnswer, CallRefused
from node.client.node_client import NodeClient
from node.client.pools import Quote, ask_quote
from primitives.errors import ConfigError, LoopinError

ORDERS_MAX = 8
"""Pools in one basket; the chain takes no more."""
WITHIN = 64
"""Blocks for which the worst case is reckoned: as long as a transaction is valid by default."""
HOUR_MILLIS = 3_600_000
_ADVICE = {
    "UnknownPool": "see loopin pool list",
    "UnknownLease": "see loopin pool leases",
    "NoSupply": "see loopin pool list for what is for sale",
    "NotEnoughSupply": "see loopin pool list for what is for sale",
    "ParameterOutOfRange": "see loopin pool show",
}
_ORDER = re.compile(r"([0-9]{1,10}):([0-9]{1,13})")
_HOURS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class InvalidOrder(ConfigError):
    """The text is no order; the message says what one looks like."""


class NotForSale(LoopinError):
    """No pool sells this; the message says why, and where to look."""


@dataclass(frozen=True, slots=True)
class Order:
    """Units of a pool."""

    pool_id: int
    units: int


@dataclass(frozen=True, slots=True)
class Duration:
    """How long a lease is to last, in blocks or in hours of the market."""

    blocks: int | None
    hours: str | None

    def in_blocks(self, client: NodeClient) -> int:
        """Return the blocks. Raises: InvalidOrder, BadAnswer."""
        if self.blocks is not None:
            return self.blocks
        assert self.hours is not None, "one of the two is given"
        if not _HOURS.fullmatch(self.hours):
            raise InvalidOrder(f"{self.hours!r:.40} is no number of hours, such as 2 or 0.5")
        millis = Decimal(self.hours) * HOUR_MILLIS
        return max(1, -int(-millis // market_interval(client)))


def market_interval(client: NodeClient) -> int:
    """Return the milliseconds of market time that pass in a block. Raises: BadAnswer."""
    metadata = read_object(client.metadata.document, "the metadata")
    for entry in read_list(metadata.get("modules"), "the modules"):
        module = read_object(entry, "a module")
        if module.get("name") == "pools":
            constants = read_object(module.get("constants"), "the constants")
            return max(1, read_integer(constants.get("market_interval"), "market_interval"))
    raise BadAnswer("the chain has no pools")


def _parse(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> tuple[Order, ...]:
    if len(texts) > ORDERS_MAX:
        raise click.UsageError(f"at most {ORDERS_MAX} orders in one basket")
    orders = []
    for text in texts:
        match = _ORDER.fullmatch(text)
        if match is None:
            raise click.UsageError(f"{text!r:.40} is no order: write POOL:UNITS, such as 0:1000")
        orders.append(Order(int(match[1]), int(match[2])))
    return tuple(orders)


orders_argument = click.argument(
    "orders", metavar="POOL:UNITS...", nargs=-1, required=True, callback=_parse
)


def duration_options(command: _Command) -> Callable[..., Any]:
    """Give a command ``--blocks`` and ``--hours``; it takes them as ``duration``."""

    @wraps(command)
    def with_duration(
        *arguments: object, blocks: int | None, hours: str | None, **options: object
    ) -> object:
        if (blocks is None) == (hours is None):
            raise click.UsageError("for how long? give --blocks N or --hours H")
        return command(*arguments, duration=Duration(blocks, hours), **options)

    decorated: Callable[..., Any] = with_duration
    decorated = click.option("--hours", metavar="H", help="In hours of the market, such as 1.5.")(
        decorated
    )
    return click.option("--blocks", type=click.IntRange(1, 2**31), help="In blocks.")(decorated)


@contextmanager
def advised() -> Iterator[None]:
    """Say where to look, if the chain refuses what is asked of a pool. Raises: NotForSale."""
    try:
        yield
    except CallRefused as error:
        said = error.data if isinstance(error.data, str) else ""
        advice = _ADVICE.get(said.partition(":")[0])
        if advice is None:
            raise
        raise NotForSale(f"{said}; {advice}") from error


def quote_all(
    client: NodeClient, orders: Sequence[Order], duration: Duration, within: int = WITHIN
) -> list[Quote]:
    """Return what each order costs. Raises: NotForSale, CallRefused, InvalidOrder."""
    blocks = duration.in_blocks(client)
    with advised():
        return [ask_quote(client, each.pool_id, each.units, blocks, within) for each in orders]
