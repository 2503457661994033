"""``loopin pool``: what pools sell, at which price, and how it has moved."""

import shutil
from collections.abc import Mapping

import click

from node.cli.amounts import format_amount, format_percent
from node.cli.connection import connect, url_option
from node.cli.lazy import LazyGroup
from node.cli.output import Output, json_option, pass_output
from node.cli.pool_orders import (
    Duration,
    Order,
    advised,
    duration_options,
    orders_argument,
    quote_all,
)
from node.cli.price_chart import chart, spark
from node.cli.shown import short_amount
from node.client.answers import read_integer, read_object
from node.client.node_client import Token
from node.client.pools import Pool, Quote, list_pools, read_big, read_pool, read_samples
from node.rpc.json_types import Json

CHART_ROWS = 10
HISTORY_MAX = 512
PPB = 10**9
_LEASE, _SUPPLY = "node.cli.pool_lease", "node.cli.pool_supply"
_LAZY = {
    **{name: f"{_LEASE}:{name}" for name in ("acquire", "extend", "end", "lease", "leases")},
    **{name: f"{_SUPPLY}:{name}" for name in ("join", "leave", "stay", "claim")},
}

pool_argument = click.argument("pool_id", metavar="POOL", type=click.IntRange(0, 2**32 - 1))


@click.group(cls=LazyGroup, lazy=_LAZY)
def pool() -> None:
    """Lease computing power and storage, or supply it.

    Units are thousandths of a reference device: 1000 are one device.
    """


@pool.command("list", epilog="Example: loopin pool list")
@url_option
@json_option
@pass_output
def list_command(output: Output, *, url: str) -> None:
    """List the pools: what is for sale, and what a device costs for an hour."""
    with connect(url) as client:
        documents = [dict(item) for item in list_pools(client)]
        token = client.token
    pools = [read_pool(item) for item in documents]
    columns = ("pool", "class", "units", "leased", "for sale", f"{token.symbol}/device hour")
    rows = [
        (
            str(each.pool_id),
            f"{each.class_id} {each.class_name}",
            str(each.supply),
            _share(each.leased, each.supply),
            str(each.unsold),
            short_amount(each.price.device_hour, token),
        )
        for each in pools
    ]
    output.result(list(documents), lambda: output.table(columns, rows))


@pool.command(epilog="Example: loopin pool show 0")
@pool_argument
@url_option
@json_option
@pass_output
def show(output: Output, *, pool_id: int, url: str) -> None:
    """Show a POOL: price, use, rule, and where its tokens came from and went to."""
    with connect(url) as client, advised():
        answer = read_object(client.call("pools_get", pool_id), "the pool")
        token = client.token
    summary = read_pool(read_object(answer.get("summary"), "the pool"))
    facts = {**_market_facts(summary, token), **_rule_facts(answer), **_book_facts(answer, token)}
    output.result(dict(answer), lambda: output.facts(facts))


@pool.command(epilog="Example: loopin pool quote 0:1000 1:2000 --blocks 600")
@orders_argument
@duration_options
@url_option
@json_option
@pass_output
def quote(output: Output, *, orders: tuple[Order, ...], duration: Duration, url: str) -> None:
    """Tell what leasing POOL:UNITS costs now, the price after, and the worst case.

    The worst case is what to sign as the most: the price may rise until the lease is in a block.
    """
    with connect(url) as client:
        quotes = quote_all(client, orders, duration)
        token = client.token
    documents: list[Json] = [quote_document(each) for each in quotes]

    def tell() -> None:
        for number, each in enumerate(quotes):
            if number:
                output.text("")
            output.facts(quote_facts(each, token))
        if len(quotes) > 1:
            cost, worst = (
                sum(each.cost for each in quotes),
                sum(each.worst_case for each in quotes),
            )
            output.text("")
            output.facts({"together": f"{_amount(cost, token)}, at most {_amount(worst, token)}"})

    output.result(documents, tell)


