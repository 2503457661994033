"""``loopin stake status`` and ``validators``: who has what at stake, and what it earns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from node.cli.amounts import format_amount, format_percent
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.client.answers import read_amount, read_integer, read_list, read_object, read_text
from node.client.node_client import NodeClient
from node.client.staking import Ledger, Reward, find_ledger, pending_rewards
from node.rpc.json_types import Json, JsonObject
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance

PAGE = 100
VALIDATORS_MAX = 2000


@click.command(epilog="Example: loopin stake status //Alice")
@click.argument("who", metavar="ACCOUNT")
@url_option
@json_option
@pass_output
def status(output: Output, *, who: str, url: str) -> None:
    """Show what an ACCOUNT has at stake, what it does with it, and what it has earned."""
    with connect(url) as client:
        account = account_given(who, client.token.ss58_prefix)
        report = _Report(
            client=client,
            address=encode_address(account, client.token.ss58_prefix),
            ledger=find_ledger(client, encode_address(account, client.token.ss58_prefix)),
            free=client.balance(account),
            rewards=list(pending_rewards(client, account)),
        )
        document = report.document()
        facts = report.facts()
    output.result(document, lambda: output.facts(facts))


@click.command(epilog="Example: loopin stake validators")
@url_option
@json_option
@pass_output
def validators(output: Output, *, url: str) -> None:
    """List who validates: stake, commission, nominators, and weight in this epoch's table."""
    with connect(url) as client:
        entries = list(_validators(client))
        total = table_total(client)
        decimals = client.token.decimals
        symbol = client.token.symbol
    rows = [
        (
            read_text(entry.get("account"), "an account"),
            format_amount(read_amount(entry.get("totalStake"), "a stake"), decimals),
            str(read_integer(entry.get("nominators"), "the nominators")),
            format_percent(read_integer(entry.get("commissionPpb"), "the commission")),
            _share(_weight(entry), total),
        )
        for entry in entries
    ]
    columns = ("validator", f"{symbol} behind it", "nominators", "commission", "votes")
    output.result([dict(entry) for entry in entries], lambda: output.table(columns, rows))


@dataclass(frozen=True, slots=True)
class _Report:
    """All that is shown of one account."""

    client: NodeClient
    address: str
    ledger: Ledger
    free: Balance
    rewards: list[Reward]

    def document(self) -> JsonObject:
        """Return what the node said, for machines."""
        ask = self.client.call
        return {
            "address": self.address,
            "free": str(self.free),
            "ledger": ask("staking_ledger", self.address),
            "validator": ask("staking_validator", self.address),
            "nomination": ask("staking_nominations", self.address),
            "sessionKeys": ask("staking_sessionKeys", self.address),
            "slash": ask("staking_estimateSlash", self.address),
            "due": {"payouts": str(self._payouts()), "claims": str(self._claims())},
        }

    def facts(self) -> Mapping[str, str]:
        """Return what people want to know."""
        ledger = self.ledger
        facts = {
            "account": self.address,
            "role": self._role(),
            "at stake": self._amount(ledger.active)
            + (f", {self._amount(ledger.locked)} not vested" if ledger.locked else ""),
            "free": self._amount(self.free),
        }
        if ledger.unbonding:
            facts["leaving"] = "\n".join(
                f"{self._amount(chunk.amount)} from epoch {chunk.withdrawable_from} on"
                for chunk in ledger.unbonding
            )
        if ledger.withdrawable:
            facts["withdrawable"] = f"{self._amount(ledger.withdrawable)}: loopin stake withdraw"
        facts.update(self._as_validator())
        due = {"votes and blocks": self._payouts(), "compute": self._claims()}
        parts = [f"{self._amount(units)} by {what}" for what, units in due.items() if units]
        if parts:
            facts["earned"] = f"{', '.join(parts)}: loopin stake payout"
        facts["epoch"] = str(ledger.epoch)
        return facts

    def _role(self) -> str:
        ledger = self.ledger
        if ledger.jailed_until is not None:
            return f"in jail until epoch {ledger.jailed_until}, then: loopin stake unjail"
        if ledger.nominates is not None:
            return f"nominates {self._address(ledger.nominates)}"
        return {"validator": "validator"}.get(ledger.role, "neither validates nor nominates")

    def _as_validator(self) -> Iterator[tuple[str, str]]:
        answer = self.client.call("staking_validator", self.address)
        if answer is not None:
            validator = read_object(answer, "the validator")
            backers = read_list(validator.get("nominators"), "the nominators")
            total = read_amount(validator.get("totalStake"), "the stake")
            since = read_integer(validator.get("eligibleSince"), "an epoch")
            weight, votes = _weight(validator), f"none yet; eligible from epoch {since} on"
            if weight:
                share = _share(weight, table_total(self.client))
                votes = f"{share} in epoch {self.ledger.epoch}"
            commission = read_integer(validator.get("commissionPpb"), "the commission")
            yield "behind it", f"{self._amount(total)}, of {len(backers)} nominators and itself"
            yield "commission", format_percent(commission)
            yield "votes", votes
        keys = self.client.call("staking_sessionKeys", self.address)
        if keys is not None:
            item = read_object(keys, "the keys")
            own = read_object(item.get("keys"), "the keys")
            since = read_integer(item.get("countsFrom"), "an epoch")
            is_new = since > self.ledger.epoch
            suffix = f" (counts from epoch {since} on)" if is_new else ""
            yield "consensus key", f"{own.get('consensus')}{suffix}"
        elif answer is not None:
            yield "consensus key", "none: loopin stake rotate-keys"

    def _payouts(self) -> int:
        return sum(reward.payout.own for reward in self.rewards if reward.payout is not None)

    def _claims(self) -> int:
        return sum(reward.claim or 0 for reward in self.rewards)

    def _amount(self, units: int) -> str:
        token = self.client.token
        return f"{format_amount(units, token.decimals)} {token.symbol}"

    def _address(self, account: AccountId) -> str:
        return encode_address(account, self.client.token.ss58_prefix)


def table_total(client: NodeClient) -> int:
    """Return the summed weights of the present epoch's table."""
    table = read_object(client.call("staking_powerTable", None, 0, 1), "the table")
    return read_integer(table.get("total"), "the table's total")


def _validators(client: NodeClient) -> Iterator[Mapping[str, Json]]:
    after: Json = None
    for _ in range(VALIDATORS_MAX // PAGE):
        page = read_list(client.call("staking_validators", PAGE, after), "the validators")
        for entry in page:
            yield read_object(entry, "a validator")
        if len(page) < PAGE:
            return
        after = read_object(page[-1], "a validator").get("account")


def _weight(entry: Mapping[str, Json]) -> int:
    weight = entry.get("weight")
    return 0 if weight is None else read_integer(weight, "the weight")


def _share(weight: int, total: int) -> str:
    """Return a share of the votes with one decimal; a dash for nothing."""
    if not weight:
        return "-"
    tenths = (1000 * weight + total // 2) // total
    return f"{tenths // 10}.{tenths % 10} %"
