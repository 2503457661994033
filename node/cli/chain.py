"""``loopin chain``: look at the chain of a running node, and carry blocks in files."""

import re

import click
import orjson

from node.cli.connection import connect, url_option
from node.cli.hashes import parse_hash
from node.cli.lazy import LazyGroup
from node.cli.output import Output, json_option, pass_output
from node.cli.shown import Shown
from node.cli.times import shown_time
from node.client.answers import read_header
from node.client.errors import BadAnswer
from node.client.node_client import KnownHeader, NodeClient, hex_of
from node.rpc.json_types import Json, JsonObject
from primitives.errors import LoopinError
from primitives.ss58 import encode_address
from primitives.types import GENESIS_HEIGHT, Digest, Height

_NOTHING_DONE: JsonObject = {"error": None, "fee": "0", "weight": 0, "events": []}
_HEIGHT = re.compile(r"[0-9]{1,19}")


class UnknownToNode(LoopinError):
    """The node has not what was asked for: it may be pruned, or not exist."""


@click.group(
    cls=LazyGroup,
    lazy={
        "prove": "node.cli.prove:prove",
        "verify-proof": "node.cli.prove:verify_proof",
        "verify": "node.cli.chain_verify:verify",
        "export": "node.cli.block_files:export",
        "import": "node.cli.block_files:import_",
    },
)
def chain() -> None:
    """Look at the chain of a running node, and carry blocks in files."""


@chain.command(epilog="Example: loopin chain head")
@url_option
@json_option
@pass_output
def head(output: Output, *, url: str) -> None:
    """Show the best and the last final block."""
    with connect(url) as client:
        # In this order: the final block never overtakes the best one that is asked for later.
        final = client.header(client.final_hash())
        best = client.header()
        version = str(client.call("system_version"))
        document: JsonObject = {
            "chain": client.chain_name,
            "genesis": hex_of(client.genesis_hash),
            "nodeVersion": version,
            "specVersion": client.spec_version,
            "best": {"height": best.header.height, "hash": hex_of(best.hash)},
            "final": {"height": final.header.height, "hash": hex_of(final.hash)},
            "timestamp": final.header.timestamp,
        }
        facts = {
            "chain": f"{client.chain_name}, rules {client.spec_version}, node {version}",
            "genesis": hex_of(client.genesis_hash),
            "best": f"{best.header.height} {hex_of(best.hash)}",
            "final": f"{final.header.height} {hex_of(final.hash)}",
            "time": shown_time(final.header.timestamp),
        }
    output.result(document, lambda: output.facts(facts))


@chain.command(epilog="Example: loopin chain block 1")
@click.argument("which", metavar="[HEIGHT|HASH]", required=False)
@url_option
@json_option
@pass_output
def block(output: Output, *, which: str | None, url: str) -> None:
    """Show a block with its extrinsics and events; the last final one by default."""
    with connect(url) as client:
        wanted = find_block(client, which)
        found, receipts = client.find_block(wanted), client.find_receipts(wanted)
        if found is None or receipts is None:
            raise UnknownToNode(
                f"the node does not have the block {which or hex_of(wanted)}: it may be pruned "
                "(run a node with --pruning archive), or on another chain"
            )
        if found.header.height == GENESIS_HEIGHT and not receipts:
            # Nothing was executed to make the genesis block.
            receipts = [_NOTHING_DONE, _NOTHING_DONE]
        if len(receipts) != len(found.extrinsics) + 2:
            raise BadAnswer("the block has another number of receipts than extrinsics")
        shown = Shown(client)
        extrinsics = [shown.extrinsic(encoded) for encoded in found.extrinsics]
        document: JsonObject = {
            "hash": hex_of(wanted),
            "header": shown.header(found.header),
            "extrinsics": [
                {**extrinsic, "receipt": dict(receipt)}
                for extrinsic, receipt in zip(extrinsics, receipts[1:-1], strict=True)
            ],
            "beginBlock": dict(receipts[0]),
            "endBlock": dict(receipts[-1]),
        }

        def show() -> None:
            output.facts(shown.header_facts(KnownHeader(wanted, found.header)))
            for line in shown.block_lines(extrinsics, receipts):
                output.text(line)

        output.result(document, show)


@chain.command(epilog="Example: loopin chain extrinsic 0x…")
@click.argument("extrinsic_hash", metavar="HASH")
@url_option
@json_option
@pass_output
def extrinsic(output: Output, *, extrinsic_hash: str, url: str) -> None:
    """Show a final extrinsic, found by its HASH, and what it did."""
    wanted = parse_hash(extrinsic_hash, "HASH")
    with connect(url) as client:
        answer = client.call("chain_getExtrinsic", hex_of(wanted))
        if not isinstance(answer, dict):
            raise UnknownToNode(
                f"no final block that the node keeps holds the extrinsic {hex_of(wanted)}: it may "
                "wait, have been refused, or lie in a block that was pruned"
            )
        shown = Shown(client)
        entry = shown.entry(answer)
        output.result(entry, lambda: output.facts(shown.entry_facts(entry)))


@chain.command(epilog="Example: loopin chain watch --count 3")
@click.option("--best", is_flag=True, help="Show best blocks at once, not only final ones.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after that many blocks.")
@url_option
@json_option
@pass_output
def watch(output: Output, *, best: bool, count: int | None, url: str) -> None:
    """Show each block as it becomes final.

    Until Ctrl-C; with --json, one document a line.
    """
    kind = "New" if best else "Finalized"
    with connect(url) as client:
        shown = Shown(client)
        prefix = client.token.ss58_prefix
        with client.subscribe(f"chain_subscribe{kind}Heads") as subscription:
            for number, news in enumerate(subscription.notifications(), start=1):
                header = read_header(news, prefix)
                if output.as_json:
                    line: Json = {"hash": hex_of(header.hash), **shown.header(header)}
                    click.echo(orjson.dumps(line).decode())
                else:
                    author = encode_address(header.author, prefix)
                    when = shown_time(header.timestamp)
                    output.text(f"{header.height:>8}  {hex_of(header.hash)}  {when}  {author}")
                if number == count:
                    return


@chain.command(epilog="Example: loopin chain metadata --json > metadata.json")
@url_option
@json_option
@pass_output
def metadata(output: Output, *, url: str) -> None:
    """Show the calls and storage of the chain.

    With --json, all that its own description of itself holds.
    """
    with connect(url) as client:
        found = client.metadata
    calls = [
        [name, ", ".join(f"{argument['name']}: {argument['type']}" for argument in arguments)]
        for name, arguments in found.calls.items()
    ]
    items = [
        [name, "" if item.key is None else str(item.key["type"]), str(item.value["type"])]
        for name, item in found.storage.items()
    ]

    def show() -> None:
        output.table(["call", "arguments"], calls)
        output.text("")
        output.table(["storage", "key", "value"], items)

    output.result(found.document, show)


def find_block(client: NodeClient, which: str | None) -> Digest:
    """Return the hash that a height, a hash or nothing names. Raises: UnknownToNode, WrongKey."""
    if which is None:
        return client.final_hash()
    if not _HEIGHT.fullmatch(which):
        return parse_hash(which, "HEIGHT|HASH")
    found = client.hash_at(Height(int(which)))
    if found is None:
        best = client.header().header.height
        raise UnknownToNode(f"there is no block {which} yet: the best block is {best}")
    return found
