"""``--url``: which node a command asks."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from node.client.endpoint import DEFAULT_URL, Endpoint
from node.client.node_client import NodeClient

_Command = TypeVar("_Command", bound=Callable[..., Any])


def url_option(command: _Command) -> _Command:
    """Give a command the option ``--url``."""
    option = click.option(
        "--url",
        default=DEFAULT_URL,
        show_default=True,
        envvar="LOOPIN_URL",
        show_envvar=True,
        help="Address of the node's RPC.",
    )
    return option(command)


def connect(url: str) -> NodeClient:
    """Return a client of the node at ``url``, which is not asked anything yet.

    Raises: InvalidUrl.
    """
    return NodeClient(Endpoint.parse(url))
