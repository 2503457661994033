"""``loopin provider join``, ``status``, ``maintenance``, ``leave``: an account's part in PoCPS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.cli.signed_call import Signer, Signing, opened, signing_options
from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.node_client import NodeClient
from node.rpc.json_types import Json
from primitives.errors import ConfigError, LoopinError
from primitives.ss58 import encode_address
from primitives.types import Balance

DEVICE = 1000
"""Units of one reference device."""
FAULTS_SHOWN = 5
_CLASS_ID = click.IntRange(0, 2**32 - 1)
_STEPS = {
    "nothing": "owes nothing in this epoch",
    "commit": "has to commit now",
    "wait": "has committed, and waits for the draw",
    "respond": "has to respond now",
    "proven": "proven for this epoch",
    "jailed": "in jail",
    "late": "too late for this epoch",
}

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
        entries = _classes(client)
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
            leaving = _leaving(standing, signer.shown.amount)
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
@click.option("--epochs", type=click.IntRange(1, 2**32 - 1), default=1, show_default=True)
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


@click.command(epilog="Example: loopin provider status //Bob")
@click.argument("who", metavar="ACCOUNT")
@url_option
@json_option
@pass_output
def status(output: Output, *, who: str, url: str) -> None:
    """Show what an ACCOUNT has staked and proven, what it owes now, and what a fault would cost."""
    with connect(url) as client:
        address = encode_address(
            account_given(who, client.token.ss58_prefix), client.token.ss58_prefix
        )
        names = {entry.class_id: entry.name for entry in _classes(client)}
        reports = [
            _Report.ask(client, address, names, each) for each in _standings(client, address)
        ]
        facts = [report.facts() for report in reports]
    documents: list[Json] = [report.document() for report in reports]

    def show() -> None:
        if not facts:
            output.text(f"{address} provides nothing: loopin provider join")
        for number, each in enumerate(facts):
            output.text("" if number else f"provider {address}\n")
            output.facts(each)

    output.result({"address": address, "classes": documents}, show)


@dataclass(frozen=True, slots=True)
class _Class:
    answer: Mapping[str, Json]
    class_id: int
    name: str
    kind: str
    units_min: int
    units_max: int
    bond_per_unit: Balance
    providers: int
    providers_max: int
    live_units: int


def _classes(client: NodeClient) -> list[_Class]:
    found = []
    for entry in read_list(client.call("pocps_classes"), "the classes"):
        item = read_object(entry, "a class")
        number = {
            name: read_integer(item.get(name), name)
            for name in (
                "classId",
                "unitsMin",
                "unitsMax",
                "providers",
                "providersMax",
                "liveUnits",
            )
        }
        found.append(
            _Class(
                answer=item,
                class_id=number["classId"],
                name=read_text(item.get("name"), "a class's name"),
                kind=read_text(item.get("kind"), "a class's kind"),
                units_min=number["unitsMin"],
                units_max=number["unitsMax"],
                bond_per_unit=read_amount(item.get("bondPerUnit"), "the bond"),
                providers=number["providers"],
                providers_max=number["providersMax"],
                live_units=number["liveUnits"],
            )
        )
    return found


def _find_class(client: NodeClient, class_id: int) -> _Class:
    known = {entry.class_id: entry for entry in _classes(client)}
    if class_id not in known:
        listed = ", ".join(f"{each.class_id} {each.name}" for each in known.values())
        raise NoSuchClass(f"this chain has no class {class_id}; it has {listed}")
    return known[class_id]


def _leaving(standing: Mapping[str, Json], amount: Callable[[int], str]) -> list[str]:
    """Return what is leaving of a bond, and from when on it may be withdrawn."""
    chunks = read_list(standing.get("leaving"), "what is leaving")
    items = [read_object(chunk, "a chunk") for chunk in chunks]
    return [
        f"{amount(read_amount(item.get('amount'), 'a chunk'))} from epoch "
        f"{read_integer(item.get('withdrawableFrom'), 'an epoch')} on"
        for item in items
    ]


def _standings(client: NodeClient, address: str) -> list[Mapping[str, Json]]:
    answer = read_list(client.call("pocps_provider", address), "the classes")
    return [read_object(entry, "a standing") for entry in answer]


def _require_allowed(signer: Signer, known: _Class, units: int) -> None:
    """Refuse units that the class does not let one provider have. Raises: NotAllowed."""
    whole = units + sum(
        read_integer(each.get("units"), "the units")
        for each in _standings(signer.client, signer.address)
        if each.get("classId") == known.class_id
    )
    if not known.units_min <= whole <= known.units_max:
        raise NotAllowed(
            f"class {known.class_id} lets one provider have {known.units_min} to "
            f"{known.units_max} units, and this would make {whole}: nothing was sent"
        )


def _require_standing(signer: Signer, class_id: int) -> Mapping[str, Json]:
    _find_class(signer.client, class_id)
    for standing in _standings(signer.client, signer.address):
        if standing.get("classId") == class_id:
            return standing
    raise NothingThere(f"{signer.address} provides nothing in class {class_id}")


@dataclass(frozen=True, slots=True)
class _Report:
    """All that is shown of one account in one class."""

    name: str
    standing: Mapping[str, Json]
    penalty: Mapping[str, Json]
    faults: list[Mapping[str, Json]]
    decimals: int
    symbol: str

    @classmethod
    def ask(
        cls,
        client: NodeClient,
        address: str,
        names: Mapping[int, str],
        standing: Mapping[str, Json],
    ) -> "_Report":
        class_id = read_integer(standing.get("classId"), "a class")
        penalty = client.call("pocps_estimatePenalty", address, class_id)
        faults = read_list(client.call("pocps_faults", address, class_id), "the faults")
        return cls(
            names.get(class_id, ""),
            standing,
            read_object(penalty, "the penalty"),
            [read_object(fault, "a fault") for fault in faults],
            client.token.decimals,
            client.token.symbol,
        )

    def document(self) -> Json:
        """Return what the node said, for machines."""
        faults: list[Json] = [dict(fault) for fault in self.faults]
        return {**self.standing, "penalty": dict(self.penalty), "faults": faults}

    def facts(self) -> Mapping[str, str]:
        """Return what people want to know."""
        units, live, proven, leased = (
            self._number(name) for name in ("units", "live", "proven", "leased")
        )
        engaged = ", in a pool" if self.standing.get("isEngaged") is True else ""
        step = read_text(self.standing.get("step"), "the step")
        jailed = self.standing.get("jailedUntil")
        until = f" until epoch {jailed}" if jailed is not None else ""
        bond = read_amount(self.standing.get("bond"), "the bond")
        facts = {
            "class": f"{self._number('classId')} {self.name}",
            "units": f"{units}: {live} live, {proven} proven for the next epoch, "
            f"{leased} leased{engaged}",
            "now": f"epoch {self._number('epoch')}: {_STEPS.get(step, step)}{until}",
            "bond": self._amount(bond),
        }
        leaving = _leaving(self.standing, self._amount)
        if leaving:
            facts["leaving"] = "\n".join(leaving)
        spell = self.standing.get("maintenance")
        if spell is not None:
            item = read_object(spell, "the maintenance")
            facts["absent"] = f"from epoch {item.get('first')} to before epoch {item.get('end')}"
        if units:
            facts["next miss"] = self._cost("missed")
            facts["wrong proof"] = self._cost("invalid")
        if self.faults:
            facts["faults"] = "\n".join(self._fault(each) for each in self.faults[:FAULTS_SHOWN])
        return facts

    def _cost(self, kind: str) -> str:
        cost = read_object(self.penalty.get(kind), "a cost")
        text = f"costs {self._amount(read_amount(cost.get('slashed'), 'a slash'))}"
        text += ", jail" if cost.get("jails") is True else ""
        text += ", the place in the class" if cost.get("removes") is True else ""
        return f"{text} (step {cost.get('step')})"

    def _fault(self, fault: Mapping[str, Json]) -> str:
        slashed = self._amount(read_amount(fault.get("slashed"), "a slash"))
        reason = read_text(fault.get("reason"), "a reason")
        return f"epoch {fault.get('epoch')}: {reason}, cost {slashed} (step {fault.get('step')})"

    def _number(self, name: str) -> int:
        return read_integer(self.standing.get(name), name)

    def _amount(self, units: int) -> str:
        return f"{format_amount(units, self.decimals)} {self.symbol}"
