"""What can go wrong between a client and a node, told so that a person knows what to do next."""

from node.rpc.json_types import Json
from primitives.errors import ConfigError, LoopinError


class InvalidUrl(ConfigError):
    """The address of a node is not one; the message says what it looks like."""


class NodeUnreachable(LoopinError):
    """Nothing answers at the address: start a node there, or give another address."""


class ConnectionLost(LoopinError):
    """The node stopped answering in the middle; what was sent may have arrived."""


class BadAnswer(LoopinError):
    """The answer is not what the protocol says: the address may not be a LooPIN node's."""


class CallRefused(LoopinError):
    """The node answered with an error: the call, its code and the reason."""

    def __init__(self, method: str, code: int, message: str, data: Json = None) -> None:
        said = f"{message} ({code})"
        if isinstance(data, str):
            said += f": {data}"
        elif isinstance(data, dict) and isinstance(data.get("reason"), str):
            said += f": {data['reason']}"
        super().__init__(f"{method}: {said}")
        self.code = code
        self.data = data


def unreachable(url: str, reason: str) -> NodeUnreachable:
    """Return the error for an address where nothing answers."""
    return NodeUnreachable(
        f"no node answers at {url} ({reason}): start one with loopin node --dev, or give --url"
    )
