"""``loopin account``: balances, transfers and history of accounts."""

import click

from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.cli.shown import Shown
from node.cli.transfer import transfer
from node.client.node_client import hex_of
from primitives.ss58 import encode_address

HISTORY_MAX = 1000


@click.group()
def account() -> None:
    """Balances, transfers and history of accounts.

    An account is an address, or //NAME for a development key.
    """


account.add_command(transfer)


@account.command(epilog="Example: loopin account balance //Alice")
@click.argument("who", metavar="ACCOUNT")
@url_option
@json_option
@pass_output
def balance(output: Output, *, who: str, url: str) -> None:
    """Show what an ACCOUNT holds after the last final block."""
    with connect(url) as client:
        token = client.token
        holder = account_given(who, token.ss58_prefix)
        final = client.header(client.final_hash())
        free = client.balance(holder, final.hash)
        held = client.held(holder, final.hash)
        address = encode_address(holder, token.ss58_prefix)
        nonce = client.next_nonce(address)
    output.result(
        {
            "address": address,
            "free": str(free),
            "held": {reason: str(amount) for reason, amount in held.items()},
            "nonce": nonce,
            "block": hex_of(final.hash),
            "height": final.header.height,
        },
        lambda: output.facts(
            {
                "address": address,
                "free": f"{format_amount(free, token.decimals)} {token.symbol}",
                **{
                    f"held for {reason}": f"{format_amount(amount, token.decimals)} {token.symbol}"
                    for reason, amount in held.items()
                },
                "nonce": str(nonce),
                "as of block": f"{final.header.height} {hex_of(final.hash)} (final)",
            }
        ),
    )


@account.command(epilog="Example: loopin account nonce //Alice")
@click.argument("who", metavar="ACCOUNT")
@url_option
@json_option
@pass_output
def nonce(output: Output, *, who: str, url: str) -> None:
    """Show the nonce of an ACCOUNT's next extrinsic.

    It is behind those that wait already.
    """
    with connect(url) as client:
        prefix = client.token.ss58_prefix
        address = encode_address(account_given(who, prefix), prefix)
        number = client.next_nonce(address)
    output.result({"address": address, "nonce": number}, lambda: output.text(str(number)))


@account.command(epilog="Example: loopin account history //Alice --count 5")
@click.argument("who", metavar="ACCOUNT")
@click.option(
    "--count",
    type=click.IntRange(1, HISTORY_MAX),
    default=20,
    show_default=True,
    help="Extrinsics to show, newest first.",
)
@click.option("--before", type=click.IntRange(min=0), help="Only those in blocks below this one.")
@url_option
@json_option
@pass_output
def history(output: Output, *, who: str, count: int, before: int | None, url: str) -> None:
    """Show the final extrinsics of an ACCOUNT, newest first.

    They are those that it signed, and those of others in whose events it stands. A node that
    prunes its blocks knows only the latest; one with --pruning archive knows all.
    """
    with connect(url) as client:
        prefix = client.token.ss58_prefix
        address = encode_address(account_given(who, prefix), prefix)
        shown = Shown(client)
        entries = [
            shown.entry(dict(item)) for item in client.account_history(address, count, before)
        ]

    def show() -> None:
        if not entries:
            output.text(f"{address} has no history on this node")
        for number, entry in enumerate(entries):
            output.text("" if number else f"history of {address}, newest first\n")
            output.facts(shown.entry_facts(entry))

    output.result({"address": address, "extrinsics": list(entries)}, show)
