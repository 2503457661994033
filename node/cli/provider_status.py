"""``loopin provider status``: what an account has staked and proven, owes, and would lose."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from node.cli.amounts import format_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.node_client import NodeClient
from node.client.pocps import list_classes, list_standings
from node.rpc.json_types import Json
from primitives.ss58 import encode_address

FAULTS_SHOWN = 5
_STEPS = {
    "nothing": "owes nothing in this epoch",
    "commit": "has to commit now",
    "wait": "has committed, and waits for the draw",
    "respond": "has to respond now",
    "proven": "proven for this epoch",
    "jailed": "in jail",
    "late": "too late for this epoch",
}


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
        names = {entry.class_id: entry.name for entry in list_classes(client)}
        reports = [
            _Report.ask(client, address, names, each) for each in list_standings(client, address)
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


def leaving_lines(standing: Mapping[str, Json], amount: Callable[[int], str]) -> list[str]:
    """Return what is leaving of a bond, and from when on it may be withdrawn."""
    chunks = read_list(standing.get("leaving"), "what is leaving")
    items = [read_object(chunk, "a chunk") for chunk in chunks]
    return [
        f"{amount(read_amount(item.get('amount'), 'a chunk'))} from epoch "
        f"{read_integer(item.get('withdrawableFrom'), 'an epoch')} on"
        for item in items
    ]


@dataclass(frozen=True, slots=True)
class _Report:
    """All that is shown of one account in one class."""

    name: str
    standing: Mapping[str, Json]
    penalty: Mapping[str, Json]
    faults: list[Mapping[str, Json]]
    membership: Mapping[str, Json] | None
    """In the pool that the units supply."""
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
        memberships = read_list(client.call("pools_memberships", address), "the memberships")
        supplied = [read_object(each, "a membership") for each in memberships]
        return cls(
            names.get(class_id, ""),
            standing,
            read_object(penalty, "the penalty"),
            [read_object(fault, "a fault") for fault in faults],
            next((each for each in supplied if each.get("classId") == class_id), None),
            client.token.decimals,
            client.token.symbol,
        )

    def document(self) -> Json:
        """Return what the node said, for machines."""
        faults: list[Json] = [dict(fault) for fault in self.faults]
        pool: Json = None if self.membership is None else dict(self.membership)
        return {**self.standing, "penalty": dict(self.penalty), "faults": faults, "pool": pool}

    def facts(self) -> Mapping[str, str]:
        """Return what people want to know."""
        units, live, proven, leased = (
            self._number(name) for name in ("units", "live", "proven", "leased")
        )
        step = read_text(self.standing.get("step"), "the step")
        jailed = self.standing.get("jailedUntil")
        until = f" until epoch {jailed}" if jailed is not None else ""
        bond = read_amount(self.standing.get("bond"), "the bond")
        facts = {
            "class": f"{self._number('classId')} {self.name}",
            "units": f"{units}: {live} live, {proven} proven for the next epoch, {leased} leased",
            "now": f"epoch {self._number('epoch')}: {_STEPS.get(step, step)}{until}",
            "bond": self._amount(bond),
        }
        if self.membership is not None:
            facts["pool"] = self._pool(self.membership)
        leaving = leaving_lines(self.standing, self._amount)
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

    def _pool(self, membership: Mapping[str, Json]) -> str:
        number = {
            name: read_integer(membership.get(name), name)
            for name in ("poolId", "units", "leased", "leaving")
        }
        earned = self._amount(read_amount(membership.get("claimable"), "what may be claimed"))
        return (
            f"{number['poolId']}: {number['units']} units, {number['leased']} leased, "
            f"{number['leaving']} leaving; {earned} to claim: loopin pool claim"
        )

    def _fault(self, fault: Mapping[str, Json]) -> str:
        slashed = self._amount(read_amount(fault.get("slashed"), "a slash"))
        reason = read_text(fault.get("reason"), "a reason")
        return f"epoch {fault.get('epoch')}: {reason}, cost {slashed} (step {fault.get('step')})"

    def _number(self, name: str) -> int:
        return read_integer(self.standing.get(name), name)

    def _amount(self, units: int) -> str:
        return f"{format_amount(units, self.decimals)} {self.symbol}"
