"""Commands that sign a call: who signs, on which terms, and what became of it.

Invariants: the chain is compared before anything is signed, the fee is known and the account can
pay it before anything is sent, and what is printed at the end is in a final block.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.amounts import parse_amount
from node.cli.connection import connect, url_option
from node.cli.keys_given import account_given, dev_key_pair, load_account_file, unlock
from node.cli.output import Output, json_option
from node.cli.shown import Shown
from node.client.answers import read_list, read_object, read_text
from node.client.node_client import NodeClient, hex_of
from node.client.wallet import (
    Inclusion,
    Terms,
    find_inclusion,
    sign,
    submit_and_follow,
)
from node.rpc.json_types import Json, JsonObject
from primitives.block import IMMORTAL
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.errors import ConfigError, LoopinError
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance, Digest, Height, Nonce

DEFAULT_VALID_FOR = 64
_Command = TypeVar("_Command", bound=Callable[..., Any])


class WrongChain(ConfigError):
    """The node's chain is not the one that was meant: check ``--url``."""


class NotEnough(LoopinError):
    """The signer cannot pay this: nothing was sent."""


class CallFailed(LoopinError):
    """The extrinsic is in a final block and its call failed: only the fee was paid."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The options of a command that signs."""

    from_uri: str | None
    from_file: Path | None
    password_file: Path | None
    tip: str
    nonce: int | None
    valid_for: int
    genesis: str | None
    no_wait: bool
    url: str


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a call."""

    name: str
    fields: Mapping[str, Json]


_OPTIONS = (
    click.option("--from", "from_uri", metavar="//NAME", help="A development key that signs."),
    click.option(
        "--from-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Account file of the key that signs; its password is asked for.",
    ),
    click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with the password of the account file.",
    ),
    click.option(
        "--tip", default="0", show_default=True, help="Paid to the block's author, in LOOP."
    ),
    click.option("--nonce", type=click.IntRange(min=0), help="Instead of the account's next one."),
    click.option(
        "--valid-for",
        type=click.IntRange(min=0),
        default=DEFAULT_VALID_FOR,
        show_default=True,
        help="Blocks after which it can not be included any more; 0 means never.",
    ),
    click.option(
        "--genesis", metavar="HASH", help="Refuse to sign for a chain with another genesis."
    ),
    click.option("--no-wait", is_flag=True, help="Only submit; do not wait until it is final."),
    url_option,
    json_option,
)


def signing_options(command: _Command) -> Callable[..., Any]:
    """Give a command the options of those that sign; it takes them as ``signing``."""

    @wraps(command)
    def with_signing(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - click's own
        given = {name: options.pop(name) for name in Signing.__dataclass_fields__}
        return command(*arguments, signing=Signing(**given), **options)

    decorated: Callable[..., Any] = with_signing
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def key_pair_given(uri: str | None, file: Path | None, password_file: Path | None) -> KeyPair:
    """Return the key of ``--from`` or of ``--from-file``. Raises: as ``unlock``."""
    if file is not None:
        return unlock(file, password_file)
    assert uri is not None, "the command has asked for one of the two"
    return dev_key_pair(uri)


def require_chain(client: NodeClient, genesis: str | None, file: Path | None) -> None:
    """Compare the node's chain with the one that the user or the account file means."""
    found = hex_of(client.genesis_hash)
    meant = [] if genesis is None else [("--genesis", genesis)]
    if file is not None:
        tied = load_account_file(file).meta.get("genesisHash")
        meant += [(str(file), tied)] if isinstance(tied, str) and tied else []
    for who, wanted in meant:
        if wanted.lower() != found:
            raise WrongChain(
                f"{who} is for the chain {wanted:.66}, the node at {client.endpoint.url} is on "
                f"{found} ({client.chain_name}): give the --url of a node of the right chain"
            )


def terms_of(
    client: NodeClient, address: str, nonce: int | None, valid_for: int, tip: Balance
) -> Terms:
    """Return nonce and lifetime of the next extrinsic of an account."""
    if nonce is None:
        nonce = client.next_nonce(address)
    best = client.header().header.height
    valid_until = Height(best + valid_for) if valid_for else IMMORTAL
    return Terms(Nonce(nonce), valid_until, tip)


def follow_to_finality(
    output: Output, client: NodeClient, extrinsic: bytes
) -> tuple[str, Inclusion]:
    """Submit and wait; return the block that held it first, and where it is final.

    Raises: NotIncluded, and as ``NodeClient``.
    """
    in_block, final = "", ""
    with output.waiting("waiting for a block") as say:
        for kind, detail in submit_and_follow(client, extrinsic):
            if kind == "inBlock":
                in_block = detail
                say(f"in block {detail:.18}…, waiting for it to be final")
            elif kind == "retracted":
                say(f"block {detail:.18}… was given up, waiting for another")
            elif kind == "finalized":
                final = detail
    assert final, "the last status is finalized"
    inclusion = find_inclusion(client, extrinsic, Digest(bytes.fromhex(final[2:])))
    return in_block or final, inclusion


@contextmanager
def opened(output: Output, signing: Signing) -> Iterator["Signer"]:
    """Connect to the node and take the key that signs. Raises: ConfigError, UsageError."""
    if (signing.from_uri is None) == (signing.from_file is None):
        raise click.UsageError("who signs? give --from //NAME or --from-file FILE")
    with connect(signing.url) as client:
        require_chain(client, signing.genesis, signing.from_file)
        pair = key_pair_given(signing.from_uri, signing.from_file, signing.password_file)
        yield Signer(output, client, signing, pair)


