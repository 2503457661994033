"""How much of the node a client may take: every limit of the RPC server, with its unit."""

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits; each has a default that suits a public node."""

    request_bytes_max: int = 15 * MIB
    """One HTTP body or WebSocket message."""
    call_bytes_max: int = 1 * MIB
    """One call of a batch, or the only call of a body; an extrinsic has at most 128 KiB in hex."""
    call_values_max: int = 20_000
    """Commas in one call: bounds the time that the parser holds the event loop for it."""
    response_bytes_max: int = 15 * MIB
    batch_length_max: int = 10_000
    bodies_bytes_max: int = 256 * MIB
    """Bodies and answers in memory at one time, over all connections."""

    connections_max: int = 512
    connections_per_address_max: int = 128
    subscriptions_per_connection_max: int = 1024
    subscription_buffer_max: int = 64
    """Notifications that wait for a slow subscriber before it is dropped."""
    calls_in_flight_max: int = 16
    """Calls of one WebSocket connection that are answered at the same time."""

    rate_per_second: int = 0
    """Calls per second and address, on average; 0 for no limit."""
    rate_burst: int = 1000
    """Calls an address may make at once after a pause."""

    head_bytes_max: int = 16 * KIB
    """Request line and headers."""
    headers_max: int = 64
    head_timeout: float = 10.0
    """Seconds from the first byte of a request to the end of its headers."""
    body_timeout: float = 60.0
    """Seconds from the end of the headers to the end of the body; also one WebSocket message."""
    idle_timeout: float = 75.0
    """Seconds that a connection may say nothing between requests."""
    send_timeout: float = 30.0
    """Seconds in which a client must take 256 KiB of an answer."""
    call_timeout: float = 60.0
    """Seconds that one call or batch may take."""
    ping_interval: float = 30.0
    """Seconds of silence before a WebSocket client is pinged; after twice that it is dropped."""
