"""What can go wrong with a peer, and whose fault it is.

``PeerFault``: the peer did what no honest, working node does. It costs score, see ``scores.py``.
``NetworkFault``: packets were late or lost, a machine was slow or gone. It costs nothing; the
connection is closed and made again.

Both carry a ``reason`` of a few words that ends up in the log, in ``Network.stats()`` and in the
metrics; ``Fault`` is the machine-readable kind that upper layers hand to ``Network.report``.
"""

from enum import Enum

from primitives.errors import LoopinError


class Fault(Enum):
    """A kind of misbehaviour, with its price in points; 100 points are a ban."""

    BAD_BYTES = "bad bytes", 50
    """Bytes that are no frame, or a frame that is no message."""
    OVERSIZED = "oversized frame", 100
    """A length above the limit that every node knows."""
    FLOODING = "flooding", 50
    """More frames, streams or unread bytes than the limits allow."""
    INVALID_BLOCK = "invalid block", 100
    INVALID_SIGNATURE = "invalid signature", 100
    USELESS_ANSWER = "useless answer", 20
    """An answer that does not answer the request."""
    USELESS_FRAME = "useless frame", 2
    """A frame that an honest node could have sent, but rarely does: stale, repeated, unasked."""
    LYING = "lying", 100
    """Two statements that contradict each other, or a record signed by somebody else."""

    def __init__(self, label: str, points: int) -> None:
        self.label = label
        self.points = points


class PeerFault(LoopinError):
    """The peer broke a rule; it pays in score and the connection may be closed."""

    fault: Fault = Fault.BAD_BYTES


class FrameTooLarge(PeerFault):
    """A frame announces more bytes than its channel or protocol allows."""

    fault = Fault.OVERSIZED


class BadFrame(PeerFault):
    """The bytes are no frame of this protocol."""


class Flooding(PeerFault):
    """The peer sends or opens more than the limits allow."""

    fault = Fault.FLOODING


class BadAnswer(PeerFault):
    """The answers break the rules of the request protocol."""

    fault = Fault.USELESS_ANSWER


class NetworkFault(LoopinError):
    """Nobody's fault: retry later, perhaps with another peer."""


class NotConnected(NetworkFault):
    """There is no connection to this peer; ``Network.connected()`` lists those that exist."""


class ConnectionLost(NetworkFault):
    """The connection ended before the exchange did."""


class PeerSilent(NetworkFault):
    """Nothing came from the peer for longer than the watchdog allows, not even a ping."""


class PeerSlow(NetworkFault):
    """The peer does not read fast enough: what may not be dropped no longer fits the queue."""


class DialFailed(NetworkFault):
    """None of the peer's addresses led to the peer."""


class Superseded(NetworkFault):
    """The same peer made a newer connection, which is used from now on."""


class Banned(NetworkFault):
    """The connection ends because the peer was banned; it has paid already."""


class RequestTimedOut(NetworkFault):
    """A step of the request took longer than its protocol allows."""


class RequestRefused(NetworkFault):
    """The peer said that it cannot answer now: it is busy, or does not have the thing."""


def describe(failure: PeerFault | NetworkFault) -> str:
    """Return the few words for log and metrics: the kind of failure, then its values."""
    details = " ".join(str(value) for value in failure.args if value != "")
    return f"{failure.reason}: {details}" if details else failure.reason