class Signer:
    """One account that signs calls and says what became of them."""

    def __init__(self, output: Output, client: NodeClient, signing: Signing, pair: KeyPair) -> None:
        self.output, self.client = output, client
        self.account = AccountId(pair.public)
        self.address = encode_address(self.account, client.token.ss58_prefix)
        self.shown = Shown(client)
        self._signing, self._pair = signing, pair

    def parse(self, amount: str) -> Balance:
        """Return the base units of an amount that a person wrote. Raises: InvalidAmount."""
        token = self.client.token
        return parse_amount(amount, token.decimals, token.symbol)

    def account_given(self, text: str) -> AccountId:
        """Return the account of an address or //NAME. Raises: NotAnAccount."""
        return account_given(text, self.client.token.ss58_prefix)

    def send(
        self,
        call: Plain,
        *,
        moves: int = 0,
        told: Mapping[str, str] | None = None,
        tell: Callable[[Sequence[Happened]], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """Sign and submit a call, wait until it is final, and print what it did.

        ``moves`` is what it takes of the free balance beside the fee; ``told`` are facts for
        people that stand above the receipt's, and ``tell`` makes some out of the call's events.
        Raises: NotEnough, CallFailed, NotIncluded, and as ``NodeClient``.
        """
        signing, client = self._signing, self.client
        tip = self.parse(signing.tip)
        terms = terms_of(client, self.address, signing.nonce, signing.valid_for, tip)
        extrinsic = sign(client, self._pair, call, terms)
        fee = Balance(client.fee(extrinsic) + tip)
        self._require_funds(moves, fee)
        self.output.note(f"fee {self.shown.amount(fee)}")
        if signing.no_wait:
            found = hex_of(client.submit(extrinsic))
            self.output.result(
                {"extrinsic": found, "status": "submitted"},
                lambda: self.output.facts({"submitted": found}),
            )
            return
        _, inclusion = follow_to_finality(self.output, client, extrinsic)
        document = self._document(extrinsic, inclusion)
        facts = {**(told or {}), **tell(happened(inclusion))}
        self.output.result(
            document, lambda: self.output.facts(self._facts(document, inclusion, facts))
        )
        self._require_success(inclusion)

    def _require_funds(self, moves: int, fee: Balance) -> None:
        # The latest balance, not the final one: what is on its way to become final can be spent.
        has = self.client.balance(self.account)
        if has < moves + fee:
            amount = self.shown.amount
            moved = f"{amount(moves)} and " if moves else ""
            raise NotEnough(
                f"{self.address} has {amount(has)} free; this takes {moved}{amount(fee)} as fee: "
                "nothing was sent"
            )

    def _document(self, extrinsic: bytes, inclusion: Inclusion) -> JsonObject:
        parent = inclusion.header.parent_hash
        shown = self.shown.extrinsic(extrinsic)
        return {
            "extrinsic": shown.pop("hash"),
            **shown,
            "status": "finalized",
            "finalized": hex_of(inclusion.block),
            "height": inclusion.header.height,
            "extrinsicIndex": inclusion.position,
            "error": inclusion.error,
            "fee": str(inclusion.fee),
            "before": str(self.client.balance(self.account, parent)),
            "after": str(self.client.balance(self.account, inclusion.block)),
            "events": inclusion.events,
        }

    def _facts(
        self, document: JsonObject, inclusion: Inclusion, told: Mapping[str, str]
    ) -> Mapping[str, str]:
        amount = self.shown.amount
        events = [self.shown.event_text(each) for each in read_list(inclusion.events, "the events")]
        return {
            **({} if inclusion.error else told),
            "call": self._call_text(document),
            "signer": f"{self.address}\n"
            f"{amount(int(str(document['before'])))} -> {amount(int(str(document['after'])))} free",
            "fee": amount(inclusion.fee),
            "final": f"block {inclusion.header.height} {hex_of(inclusion.block)}",
            "events": "\n".join(events) or "none",
        }

    def _call_text(self, document: JsonObject) -> str:
        arguments = document.get("arguments")
        calls = arguments.get("calls") if isinstance(arguments, dict) else None
        if isinstance(calls, list):
            return f"{document['call']} of {len(calls)} calls"
        return self.shown.call_text(document)

    def _require_success(self, inclusion: Inclusion) -> None:
        """Raise what the receipt says went wrong, be it within a batch. Raises: CallFailed."""
        if inclusion.error is not None:
            raise CallFailed(
                f"the call failed with {self._explained(inclusion.error)}: only the fee was paid"
            )
        for event in happened(inclusion):
            if event.name == "utility.BatchInterrupted":
                error = read_text(event.fields.get("error"), "the error")
                raise CallFailed(
                    f"call {event.fields.get('index')} of the batch failed with "
                    f"{self._explained(error)}; those before it stand"
                )

    def _explained(self, error: str) -> str:
        """Return an error's name and what the chain says that it means."""
        docs = error_docs(self.client.metadata.document).get(error, "")
        return f"{error} ({docs.rstrip('.')})" if docs else error


def happened(inclusion: Inclusion) -> list[Happened]:
    """Return what a call did, event by event. Raises: BadAnswer."""
    events = [read_object(event, "an event") for event in read_list(inclusion.events, "events")]
    return [
        Happened(
            read_text(event.get("name"), "an event's name"),
            read_object(event.get("fields"), "an event's fields"),
        )
        for event in events
    ]


def error_docs(metadata: Json) -> dict[str, str]:
    """Return what each of the runtime's errors means, by its full name."""
    document = read_object(metadata, "the metadata")
    found: dict[str, str] = {}
    modules = read_list(document.get("modules"), "the modules")
    for part in (document, *(read_object(module, "a module") for module in modules)):
        for entry in read_list(part.get("errors"), "the errors"):
            item = read_object(entry, "an error")
            name = read_text(item.get("name"), "an error's name")
            found[name] = read_text(item.get("docs"), "an error's meaning")
    return found
