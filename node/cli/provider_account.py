"""``loopin provider join``, ``maintenance``, ``leave``, ``withdraw``: units and their bond."""

from collections.abc import Mapping

import click

from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.output import Output, json_option, pass_output
from node.cli.provider_status import leaving_lines
from node.cli.signed_call import Signer, Signing, opened, signing_options
from node.client.answers import read_amount, read_integer, read_object
from node.client.node_client import NodeClient
from node.client.pocps import ProviderClass, list_classes, list_standings
from node.rpc.json_types import Json
from primitives.errors import ConfigError, LoopinError
from primitives.types import Balance

DEVICE = 1000
"""Units of one reference device."""
_CLASS_ID = click.IntRange(0, 2**32 - 1)
class_option = click.option(
    "--class", "class_id", type=_CLASS_ID, required=True, help="See: loopin provider classes."
)


class NoSuchClass(ConfigError):
    """The chain has no class of that number: see loopin provider classes."""


class NothingThere(LoopinError):
    """The account has nothing of what was asked for; nothing was sent."""


class NotAllowed(LoopinError):
    """The class does not take so many units from one provider; nothing was sent."""


@click.command(epilog="Example: loopin provider classes")
@url_option
@json_option
@pass_output
def classes(output: Output, *, url: str) -> None:
    """List the kinds of resources that can be proven, with bond and places."""
    with connect(url) as client:
        entries = list_classes(client)
        token = client.token
    columns = (
        "class", "name", "kind", "units", f"bond ({token.symbol}/1000 units)", "providers", "live",
    )  # fmt: skip
    rows = [
        (
            str(entry.class_id),
            entry.name,
            entry.kind,
            f"{entry.units_min} to {entry.units_max}",
            format_amount(entry.bond_per_unit * DEVICE, token.decimals),
            f"{entry.providers} of {entry.providers_max}",
            str(entry.live_units),
        )
        for entry in entries
    ]
    output.result([dict(entry.answer) for entry in entries], lambda: output.table(columns, rows))


@click.command(epilog="Example: loopin provider join --class 1 --units 1000 --from //Bob")
@class_option
@click.option(
    "--units",
    type=click.IntRange(min=1),
    required=True,
    help="1000 are one reference device; loopin miner bench says how many a machine can prove.",
)
@signing_options
@pass_output
def join(output: Output, *, class_id: int, units: int, signing: Signing) -> None:
    """Bond units of a class, or more of them; they owe a proof in every epoch from the next on.

    Then let the machine prove them: loopin provider run.
    """
    with opened(output, signing) as signer:
        known = _find_class(signer.client, class_id)
        _require_allowed(signer, known, units)
        bond = Balance(units * known.bond_per_unit)
        answer = signer.client.call("pocps_estimateReward", class_id, min(units, known.units_max))
        estimate = read_object(answer, "the estimate")
        first = read_amount(estimate.get("first"), "the estimate")
        whole = read_amount(estimate.get("whole"), "the estimate")
        ramp = read_integer(estimate.get("rampEpochs"), "the ramp")
        amount = signer.shown.amount
        signer.send(
            ["pocps.register", class_id, units],
            moves=bond,
            told={
                "joined": f"class {class_id} {known.name} with {units} units",
                "bond": amount(bond),
                "reward": f"about {amount(first)} an epoch, growing to {amount(whole)} in {ramp} "
                "epochs of proofs",
            },
        )


@click.command(epilog="Example: loopin provider leave --class 1 --all --from //Bob")
@class_option
@click.option("--units", type=click.IntRange(min=1), help="How many of the units.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@signing_options
@pass_output
def leave(
    output: Output, *, class_id: int, units: int | None, everything: bool, signing: Signing
) -> None:
    """Give up units of a class; their bond is locked for the unbonding time, and can be slashed.

    Units that a pool may have sold leave the pool first: loopin pool leave.
    """
    if (units is None) != everything:
        raise click.UsageError("how many? give --units N or --all")
    with opened(output, signing) as signer:
        standing = _require_standing(signer, class_id)
        has = read_integer(standing.get("units"), "the units")
        if not has or (units or 0) > has:
            raise NothingThere(f"{signer.address} has {has} units of class {class_id}")
        if standing.get("isEngaged") is True:
            raise NothingThere("a pool has a claim on the units: leave the pool first")
        signer.send(["pocps.deregister", class_id, has if units is None else units])


@click.command(epilog="Example: loopin provider withdraw --class 1 --from //Bob")
@class_option
@signing_options
@pass_output
def withdraw(output: Output, *, class_id: int, signing: Signing) -> None:
    """Free the bond whose unbonding time is over."""
    with opened(output, signing) as signer:
        standing = _require_standing(signer, class_id)
        free = read_amount(standing.get("withdrawable"), "the bond")
        if not free:
            leaving = leaving_lines(standing, signer.shown.amount)
            raise NothingThere(f"no bond is free: {', '.join(leaving) or 'none is leaving'}")
        told = {"withdrawn": signer.shown.amount(free)}
        signer.send(["pocps.withdraw", class_id], told=told)


@click.command(
    epilog="Example: loopin provider maintenance --class 1 --first 12 --epochs 2 --from //Bob"
)
@class_option
@click.option(
    "--first", type=click.IntRange(min=1), help="First epoch of absence; by default the next one."
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 2**32 - 1),
    default=1,
    show_default=True,
    help="How many of them.",
)
@signing_options
@pass_output
def maintenance(
    output: Output, *, class_id: int, first: int | None, epochs: int, signing: Signing
) -> None:
    """Announce epochs in which no proof will come: no slash, and no reward."""
    with opened(output, signing) as signer:
        standing = _require_standing(signer, class_id)
        # The transaction may be in a block of the next epoch, which cannot be announced then.
        epoch = read_integer(standing.get("epoch"), "the epoch")
        begins = epoch + 1 if first is None else first
        if begins <= epoch:
            raise NothingThere(f"epoch {begins} has begun: this is epoch {epoch}")
        last = begins + epochs - 1
        signer.send(
            ["pocps.declare_maintenance", class_id, begins, epochs],
            told={"absent": f"epoch {begins}" if epochs == 1 else f"epochs {begins} to {last}"},
        )


def _find_class(client: NodeClient, class_id: int) -> ProviderClass:
    known = {entry.class_id: entry for entry in list_classes(client)}
    if class_id not in known:
        listed = ", ".join(f"{each.class_id} {each.name}" for each in known.values())
        raise NoSuchClass(f"this chain has no class {class_id}; it has {listed}")
    return known[class_id]


def _require_allowed(signer: Signer, known: ProviderClass, units: int) -> None:
    """Refuse units that the class does not let one provider have. Raises: NotAllowed."""
    whole = units + sum(
        read_integer(each.get("units"), "the units")
        for each in list_standings(signer.client, signer.address)
        if each.get("classId") == known.class_id
    )
    if not known.units_min <= whole <= known.units_max:
        raise NotAllowed(
            f"class {known.class_id} lets one provider have {known.units_min} to "
            f"{known.units_max} units, and this would make {whole}: nothing was sent"
        )


def _require_standing(signer: Signer, class_id: int) -> Mapping[str, Json]:
    _find_class(signer.client, class_id)
    for standing in list_standings(signer.client, signer.address):
        if standing.get("classId") == class_id:
            return standing
    raise NothingThere(f"{signer.address} provides nothing in class {class_id}")
