"""Addresses against polkadot.js, and every mistyped text refused."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.errors import DecodeError
from primitives.ss58 import (
    GENERIC_PREFIX,
    PREFIX_MAX,
    TEXT_CHARS_MAX,
    Address,
    InvalidAddress,
    WrongNetwork,
    decode_account,
    decode_address,
    encode_address,
)
from primitives.types import AccountId

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "polkadot_js.json").read_text(encoding="utf-8")
)["addresses"]
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ALICE = AccountId(bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"))
ALICE_TEXT = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
ACCOUNTS = st.binary(min_size=32, max_size=32).map(AccountId)
PREFIXES = st.integers(0, PREFIX_MAX).filter(lambda prefix: prefix not in {46, 47})


def slow_base58(data: bytes) -> str:
    """Write bytes in base58; the same for any bytes, so that tests can spell forgeries."""
    number, text = int.from_bytes(data, "big"), ""
    while number:
        text, number = ALPHABET[number % 58] + text, number // 58
    return "1" * (len(data) - len(data.lstrip(b"\x00"))) + text


def with_checksum(body: bytes) -> str:
    return slow_base58(body + blake2b(b"SS58PRE" + body).digest()[:2])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["address"])
def test_addresses_are_those_of_polkadot_js(vector: dict[str, str]) -> None:
    account, prefix = AccountId(bytes.fromhex(vector["account"])), int(vector["prefix"])

    assert encode_address(account, prefix) == vector["address"]
    assert decode_address(vector["address"]) == Address(prefix, account)


def test_alice_has_the_address_that_subkey_prints() -> None:
    assert encode_address(ALICE) == ALICE_TEXT
    assert decode_account(ALICE_TEXT) == ALICE


@given(ACCOUNTS, PREFIXES)
def test_any_account_on_any_network_comes_back(account: AccountId, prefix: int) -> None:
    text = encode_address(account, prefix)

    assert decode_address(text) == Address(prefix, account)
    assert decode_account(text, prefix) == account
    assert len(text) <= TEXT_CHARS_MAX


def test_an_address_of_another_network_is_refused_by_name() -> None:
    with pytest.raises(WrongNetwork, match="prefix 2, this chain has 42"):
        decode_account(encode_address(ALICE, 2))


def test_any_one_character_replaced_is_refused() -> None:
    for position in range(len(ALICE_TEXT)):
        for character in ALPHABET:
            typed = ALICE_TEXT[:position] + character + ALICE_TEXT[position + 1 :]
            if typed != ALICE_TEXT and not collides(typed):
                with pytest.raises(InvalidAddress):
                    decode_address(typed)


def collides(text: str) -> bool:
    """Return whether a text has, by chance, the right 16-bit checksum: about 1 in 65 536."""
    number = 0
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    data = number.to_bytes(35, "big") if number < 2**280 else bytes(35)
    return data[-2:] == blake2b(b"SS58PRE" + data[:-2]).digest()[:2]


def test_neighbours_swapped_are_refused() -> None:
    for position in range(len(ALICE_TEXT) - 1):
        first, second = ALICE_TEXT[position], ALICE_TEXT[position + 1]
        if first != second:
            with pytest.raises(InvalidAddress):
                decode_address(ALICE_TEXT[:position] + second + first + ALICE_TEXT[position + 2 :])


@pytest.mark.parametrize("character", ["0", "O", "I", "l", " ", "\n", "é", "\uff11"])
def test_characters_outside_the_alphabet_are_refused(character: str) -> None:
    with pytest.raises(InvalidAddress, match="character 3"):
        decode_address(ALICE_TEXT[:2] + character + ALICE_TEXT[3:])


def test_every_truncation_and_extension_is_refused() -> None:
    for length in range(len(ALICE_TEXT)):
        with pytest.raises(InvalidAddress):
            decode_address(ALICE_TEXT[:length])
    for character in ALPHABET:
        with pytest.raises(InvalidAddress):
            decode_address(ALICE_TEXT + character)
        with pytest.raises(InvalidAddress):
            decode_address(character + ALICE_TEXT)


def test_an_overlong_text_is_refused_before_it_is_converted() -> None:
    with pytest.raises(InvalidAddress, match="too many"):
        decode_address("2" * 1_000_000)


@pytest.mark.parametrize("prefix", [0, 1, 42, 46, 47, 63])
def test_a_small_prefix_in_two_bytes_is_refused(prefix: int) -> None:
    body = bytes([0x40 | prefix >> 2, (prefix & 3) << 6]) + ALICE

    with pytest.raises(InvalidAddress, match="shortest form"):
        decode_address(with_checksum(body))


@pytest.mark.parametrize("prefix", [46, 47])
def test_reserved_prefixes_are_refused_both_ways(prefix: int) -> None:
    with pytest.raises(InvalidAddress, match="reserved"):
        decode_address(with_checksum(bytes([prefix]) + ALICE))
    with pytest.raises(ValueError, match="no network"):
        encode_address(ALICE, prefix)


@pytest.mark.parametrize("first", [0x80, 0xC0, 0xFF])
def test_prefixes_with_reserved_bits_are_refused(first: int) -> None:
    with pytest.raises(InvalidAddress, match="upper bits"):
        decode_address(with_checksum(bytes([first, 0]) + ALICE))


@pytest.mark.parametrize("length", [1, 2, 4, 8, 31, 33])
def test_accounts_of_another_length_are_refused_both_ways(length: int) -> None:
    with pytest.raises(InvalidAddress, match="32-byte account"):
        decode_address(with_checksum(bytes([GENERIC_PREFIX]) + bytes([7]) * length))
    with pytest.raises(ValueError, match="32 bytes"):
        encode_address(AccountId(bytes(length)))


@pytest.mark.parametrize("prefix", [-1, PREFIX_MAX + 1])
def test_a_prefix_out_of_range_is_refused(prefix: int) -> None:
    with pytest.raises(ValueError, match="no network"):
        encode_address(ALICE, prefix)


@given(st.text(max_size=60) | st.text(ALPHABET, max_size=60))
def test_random_text_raises_only_the_typed_error(text: str) -> None:
    with pytest.raises(DecodeError):
        decode_address(text)


@given(st.binary(min_size=33, max_size=36))
def test_whatever_decodes_is_the_only_text_of_its_account(body: bytes) -> None:
    text = with_checksum(body)
    try:
        address = decode_address(text)
    except InvalidAddress:
        return
    assert encode_address(address.account, address.prefix) == text
