"""What a client asks of ``staking_*``, as typed values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from node.client.answers import (
    read_account,
    read_amount,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from node.client.errors import BadAnswer
from node.client.node_client import NodeClient
from node.rpc.json_types import Json
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance, Epoch

EPOCHS_PAGE = 32
EPOCHS_MAX = 1024
"""More epochs than any chain keeps on record."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Stake that is leaving."""

    amount: Balance
    withdrawable_from: Epoch


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an account has at stake."""

    epoch: Epoch
    role: str
    active: Balance
    locked: Balance
    """Part of the active stake that has not vested."""
    least: Balance
    """What must stay for the account's role."""
    withdrawable: Balance
    unbonding: tuple[Chunk, ...]
    nominates: AccountId | None
    jailed_until: Epoch | None

    @property
    def must_stay(self) -> Balance:
        """How much of the active stake cannot leave now."""
        return Balance(max(self.locked, self.least))

    @property
    def leavable(self) -> Balance:
        """How much may begin to leave now."""
        return Balance(max(0, self.active - self.must_stay))


@dataclass(frozen=True, slots=True)
class Payout:
    """What a validator and its nominators are due for an epoch."""

    validator: AccountId
    total: Balance
    own: Balance


@dataclass(frozen=True, slots=True)
class Reward:
    """What an account may still ask for, of one epoch."""

    epoch: Epoch
    payout: Payout | None
    claim: Balance | None


def find_ledger(client: NodeClient, address: str) -> Ledger:
    """Return what an account has at stake after the best block."""
    item = read_object(client.call("staking_ledger", address), "the ledger")

    def amount(name: str) -> Balance:
        return read_amount(item.get(name), name)

    chunks = [
        read_object(chunk, "a chunk") for chunk in read_list(item.get("unbonding"), "unbonding")
    ]
    nominates, jailed = item.get("nominates"), item.get("jailedUntil")
    return Ledger(
        epoch=Epoch(read_integer(item.get("epoch"), "the epoch")),
        role=read_text(item.get("role"), "the role"),
        active=amount("active"),
        locked=amount("locked"),
        least=amount("least"),
        withdrawable=amount("withdrawable"),
        unbonding=tuple(
            Chunk(
                read_amount(chunk.get("amount"), "a chunk's amount"),
                Epoch(read_integer(chunk.get("withdrawableFrom"), "an epoch")),
            )
            for chunk in chunks
        ),
        nominates=None if nominates is None else _account(client, nominates),
        jailed_until=None if jailed is None else Epoch(read_integer(jailed, "jailedUntil")),
    )


def pending_rewards(client: NodeClient, account: AccountId) -> Iterator[Reward]:
    """Yield what an account may still ask for, newest epoch first."""
    address = encode_address(account, client.token.ss58_prefix)
    before: Json = None
    for _ in range(EPOCHS_MAX // EPOCHS_PAGE):
        answer = client.call("staking_pendingRewards", address, EPOCHS_PAGE, before)
        page = read_object(answer, "the rewards")
        for entry in read_list(page.get("rewards"), "the rewards"):
            yield _reward(client, read_object(entry, "a reward"))
        if page.get("next") is None:
            return
        before = read_integer(page.get("next"), "the next epoch")
    raise BadAnswer("the rewards have no end")


def _reward(client: NodeClient, item: Mapping[str, Json]) -> Reward:
    payout, claim = item.get("payout"), item.get("claim")
    return Reward(
        epoch=Epoch(read_integer(item.get("epoch"), "an epoch")),
        payout=None if payout is None else _payout(client, read_object(payout, "a payout")),
        claim=None
        if claim is None
        else read_amount(read_object(claim, "a claim").get("amount"), "a claim's amount"),
    )


def _payout(client: NodeClient, item: Mapping[str, Json]) -> Payout:
    return Payout(
        validator=_account(client, item.get("validator")),
        total=read_amount(item.get("total"), "a payout's total"),
        own=read_amount(item.get("own"), "a payout's own part"),
    )


def _account(client: NodeClient, value: Json) -> AccountId:
    return read_account(value, client.token.ss58_prefix, "an account")
