"""``loopin pool join``, ``leave``, ``stay`` and ``claim``: a provider's part."""

from collections.abc import Mapping

import click

from node.cli.output import Output, pass_output
from node.cli.pool_orders import advised
from node.cli.signed_call import Signer, Signing, opened, signing_options
from node.client.answers import read_amount, read_integer, read_list, read_object
from node.client.pocps import list_standings
from node.rpc.json_types import Json
from primitives.codec import Plain
from primitives.errors import LoopinError

pool_argument = click.argument("pool_id", metavar="POOL", type=click.IntRange(0, 2**32 - 1))


class NothingThere(LoopinError):
    """The account has nothing of what was asked for in that pool; nothing was sent."""


@click.command(epilog="Example: loopin pool join 0 --from //Bob")
@pool_argument
@signing_options
@pass_output
def join(output: Output, *, pool_id: int, signing: Signing) -> None:
    """Let all of one's proven units of the POOL's class supply it.

    Units can be sold in the epoch after the one in which they were proven, and then from epoch to
    epoch as long as they are: one joins once.
    """
    with opened(output, signing) as signer:
        class_id = _class_of(signer, pool_id)
        if not _live_units(signer, class_id):
            raise NothingThere(
                f"{signer.address} has no live units of class {class_id}: units are live in the "
                "epoch after the one in which they were proven, see loopin provider status"
            )
        signer.send(["pools.join", pool_id])


@click.command(epilog="Example: loopin pool leave 0 --all --from //Bob")
@pool_argument
@click.option("--units", type=click.IntRange(min=1), help="How many of the units.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@signing_options
@pass_output
def leave(
    output: Output, *, pool_id: int, units: int | None, everything: bool, signing: Signing
) -> None:
    """Put units into the POOL's exit queue; what is leased leaves when its lease has ended."""
    if (units is None) != everything:
        raise click.UsageError("how many? give --units N or --all")
    with opened(output, signing) as signer:
        has = read_integer(_membership(signer, pool_id).get("units"), "the units")
        if (units or 0) > has:
            raise NothingThere(f"{signer.address} has {has} units in pool {pool_id}")
        signer.send(["pools.leave", pool_id, has if units is None else units])


@click.command(epilog="Example: loopin pool stay 0 --from //Bob")
@pool_argument
@signing_options
@pass_output
def stay(output: Output, *, pool_id: int, signing: Signing) -> None:
    """Take one's units out of the POOL's exit queue."""
    with opened(output, signing) as signer:
        if not read_integer(_membership(signer, pool_id).get("leaving"), "what is leaving"):
            raise NothingThere(f"nothing of {signer.address} is leaving pool {pool_id}")
        signer.send(["pools.cancel_leave", pool_id])


@click.command(epilog="Example: loopin pool claim 0 --from //Bob")
@pool_argument
@signing_options
@pass_output
def claim(output: Output, *, pool_id: int, signing: Signing) -> None:
    """Collect what one has earned in a POOL."""
    with opened(output, signing) as signer:
        membership = _membership(signer, pool_id)
        waiting = read_amount(membership.get("claimable"), "what may be claimed")
        served = read_list(membership.get("leases"), "the leases")
        # What leases have streamed since they were last settled becomes one's own first.
        calls: list[Plain] = [["pools.settle", read_integer(each, "a lease")] for each in served]
        if not waiting and not calls:
            raise NothingThere(f"{signer.address} has nothing to claim in pool {pool_id}")
        claiming: Plain = ["pools.claim", pool_id]
        batch: Plain = ["utility.batch", [*calls, claiming]]
        signer.send(batch if calls else claiming)


def _membership(signer: Signer, pool_id: int) -> Mapping[str, Json]:
    """Return what the signer supplies a pool with. Raises: NothingThere."""
    answer = signer.client.call("pools_memberships", signer.address)
    for entry in read_list(answer, "the memberships"):
        item = read_object(entry, "a membership")
        if item.get("poolId") == pool_id:
            return item
    raise NothingThere(f"{signer.address} does not supply pool {pool_id}: loopin pool join")


def _class_of(signer: Signer, pool_id: int) -> int:
    with advised():
        answer = read_object(signer.client.call("pools_get", pool_id), "the pool")
    summary = read_object(answer.get("summary"), "the pool")
    return read_integer(summary.get("classId"), "the class")


def _live_units(signer: Signer, class_id: int) -> int:
    """Return what a pool could sell of the signer's units now."""
    for standing in list_standings(signer.client, signer.address):
        if read_integer(standing.get("classId"), "a class") == class_id:
            return read_integer(standing.get("live"), "the live units")
    return 0
