"""Peer ids and addresses from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.identity import (
    Address,
    BadAddress,
    BadPeerId,
    endpoint,
    format_address,
    libp2p_id,
    parse_address,
    parse_peer_address,
    parse_peer_id,
    peer_address,
    peer_id_of_key,
    peer_id_of_seed,
    public_key_of,
)
from primitives.crypto import KeyPair
from primitives.errors import ConfigError
from primitives.types import PublicKey

PEER = peer_id_of_seed(bytes(32))


@given(st.binary(min_size=32, max_size=32))
def test_peer_id_embeds_the_key_of_its_seed(seed: bytes) -> None:
    public = KeyPair.from_seed(seed).public

    peer = peer_id_of_seed(seed)

    assert peer == peer_id_of_key(public)
    assert public_key_of(parse_peer_id(peer)) == public
    assert libp2p_id(peer).to_base58() == peer


def test_seed_of_another_length_is_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        peer_id_of_seed(bytes(31))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12D3KooW",
        PEER[:-1],
        PEER + "1",
        PEER[:-1] + "0",
        PEER[:-1] + "é",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "1" * 52,
    ],
)
def test_text_that_is_no_ed25519_peer_id_is_refused(text: str) -> None:
    with pytest.raises(BadPeerId):
        parse_peer_id(text)


@given(st.text(max_size=80))
def test_any_text_is_a_peer_id_or_a_typed_error(text: str) -> None:
    try:
        peer = parse_peer_id(text)
    except BadPeerId:
        return
    assert peer_id_of_key(public_key_of(peer)) == text


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("/ip4/192.0.2.7/tcp/30333", "192.0.2.7", 30333),
        ("/ip4/127.0.0.1/tcp/0", "127.0.0.1", 0),
        ("/ip6/2001:db8::1/tcp/1", "2001:db8::1", 1),
        ("/dns/node.example.org/tcp/443", "node.example.org", 443),
        ("/dns4/localhost/tcp/65535", "localhost", 65535),
        ("/dns6/a-b.c/tcp/80", "a-b.c", 80),
    ],
)
def test_address_gives_host_and_port(text: str, host: str, port: int) -> None:
    assert endpoint(parse_address(text)) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.7:30333",
        "/ip4/192.0.2.7",
        "/ip4/192.0.2.7/udp/30333",
        "/ip4/192.0.2.7/tcp/65536",
        "/ip4/192.0.2.7/tcp/030",
        "/ip4/192.0.2.7/tcp/-1",
        "/ip4/192.0.2.07/tcp/1",
        "/ip4/192.0.2.256/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/2001:DB8::1/tcp/1",
        "/dns/-a/tcp/1",
        "/dns/a..b/tcp/1",
        "/dns/a b/tcp/1",
        "/dns/" + "a" * 300 + "/tcp/1",
        "/ip4/192.0.2.7/tcp/1/ws",
        "/unix/socket/tcp/1",
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        address = parse_address(text)
    except BadAddress:
        return
    assert 0 <= endpoint(address)[1] < 2**16


def test_peer_address_round_trips() -> None:
    text = peer_address(PEER, Address("/ip4/192.0.2.7/tcp/30333"))

    assert parse_peer_address(text) == (PEER, "/ip4/192.0.2.7/tcp/30333")


@pytest.mark.parametrize(
    "text", ["/ip4/192.0.2.7/tcp/1", "/ip4/192.0.2.7/tcp/1/p2p/x", f"x/p2p/{PEER}"]
)
def test_boot_node_that_is_no_peer_address_is_refused(text: str) -> None:
    with pytest.raises((BadAddress, BadPeerId)):
        parse_peer_address(text)


def test_socket_names_become_addresses() -> None:
    assert format_address("127.0.0.1", 7) == "/ip4/127.0.0.1/tcp/7"
    assert format_address("::1", 7) == "/ip6/::1/tcp/7"
    assert peer_id_of_key(PublicKey(bytes(32))).startswith("12D3KooW")
