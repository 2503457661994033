"""``loopin account transfer``: move tokens, and wait until that is final."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from node.cli.amounts import format_amount, parse_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given
from node.cli.output import Output, json_option, pass_output
from node.cli.signed_call import (
    DEFAULT_VALID_FOR,
    CallFailed,
    NotEnough,
    follow_to_finality,
    key_pair_given,
    require_chain,
    terms_of,
)
from node.client.node_client import NodeClient, Token, hex_of
from node.client.wallet import Inclusion, Terms, extrinsic_hash, sign
from node.rpc.json_types import JsonObject
from primitives.codec import Plain
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance


@dataclass(frozen=True, slots=True)
class Parties:
    """Who pays and who is paid."""

    sender: AccountId
    recipient: AccountId


@dataclass(frozen=True, slots=True)
class Moved:
    """What an account held before and after a block."""

    account: AccountId
    before: Balance
    after: Balance


@click.command(epilog="Example: loopin account transfer --from //Alice --to //Bob 1.5")
@click.argument("amounts", metavar="[AMOUNT]", nargs=-1)
@click.option("--from", "from_uri", metavar="//NAME", help="A development key that pays.")
@click.option(
    "--from-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Account file of the key that pays; its password is asked for.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password of the account file.",
)
@click.option("--to", metavar="ACCOUNT", help="Address, or //NAME, that is paid.")
@click.option("--all", "everything", is_flag=True, help="Move everything instead of an AMOUNT.")
@click.option("--keep-alive", is_flag=True, help="Refuse to empty the paying account.")
@click.option("--tip", default="0", show_default=True, help="Paid to the block's author, in LOOP.")
@click.option("--nonce", type=click.IntRange(min=0), help="Instead of the account's next one.")
@click.option(
    "--valid-for",
    type=click.IntRange(min=0),
    default=DEFAULT_VALID_FOR,
    show_default=True,
    help="Blocks after which the transfer can not be included any more; 0 means never.",
)
@click.option("--genesis", metavar="HASH", help="Refuse to pay on a chain with another genesis.")
@click.option("--no-wait", is_flag=True, help="Only submit; do not wait until it is final.")
@url_option
@json_option
@pass_output
def transfer(  # noqa: PLR0913 - one parameter an option
    output: Output,
    *,
    amounts: tuple[str, ...],
    from_uri: str | None,
    from_file: Path | None,
    password_file: Path | None,
    to: str | None,
    everything: bool,
    keep_alive: bool,
    tip: str,
    nonce: int | None,
    valid_for: int,
    genesis: str | None,
    no_wait: bool,
    url: str,
) -> None:
    """Send tokens, and wait until that is final.

    AMOUNT is in whole tokens with a decimal point, such as 1.5.
    """
    if (from_uri is None) == (from_file is None):
        raise click.UsageError("who pays? give --from //NAME or --from-file FILE")
    if to is None:
        raise click.UsageError("who is paid? give --to ACCOUNT, an address or //NAME")
    if len(amounts) != (0 if everything else 1):
        raise click.UsageError("how much? give one AMOUNT, such as 1.5, or --all")
    with connect(url) as client:
        token = client.token
        recipient = account_given(to, token.ss58_prefix)
        units = None if everything else parse_amount(amounts[0], token.decimals, token.symbol)
        paid_tip = parse_amount(tip, token.decimals, token.symbol)
        require_chain(client, genesis, from_file)
        pair = key_pair_given(from_uri, from_file, password_file)
        parties = Parties(AccountId(pair.public), recipient)
        sender = _Sender(output, client, parties, token)
        terms = sender.terms(nonce, valid_for, paid_tip)
        extrinsic = sign(client, pair, transfer_call(recipient, units, keep_alive), terms)
        sender.require_funds(units, extrinsic, paid_tip)
        if no_wait:
            sender.submit(extrinsic)
        else:
            sender.submit_and_wait(extrinsic)


def transfer_call(recipient: AccountId, units: Balance | None, keep_alive: bool) -> Plain:  # noqa: FBT001 - a call's argument
    """Return the call that moves ``units``, or everything if None."""
    if units is None:
        return ["balances.transfer_all", recipient, keep_alive]
    name = "balances.transfer_keep_alive" if keep_alive else "balances.transfer"
    return [name, recipient, units]


class _Sender:
    """One transfer on its way."""

    def __init__(self, output: Output, client: NodeClient, parties: Parties, token: Token) -> None:
        self._output = output
        self._client = client
        self._parties = parties
        self._token = token

    def terms(self, nonce: int | None, valid_for: int, tip: Balance) -> Terms:
        """Return nonce and lifetime of the next extrinsic."""
        sender = self._address(self._parties.sender)
        return terms_of(self._client, sender, nonce, valid_for, tip)

    def require_funds(self, units: Balance | None, extrinsic: bytes, tip: Balance) -> None:
        """Refuse what the sender cannot pay, while that costs nothing yet. Raises: NotEnough."""
        fee = self._client.fee(extrinsic)
        # The latest balance, not the final one: what is on its way to become final can be spent.
        has = self._client.balance(self._parties.sender)
        needed = (units or 0) + fee + tip
        if has < needed:
            moved = "" if units is None else f"{self._amount(units)} and "
            raise NotEnough(
                f"{self._address(self._parties.sender)} has {self._amount(has)}; this takes "
                f"{moved}{self._amount(fee + tip)} as fee: nothing was sent"
            )

    def submit(self, extrinsic: bytes) -> None:
        """Hand the extrinsic to the node and say where it can be looked for."""
        found = self._client.submit(extrinsic)
        self._output.result(
            {"extrinsic": hex_of(found), "status": "submitted"},
            lambda: self._output.facts({"submitted": hex_of(found)}),
        )

    def submit_and_wait(self, extrinsic: bytes) -> None:
        """Follow the extrinsic until it is final, and print its receipt."""
        in_block, inclusion = follow_to_finality(self._output, self._client, extrinsic)
        moved = self._moved(inclusion)
        self._output.result(
            self._document(extrinsic, in_block, inclusion, moved),
            lambda: self._output.facts(self._facts(extrinsic, in_block, inclusion, moved)),
        )
        if inclusion.error is not None:
            raise CallFailed(
                f"the transfer failed with {inclusion.error}: nothing moved, the fee was kept"
            )

    def _moved(self, inclusion: Inclusion) -> Sequence[Moved]:
        """Return both parties' balances before and after the block."""
        parent = inclusion.header.parent_hash
        return [
            Moved(
                account,
                self._client.balance(account, parent),
                self._client.balance(account, inclusion.block),
            )
            for account in (self._parties.sender, self._parties.recipient)
        ]

    def _document(
        self, extrinsic: bytes, in_block: str, inclusion: Inclusion, moved: Sequence[Moved]
    ) -> JsonObject:
        parties: list[JsonObject] = [
            {
                "address": self._address(item.account),
                "before": str(item.before),
                "after": str(item.after),
            }
            for item in moved
        ]
        return {
            "extrinsic": hex_of(extrinsic_hash(extrinsic)),
            "status": "finalized",
            "inBlock": in_block,
            "finalized": hex_of(inclusion.block),
            "height": inclusion.header.height,
            "extrinsicIndex": inclusion.position,
            "error": inclusion.error,
            "fee": str(inclusion.fee),
            "from": parties[0],
            "to": parties[1],
            "events": inclusion.events,
        }

    def _facts(
        self, extrinsic: bytes, in_block: str, inclusion: Inclusion, moved: Sequence[Moved]
    ) -> Mapping[str, str]:
        sender, recipient = [
            f"{self._address(item.account)}\n"
            f"{self._amount(item.before)} -> {self._amount(item.after)}"
            for item in moved
        ]
        if inclusion.header.author == self._parties.sender:
            sender += " (as the block's author it got part of the fee)"
        block = f"{hex_of(inclusion.block)} (block {inclusion.header.height})"
        return {
            "extrinsic": hex_of(extrinsic_hash(extrinsic)),
            "inBlock": block if in_block == hex_of(inclusion.block) else in_block,
            "finalized": block,
            "fee": self._amount(inclusion.fee),
            "from": sender,
            "to": recipient,
        }

    def _address(self, account: AccountId) -> str:
        return encode_address(account, self._token.ss58_prefix)

    def _amount(self, units: int) -> str:
        return f"{format_amount(units, self._token.decimals)} {self._token.symbol}"
