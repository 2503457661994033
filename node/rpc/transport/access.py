"""Who may connect, from where, how often and with how much memory.

Invariant: every table here is bounded; forgetting an address only ever forgives it.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from primitives.errors import ConfigError

ADDRESSES_MAX = 16_384
"""Addresses whose rate is remembered."""
_IPV6_NETWORK_BITS = 64


class MethodPolicy(StrEnum):
    """Who may call unsafe methods."""

    AUTO = "auto"
    """Callers on this machine that came neither through a proxy nor from a web page elsewhere."""
    SAFE = "safe"
    """Nobody."""
    UNSAFE = "unsafe"
    """Everybody who can connect."""


LOCAL_ORIGINS = ("http://localhost:*", "http://127.0.0.1:*", "https://polkadot.js.org")
"""Origins allowed by default."""


@dataclass(frozen=True, slots=True)
class Access:
    """The operator's word on who may do what."""

    methods: MethodPolicy = MethodPolicy.AUTO
    origins: tuple[str, ...] | None = LOCAL_ORIGINS
    """Origins of web pages that may call; ``:*`` stands for any port; None for any origin."""
    hosts: tuple[str, ...] | None = ("localhost", "127.0.0.1", "[::1]")
    """Names under which the node may be addressed, against DNS rebinding; None for any."""

    def __post_init__(self) -> None:
        for origin in self.origins or ():
            parts = urlsplit(origin.removesuffix(":*"))
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
                raise ConfigError(
                    f"--rpc-cors: {origin!r} is no origin; write for example https://example.org"
                )

    def allows_origin(self, origin: str) -> bool:
        """Return whether a page of ``origin`` may call."""
        if self.origins is None or origin in self.origins:
            return True
        scheme_and_host, colon, port = origin.rpartition(":")
        if not colon or not port.isdigit():
            scheme_and_host = origin
        return f"{scheme_and_host}:*" in self.origins

    def allows_host(self, host: str) -> bool:
        """Return whether the Host header names this node."""
        if self.hosts is None:
            return True
        name, colon, port = host.lower().rpartition(":")
        if not colon or not port.isdigit():
            name = host.lower()
        return name in self.hosts

    def trusts(self, address: str, *, is_forwarded: bool) -> bool:
        """Return whether a caller may call unsafe methods."""
        match self.methods:
            case MethodPolicy.UNSAFE:
                return True
            case MethodPolicy.SAFE:
                return False
            case MethodPolicy.AUTO:
                return not is_forwarded and is_loopback(address)


def is_loopback(address: str) -> bool:
    """Return whether an IP address is of this machine."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def rate_key(address: str) -> str:
    """Return what shares one rate: an IPv4 address, or the /64 that one IPv6 client is given."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)


class Bucket:
    """A token bucket: so many calls at once, so many per second in the long run."""

    __slots__ = ("_burst", "_clock", "_rate", "_seen", "_tokens")

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._seen = clock()

    def take(self, count: int) -> bool:
        """Return whether ``count`` calls may be made now, and count them if so."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        if count > self._tokens:
            return False
        self._tokens -= count
        return True


class Buckets:
    """A bucket per address; the address seen longest ago is forgotten first."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, address: str) -> Bucket | None:
        """Return the bucket of an address; None if there is no limit."""
        if not self._rate:
            return None
        key = rate_key(address)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, self._clock)
            if len(self._buckets) > ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)


class ByteBudget:
    """Memory that all connections share for bodies and answers."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def take(self, count: int) -> bool:
        """Return whether ``count`` more bytes may be held, and count them if so."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Return bytes that are no longer held."""
        self._left += count


class Doors:
    """Counts connections, in all and per address."""

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._max = connections_max
        self._per_address_max = per_address_max
        self._open: dict[str, int] = {}
        self.count = 0

    @contextmanager
    def enter(self, address: str) -> Iterator[bool]:
        """Count a connection while it lasts; yield whether there is room for it."""
        key = rate_key(address)
        here = self._open.get(key, 0)
        if self.count >= self._max or here >= self._per_address_max:
            yield False
            return
        self.count += 1
        self._open[key] = here + 1
        try:
            yield True
        finally:
            self.count -= 1
            if self._open[key] == 1:
                del self._open[key]
            else:
                self._open[key] -= 1
