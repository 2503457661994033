"""``loopin chain verify``: what a chain is now, without trusting the node that says so."""

import re
import time

import click

from chain.handover import Checkpoint, NotBoundary, TableChain
from chain.light_client import LightClient
from genesis.build import build_genesis
from genesis.spec import ChainSpec
from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.cli.specs import find_spec
from node.cli.times import shown_time
from node.client.light import fetch_balance, follow
from node.client.node_client import hex_of
from node.rpc.json_types import JsonObject
from primitives.block import Header
from primitives.errors import ConfigError
from primitives.ss58 import encode_address
from primitives.types import Digest, Epoch, Height, Millis

AGE_MAX = 3600
_CHECKPOINT = re.compile(r"([0-9]{1,19}):0x([0-9a-fA-F]{64})")


class BadCheckpoint(ConfigError):
    """``--checkpoint`` names no block that can be trusted; the message says what it takes."""


@click.command(epilog="Example: loopin chain verify --chain local --account //Alice")
@click.option(
    "--chain", required=True, metavar="FILE|dev|local", help="Chain spec: all that is trusted."
)
@click.option("--account", metavar="ACCOUNT", help="Prove what this account holds.")
@click.option(
    "--checkpoint",
    metavar="HEIGHT:HASH",
    help="Last block of an epoch, from somebody you know, that the chain must go through.",
)
@click.option(
    "--max-age",
    type=click.IntRange(1),
    default=AGE_MAX,
    show_default=True,
    help="Refuse a newest block that is older than so many seconds.",
)
@url_option
@json_option
@pass_output
def verify(
    output: Output,
    *,
    chain: str,
    account: str | None,
    checkpoint: str | None,
    max_age: int,
    url: str,
) -> None:
    """Prove the newest final block of a chain, and a balance, through a node that may lie.

    Only the chain spec is trusted: power tables are followed from its validators on, epoch by
    epoch, each proven by signatures of the one before. Exits with 1 if anything does not hold.
    """
    spec = find_spec(chain)
    tables = table_chain(spec, checkpoint)
    holder = None if account is None else account_given(account, spec.ss58_prefix)
    light = LightClient(tables)
    with connect(url) as client, output.progress("epochs") as bar:

        def on_epoch(epoch: Epoch, header: Header) -> None:
            bar(epoch, what=f"epoch {epoch}, block {header.height}")

        header = follow(client, light, on_epoch)
        light.require_recent(Millis(time.time_ns() // 1_000_000), Millis(1000 * max_age))
        balance = None if holder is None else fetch_balance(client, light, holder)
    document: JsonObject = {
        "verified": True,
        "height": header.height,
        "hash": hex_of(header.hash),
        "epoch": header.epoch,
        "stateRoot": hex_of(header.state_root),
        "timestamp": header.timestamp,
        "validators": len(tables.table),
    }
    facts = {
        "proven final": f"{header.height} {hex_of(header.hash)}",
        "epoch": f"{header.epoch}, {len(tables.table)} validators",
        "state root": hex_of(header.state_root),
        "time": shown_time(header.timestamp),
    }
    if holder is not None and balance is not None:
        address = encode_address(holder, spec.ss58_prefix)
        document |= {"address": address, "free": str(balance)}
        amount = format_amount(balance, spec.token_decimals)
        facts |= {"address": address, "proven free": f"{amount} {spec.token_symbol}"}
    output.result(document, lambda: output.facts(facts))


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the trusted block of ``HEIGHT:HASH``. Raises: BadCheckpoint."""
    match = _CHECKPOINT.fullmatch(text)
    if match is None:
        raise BadCheckpoint(f"--checkpoint {text:.90}: write HEIGHT:0x and 64 hex digits")
    return Checkpoint(Height(int(match[1])), Digest(bytes.fromhex(match[2])))


def table_chain(spec: ChainSpec, checkpoint: str | None) -> TableChain:
    """Return the table chain of ``spec`` at genesis. Raises: BadCheckpoint."""
    trusted = None if checkpoint is None else parse_checkpoint(checkpoint)
    length = spec.runtime.session.epoch_length
    try:
        return TableChain(build_genesis(spec).hash, spec.power_table(), length, trusted)
    except NotBoundary:
        raise BadCheckpoint(
            f"--checkpoint {checkpoint}: epochs have {length} blocks, so the height of a "
            f"checkpoint is a multiple of {length}"
        ) from None
