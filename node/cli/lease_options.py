"""Options of commands that use a lease: whose it is, which key opens it, at which provider."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.connection import url_option
from node.cli.keys_given import account_given, dev_key_pair, is_dev_uri, unlock
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.lease.chain import JobChain
from node.lease.client import LeaseAccess
from node.lease.session import Place, find_place
from node.provider.sender import CALL_SECONDS
from primitives.crypto import KeyPair

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Leaseholder:
    """Who uses a lease, as the command line says."""

    endpoint: Endpoint
    lease_id: int
    pair: KeyPair
    """Of the lease's client, who files disputes."""
    lease_key: KeyPair
    provider: str | None

    def open(self) -> NodeClient:
        """Return a client of the node."""
        return NodeClient(self.endpoint, CALL_SECONDS)

    def place(self, client: NodeClient) -> Place:
        """Return where the lease is served. Raises: NoSuchLease, NotServed, NotAnAccount."""
        prefix = client.token.ss58_prefix
        wanted = None if self.provider is None else account_given(self.provider, prefix)
        return find_place(JobChain(client), self.lease_id, wanted)

    def access(self, client: NodeClient, place: Place) -> LeaseAccess:
        """Return what the provider must be shown."""
        return LeaseAccess(client.genesis_hash, self.lease_id, place.provider, self.lease_key)


_OPTIONS = (
    click.option(
        "--lease",
        "lease_id",
        type=click.IntRange(min=0),
        required=True,
        help="Its number.",
    ),
    click.option("--from", "from_uri", metavar="//NAME", help="A development key: the client's."),
    click.option(
        "--from-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Account file of the lease's client; its password is asked for.",
    ),
    click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with the password of the account file.",
    ),
    click.option(
        "--lease-key",
        metavar="//NAME|FILE",
        help="Key of the lease if it is not the client's own: a development key, or an account"
        " file with the same password.",
    ),
    click.option(
        "--provider",
        metavar="ACCOUNT",
        help="Which of the lease's providers; by default the first that serves.",
    ),
)


def lease_options(command: _Command) -> Callable[..., Any]:
    """Give a command the options above; it takes them as ``holder``."""

    @wraps(command)
    def run(
        *args: object,
        lease_id: int,
        from_uri: str | None,
        from_file: Path | None,
        password_file: Path | None,
        lease_key: str | None,
        provider: str | None,
        url: str,
        **options: object,
    ) -> None:
        if (from_uri is None) == (from_file is None):
            raise click.UsageError("whose lease is it? give --from //NAME or --from-file FILE")
        pair = _pair(from_uri or str(from_file), password_file)
        key = pair if lease_key is None else _pair(lease_key, password_file)
        holder = Leaseholder(Endpoint.parse(url), lease_id, pair, key, provider)
        command(*args, holder=holder, **options)

    decorated: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return url_option(decorated)


def _pair(given: str, password_file: Path | None) -> KeyPair:
    return dev_key_pair(given) if is_dev_uri(given) else unlock(Path(given), password_file)
