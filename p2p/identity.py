"""Who a peer is and where it can be found.

A ``PeerId`` is libp2p's textual peer id of an ed25519 key: 52 characters that embed the key
itself, so identity needs no lookup. An ``Address`` is the small part of multiaddr that this chain
dials: ``/ip4|ip6|dns4|dns6|dns/<host>/tcp/<port>``; a ``PeerAddress`` has ``/p2p/<peer id>`` after
it. Everything else is refused when it is read, not when it is dialed.
"""

import ipaddress
import re
from typing import NewType

from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from primitives.errors import ConfigError, DecodeError
from primitives.types import PublicKey

PeerId = NewType("PeerId", str)
"""``12D3KooW…``: the base58 form of the identity multihash of an ed25519 public key."""
Address = NewType("Address", str)
"""Where a peer listens, for example ``/ip4/192.0.2.7/tcp/30333``."""

SEED_BYTES = 32
PEER_ID_CHARACTERS = 52
ADDRESS_CHARACTERS_MAX = 256

_ED25519_PREFIX = bytes.fromhex("002408011220")
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PORT_MAX = 2**16 - 1


class BadPeerId(DecodeError):
    """The text is no peer id of an ed25519 key."""


class BadAddress(DecodeError):
    """The text is no ``/ip4|ip6|dns…/<host>/tcp/<port>``."""


def key_pair_from_seed(seed: bytes) -> KeyPair:
    """Return libp2p's key pair of a 32-byte ed25519 seed (the seed that PyNaCl takes too)."""
    if len(seed) != SEED_BYTES:
        raise ConfigError(f"a network key is {SEED_BYTES} bytes, this one has {len(seed)}")
    return create_new_key_pair(seed)


def peer_id_of_key(public: PublicKey) -> PeerId:
    """Return the peer id that embeds this ed25519 key."""
    return PeerId(ID(_ED25519_PREFIX + public).to_base58())


def peer_id_of_seed(seed: bytes) -> PeerId:
    """Return the peer id of the node that is started with this 32-byte seed."""
    return peer_id_of_key(PublicKey(key_pair_from_seed(seed).public_key.to_bytes()))


def parse_peer_id(text: str) -> PeerId:
    """Check a peer id that came from outside. Raises: BadPeerId."""
    if len(text) != PEER_ID_CHARACTERS or not text.isascii():
        raise BadPeerId(text[:64])
    try:
        raw = ID.from_base58(text).to_bytes()
    except ValueError as error:
        raise BadPeerId(text) from error
    if len(raw) != len(_ED25519_PREFIX) + 32 or not raw.startswith(_ED25519_PREFIX):
        raise BadPeerId(text)
    return PeerId(text)


def public_key_of(peer: PeerId) -> PublicKey:
    """Return the ed25519 key inside a peer id."""
    return PublicKey(ID.from_base58(peer).to_bytes()[len(_ED25519_PREFIX) :])


def libp2p_id(peer: PeerId) -> ID:
    """Return libp2p's object for a peer id."""
    return ID.from_base58(peer)


def parse_address(text: str) -> Address:
    """Check an address that came from outside. Raises: BadAddress."""
    endpoint(Address(text))
    return Address(text)


def endpoint(address: Address) -> tuple[str, int]:
    """Return host and port to dial or to listen at. Raises: BadAddress."""
    parts = address.split("/")
    if len(address) > ADDRESS_CHARACTERS_MAX or len(parts) != 5 or parts[0] or parts[3] != "tcp":
        raise BadAddress(address[:ADDRESS_CHARACTERS_MAX])
    kind, host, port = parts[1], parts[2], parts[4]
    if (port != "0" and not _PORT.fullmatch(port)) or int(port) > _PORT_MAX:
        raise BadAddress(address)
    if not _is_host(kind, host):
        raise BadAddress(address)
    return host, int(port)


def _is_host(kind: str, host: str) -> bool:
    try:
        if kind == "ip4":
            return str(ipaddress.IPv4Address(host)) == host
        if kind == "ip6":
            return str(ipaddress.IPv6Address(host)) == host
    except ValueError:
        return False
    return (
        kind in {"dns", "dns4", "dns6"}
        and len(host) < ADDRESS_CHARACTERS_MAX
        and (_NAME.fullmatch(host) is not None)
    )


def parse_peer_address(text: str) -> tuple[PeerId, Address]:
    """Split ``<address>/p2p/<peer id>``, the form of a boot node. Raises: BadAddress, BadPeerId."""
    address, marker, peer = text.partition("/p2p/")
    if not marker:
        raise BadAddress(text[:ADDRESS_CHARACTERS_MAX])
    return parse_peer_id(peer), parse_address(address)


def peer_address(peer: PeerId, address: Address) -> str:
    """Return ``<address>/p2p/<peer id>``."""
    return f"{address}/p2p/{peer}"


def format_address(host: str, port: int) -> Address:
    """Return the address of a socket's host and port."""
    kind = "ip6" if ":" in host else "ip4"
    return Address(f"/{kind}/{host}/tcp/{port}")