@pool.command(epilog="Example: loopin pool history 0")
@pool_argument
@click.option(
    "--count",
    type=click.IntRange(1, HISTORY_MAX),
    default=HISTORY_MAX,
    show_default=True,
    help="Price periods to look back.",
)
@url_option
@json_option
@pass_output
def history(output: Output, *, pool_id: int, count: int, url: str) -> None:
    """Draw how the price and the use of a POOL have moved."""
    with connect(url) as client, advised():
        answer = read_object(client.call("pools_history", pool_id, count), "the history")
        token = client.token
    samples = read_samples(answer)

    def draw() -> None:
        if not samples:
            output.text(f"pool {pool_id} has had nothing to sell yet")
            return
        width = shutil.get_terminal_size((80, 24)).columns
        prices = [each.price.device_hour for each in samples]
        lines = chart(
            prices, width=width, rows=CHART_ROWS, label=lambda value: short_amount(value, token)
        )
        margin = lines[0].index("┤")
        output.text(f"{token.symbol} for a device and hour in pool {pool_id}\n")
        for line in lines:
            output.text(line)
        use = spark([each.average_ppb for each in samples], width=width - margin - 1, highest=PPB)
        output.text(f"{'use'.rjust(margin - 1)} ┤{use}")
        first, last = samples[0], samples[-1]
        output.text(
            f"{' ' * margin} blocks {first.height} to {last.height}; now "
            f"{short_amount(last.price.device_hour, token)}, {_percent(last.average_ppb)} in use"
        )

    output.result(dict(answer), draw)


def quote_document(quote: Quote) -> Json:
    """Return a quote for machines."""
    return {
        "poolId": quote.pool_id,
        "units": quote.units,
        "duration": quote.duration,
        "cost": str(quote.cost),
        "worstCase": str(quote.worst_case),
        "within": quote.within,
        "priceBeforeQ32": str(quote.before.price_q32),
        "priceAfterQ32": str(quote.after.price_q32),
        "fitsInABlock": quote.fits_in_a_block,
        "mayEndThen": quote.may_end_then,
    }


def quote_facts(quote: Quote, token: Token) -> Mapping[str, str]:
    """Return a quote for people."""
    before, after = quote.before.device_hour, quote.after.device_hour
    facts = {
        "lease": f"{quote.units} units of pool {quote.pool_id} for {quote.duration} blocks",
        "cost": f"{_amount(quote.cost, token)} in the next block",
        "at most": f"{_amount(quote.worst_case, token)} if the price rises as fast as it can for "
        f"{quote.within} blocks",
        "price": f"{short_amount(before, token)} -> {short_amount(after, token)} {token.symbol} "
        "for a device and hour",
    }
    if not quote.fits_in_a_block:
        facts["note"] = "more than a block sells at once: lease it in parts"
    elif not quote.may_end_then:
        facts["note"] = "too many leases end in that block: choose another duration"
    return facts


def _market_facts(summary: Pool, token: Token) -> Mapping[str, str]:
    return {
        "pool": f"{summary.pool_id}, class {summary.class_id} {summary.class_name}",
        "units": f"{summary.supply} of {summary.providers} providers, {summary.leased} leased "
        f"({_share(summary.leased, summary.supply)}), {summary.unsold} for sale",
        "use": f"{_percent(summary.average_ppb)} on average",
        "price": f"{short_amount(summary.price.device_hour, token)} {token.symbol} for a device "
        f"and hour; base {short_amount(summary.base_price.device_hour, token)}",
    }


def _rule_facts(answer: Mapping[str, Json]) -> Mapping[str, str]:
    rule = read_object(answer.get("rule"), "the rule")

    def number(name: str) -> int:
        return read_integer(rule.get(name), name)

    return {
        "rule": f"aims at {_percent(number('targetPpb'))} in use, exponent {number('exponent')}, "
        f"floor {_percent(number('floorPpb'))}",
        "leases": f"{number('rentMinBlocks')} to {number('lockMaxBlocks')} blocks, "
        f"{_percent(number('earlyEndFeePpb'))} of a refund is kept",
        "burned": f"{_percent(number('burnPpb'))} of what is paid",
        "exits": f"{_percent(number('exitPerDayPpb'))} of the supply a day",
    }


def _book_facts(answer: Mapping[str, Json], token: Token) -> Mapping[str, str]:
    books = read_object(answer.get("books"), "the books")
    names = ("paidIn", "burned", "claimed", "refunded", "kept")
    paid, burned, claimed, refunded, kept = (
        _amount(read_big(books.get(name), name), token) for name in names
    )
    dissipated = read_big(books.get("dissipated"), "dissipated")
    return {
        "paid in": f"{paid} for {books.get('leases')} leases",
        "of which": f"{burned} burned\n{claimed} to providers\n{refunded} refunded\n{kept} kept",
        "dissipated": f"{dissipated} units, for a block each, that nobody leased",
    }


def _amount(units: int, token: Token) -> str:
    return f"{format_amount(units, token.decimals)} {token.symbol}"


def _share(part: int, whole: int) -> str:
    return "-" if not whole else _percent(PPB * part // whole)


def _percent(ppb: int) -> str:
    """Return a share with one decimal."""
    return format_percent((ppb + 500_000) // 1_000_000 * 1_000_000)
