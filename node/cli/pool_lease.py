"""``loopin pool acquire``, ``extend``, ``end``, ``lease`` and ``leases``: a client's part."""

from collections.abc import Mapping, Sequence

import click

from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.cli.pool_orders import (
    Duration,
    Order,
    advised,
    duration_options,
    orders_argument,
    quote_all,
)
from node.cli.shown import Shown
from node.cli.signed_call import Happened, Signer, Signing, opened, signing_options
from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.node_client import Token
from node.client.pools import (
    Extension,
    Quote,
    ask_extension,
    find_lease,
    list_leases,
    read_lease,
)
from node.rpc.json_types import Json
from primitives.codec import Plain
from primitives.errors import LoopinError
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance

WITHIN = 64

lease_argument = click.argument("lease_id", metavar="LEASE", type=click.IntRange(0, 2**64 - 1))
most_option = click.option(
    "--max-total",
    metavar="AMOUNT",
    help="Pay at most this; by default what it costs if the price rises as fast as it can for "
    "64 blocks.",
)


class TooDear(LoopinError):
    """It costs more than the client would pay; nothing was sent."""


class TooMuchAtOnce(LoopinError):
    """A block does not sell so many units; nothing was sent."""


class NoSuchLease(LoopinError):
    """No lease of that number runs; nothing was sent."""


@click.command(epilog="Example: loopin pool acquire 0:1000 1:2000 --blocks 600 --from //Bob")
@orders_argument
@duration_options
@most_option
@click.option(
    "--lease-key",
    metavar="ACCOUNT",
    help="Public key that opens the lease at its providers; by default the signer's own.",
)
@signing_options
@pass_output
def acquire(
    output: Output,
    *,
    orders: tuple[Order, ...],
    duration: Duration,
    max_total: str | None,
    lease_key: str | None,
    signing: Signing,
) -> None:
    """Lease POOL:UNITS; of several pools all or nothing, in one transaction."""
    with opened(output, signing) as signer:
        key = signer.account if lease_key is None else signer.account_given(lease_key)
        quotes = quote_all(signer.client, orders, duration)
        for each in quotes:
            if not each.fits_in_a_block:
                raise TooMuchAtOnce(
                    f"pool {each.pool_id} sells no more than 1/16 of its units in a block, and "
                    f"{each.units} are more: lease them in parts; nothing was sent"
                )
        limits = _limits(quotes, None if max_total is None else signer.parse(max_total), signer)
        signer.send(
            acquire_call(quotes, limits, key),
            moves=sum(limits),
            tell=lambda events: _leased(events, signer),
        )


@click.command(epilog="Example: loopin pool extend 3 --blocks 600 --from //Bob")
@lease_argument
@click.option("--blocks", type=click.IntRange(1, 2**31), help="Blocks to add.")
@most_option
@click.option("--auto", metavar="AMOUNT", help="Extend it by itself while that costs at most this.")
@click.option("--no-auto", is_flag=True, help="Let it end.")
@signing_options
@pass_output
def extend(
    output: Output,
    *,
    lease_id: int,
    blocks: int | None,
    max_total: str | None,
    auto: str | None,
    no_auto: bool,
    signing: Signing,
) -> None:
    """Let a LEASE run for longer, now or by itself at its end."""
    wishes = [blocks is not None, auto is not None, no_auto]
    if sum(wishes) != 1:
        raise click.UsageError("how? give one of --blocks N, --auto AMOUNT and --no-auto")
    with opened(output, signing) as signer:
        _require_own(signer, lease_id)
        if blocks is None:
            ceiling = None if auto is None else signer.parse(auto)
            signer.send(["pools.set_auto_extend", lease_id, ceiling])
            return
        with advised():
            asked = ask_extension(signer.client, lease_id, blocks, WITHIN)
        most = _extension_limit(asked, None if max_total is None else signer.parse(max_total))
        signer.send(
            ["pools.extend", lease_id, blocks, most],
            moves=most,
            told={"lease": f"{lease_id} until block {asked.ends}"},
            tell=lambda events: _paid(events, "pools.Extended", signer),
        )


@click.command(epilog="Example: loopin pool end 3 --from //Bob")
@lease_argument
@signing_options
@pass_output
def end(output: Output, *, lease_id: int, signing: Signing) -> None:
    """End a LEASE now; what its units are still worth, less a fee, comes back."""
    with opened(output, signing) as signer:
        lease = _require_own(signer, lease_id)
        refund = lease.get("refund")
        if refund is not None:
            amount = signer.shown.amount(read_amount(refund, "the refund"))
            output.note(f"about {amount} come back")
        signer.send(
            ["pools.terminate", lease_id],
            told={"lease": f"{lease_id} ended"},
            tell=lambda events: _refunded(events, signer),
        )


@click.command(epilog="Example: loopin pool lease 3")
@lease_argument
@url_option
@json_option
@pass_output
def lease(output: Output, *, lease_id: int, url: str) -> None:
    """Show a LEASE: who serves it, until when, and what ending it now would bring."""
    with connect(url) as client:
        answer = find_lease(client, lease_id)
        if answer is None:
            raise _no_such_lease(lease_id)
        facts = _lease_facts(answer, Shown(client))
    output.result(dict(answer), lambda: output.facts(facts))


@click.command(epilog="Example: loopin pool leases //Bob")
@click.argument("who", metavar="ACCOUNT")
@url_option
@json_option
@pass_output
def leases(output: Output, *, who: str, url: str) -> None:
    """List the leases of an ACCOUNT that run."""
    with connect(url) as client:
        prefix = client.token.ss58_prefix
        address = encode_address(account_given(who, prefix), prefix)
        documents = [dict(item) for item in list_leases(client, address)]
        token = client.token
    columns = ("lease", "pool", "units", "until block", "left", "extends itself for up to")
    rows = [
        (
            str(each.lease_id),
            str(each.pool_id),
            str(each.units),
            str(each.ends),
            f"{each.left} blocks",
            "-" if each.ceiling is None else _amount(each.ceiling, token),
        )
        for each in map(read_lease, documents)
    ]

    def show() -> None:
        if rows:
            output.table(columns, rows)
        else:
            output.text(f"{address} has no lease that runs: loopin pool acquire")

    output.result(list(documents), show)


def acquire_call(quotes: Sequence[Quote], limits: Sequence[Balance], key: AccountId) -> Plain:
    """Return the call that leases what was quoted: one lease, or a basket of them."""
    orders: list[Plain] = [
        [each.pool_id, each.units, each.duration, limit, key]
        for each, limit in zip(quotes, limits, strict=True)
    ]
    if len(orders) > 1:
        return ["pools.acquire_basket", orders]
    (only,) = quotes
    return ["pools.acquire", only.pool_id, only.units, only.duration, limits[0], key]


def _limits(quotes: Sequence[Quote], most: Balance | None, signer: Signer) -> list[Balance]:
    """Return the most that each order may cost; together at most ``most``. Raises: TooDear."""
    if most is None:
        return [each.worst_case for each in quotes]
    total = sum(each.cost for each in quotes)
    if total > most:
        amount = signer.shown.amount
        raise TooDear(f"it costs {amount(total)}, more than {amount(most)}: nothing was sent")
    # What is left of the sum is room for the price of each in proportion to its cost.
    return [Balance(each.cost + (most - total) * each.cost // total) for each in quotes]


def _extension_limit(asked: Extension, most: Balance | None) -> Balance:
    if most is None:
        return asked.worst_case
    if asked.cost > most:
        raise TooDear(f"it costs {asked.cost} base units, more than {most}: nothing was sent")
    return most


def _require_own(signer: Signer, lease_id: int) -> Mapping[str, Json]:
    """Return a lease of the signer's. Raises: NoSuchLease."""
    found = find_lease(signer.client, lease_id)
    if found is None:
        raise _no_such_lease(lease_id)
    if read_text(found.get("client"), "the client") != signer.address:
        raise NoSuchLease(f"lease {lease_id} is not that of {signer.address}")
    return found


def _no_such_lease(lease_id: int) -> NoSuchLease:
    return NoSuchLease(
        f"no lease {lease_id} runs: it has ended, or never was; loopin pool leases ACCOUNT lists "
        "those that run"
    )


def _leased(events: Sequence[Happened], signer: Signer) -> Mapping[str, str]:
    leased = [event.fields for event in events if event.name == "pools.Leased"]
    lines = [
        f"{fields.get('leaseId')}: {fields.get('units')} units of pool {fields.get('poolId')} "
        f"until block {fields.get('ends')}"
        for fields in leased
    ]
    paid = sum(read_amount(fields.get("paid"), "what was paid") for fields in leased)
    return {"lease": "\n".join(lines), "paid": signer.shown.amount(paid)} if leased else {}


def _paid(events: Sequence[Happened], name: str, signer: Signer) -> Mapping[str, str]:
    found = [event.fields for event in events if event.name == name]
    total = sum(read_amount(fields.get("paid"), "what was paid") for fields in found)
    return {"paid": signer.shown.amount(total)} if found else {}


def _refunded(events: Sequence[Happened], signer: Signer) -> Mapping[str, str]:
    found = [event.fields for event in events if event.name == "pools.LeaseEnded"]
    total = sum(read_amount(fields.get("refunded"), "a refund") for fields in found)
    return {"refunded": signer.shown.amount(total)} if found else {}


def _lease_facts(answer: Mapping[str, Json], shown: Shown) -> Mapping[str, str]:
    item = read_lease(answer)
    shares = [read_object(share, "a share") for share in read_list(answer.get("shares"), "shares")]
    refund = answer.get("refund")
    facts = {
        "lease": f"{item.lease_id}: {item.units} units of pool {item.pool_id}",
        "client": item.client,
        "ends": f"after block {item.ends}, {item.left} blocks from now",
        "providers": "\n".join(
            f"{read_text(share.get('provider'), 'a provider')} "
            f"{read_integer(share.get('units'), 'its units')} units"
            for share in shares
        ),
        "key": read_text(answer.get("key"), "the key"),
    }
    if item.ceiling is not None:
        facts["extends itself"] = f"for up to {shown.amount(item.ceiling)}"
    if refund is not None:
        facts["ended now"] = f"{shown.amount(read_amount(refund, 'the refund'))} come back"
    return facts


def _amount(units: int, token: Token) -> str:
    return f"{format_amount(units, token.decimals)} {token.symbol}"
