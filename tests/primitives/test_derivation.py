"""Secret URIs against polkadot.js and subkey, and what they refuse."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.derivation import (
    DEV_PHRASE,
    URI_CHARS_MAX,
    InvalidSecretUri,
    Junction,
    SecretUri,
    SoftJunction,
    derive_hard,
    derive_key_pair,
)
from primitives.errors import ConfigError
from primitives.mnemonic import InvalidMnemonic
from primitives.ss58 import encode_address
from primitives.types import AccountId

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "polkadot_js.json").read_text(encoding="utf-8")
)["uris"]
SEED = "0x9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["uri"])
def test_keys_are_those_of_polkadot_js(vector: dict[str, str]) -> None:
    pair = derive_key_pair(vector["uri"])

    assert pair.public.hex() == vector["public"]
    assert encode_address(AccountId(pair.public)) == vector["address"]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("//Alice", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        ("//Bob", "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E"),
    ],
)
def test_development_accounts_have_the_addresses_that_subkey_prints(
    name: str, address: str
) -> None:
    assert encode_address(AccountId(derive_key_pair(name).public)) == address
    assert encode_address(AccountId(derive_key_pair(DEV_PHRASE + name).public)) == address


def test_a_0x_seed_is_the_seed_in_either_case() -> None:
    assert derive_key_pair(SEED).seed == bytes.fromhex(SEED[2:])
    assert derive_key_pair("0x" + SEED[2:].upper()).public == derive_key_pair(SEED).public


def test_an_empty_password_is_no_password() -> None:
    assert derive_key_pair(DEV_PHRASE + "///").public == derive_key_pair(DEV_PHRASE).public


def test_a_password_may_hold_slashes() -> None:
    uri = SecretUri.parse("//Alice///a//b/c")

    assert uri.password == "a//b/c"
    assert len(uri.junctions) == 1


def test_the_parts_are_found_where_they_stand() -> None:
    uri = SecretUri.parse("one two//hard/soft//7///password")

    assert (uri.phrase, uri.password) == ("one two", "password")
    assert [junction.is_hard for junction in uri.junctions] == [True, False, True]


def test_no_phrase_means_the_development_phrase() -> None:
    assert SecretUri.parse("").phrase == DEV_PHRASE


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("0", bytes(8)),
        ("7", b"\x07" + bytes(7)),
        ("007", b"\x07" + bytes(7)),
        ("+7", b"\x07" + bytes(7)),
        ("18446744073709551615", b"\xff" * 8),
        ("18446744073709551616", b"\x5018446744073709551616"),
        ("-7", b"\x08-7"),
        ("1_000", b"\x141_000"),
        ("٣", b"\x08" + "٣".encode()),
        ("0x07", b"\x100x07"),
        ("Alice", b"\x14Alice"),
        ("", b"\x00"),
        ("x" * 31, b"\x7c" + b"x" * 31),
    ],
)
def test_a_junction_is_its_scale_form_padded_to_32_bytes(name: str, encoded: bytes) -> None:
    """Numbers are what Rust's ``u64`` parser takes for one, since ``subkey`` asks it."""
    assert Junction.from_name(name, is_hard=True).chain_code == encoded.ljust(32, b"\x00")


@pytest.mark.parametrize(
    ("length", "prefix"),
    [(32, b"\x80"), (63, b"\xfc"), (64, b"\x01\x01"), (4096, b"\x01\x40")],
)
def test_a_junction_beyond_32_bytes_is_hashed(length: int, prefix: bytes) -> None:
    expected = blake2b(prefix + b"x" * length, digest_size=32).digest()

    assert Junction.from_name("x" * length, is_hard=True).chain_code == expected


def test_a_junction_of_wide_characters_has_a_four_byte_length() -> None:
    data = "𐍈".encode() * 4096
    expected = blake2b((len(data) << 2 | 2).to_bytes(4, "little") + data, digest_size=32).digest()

    assert Junction.from_name("𐍈" * 4096, is_hard=True).chain_code == expected


def test_hard_children_differ_from_their_parent_and_from_each_other() -> None:
    seed = bytes(32)
    children = {
        derive_hard(seed, Junction.from_name(name, is_hard=True).chain_code)
        for name in ("0", "1", "a", "A")
    }

    assert len(children | {seed}) == 5


@pytest.mark.parametrize("uri", ["/soft", "//hard/soft", f"{DEV_PHRASE}/0//hard", f"{SEED}/a"])
def test_soft_junctions_are_refused_with_the_reason(uri: str) -> None:
    with pytest.raises(SoftJunction, match="ed25519 has hard junctions only"):
        derive_key_pair(uri)


@pytest.mark.parametrize(
    "uri",
    ["//", "/", "//Alice/", "//Alice//", "bottom,drive//Alice", "a\nb//x", "ключ//x", "//a///p\n"],
)
def test_text_that_is_no_secret_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidSecretUri):
        derive_key_pair(uri)


@pytest.mark.parametrize("seed", ["0x", "0x12", SEED[:-1], SEED + "00", "0x" + "g" * 64])
def test_a_0x_seed_of_another_form_is_refused(seed: str) -> None:
    with pytest.raises(InvalidSecretUri, match="64 hexadecimal digits"):
        derive_key_pair(seed)


@pytest.mark.parametrize("password", ["", "secret"])
def test_a_password_behind_a_0x_seed_is_refused_because_it_would_do_nothing(password: str) -> None:
    with pytest.raises(InvalidSecretUri, match="no password"):
        derive_key_pair(f"{SEED}//a///{password}")


def test_a_wrong_phrase_is_refused_as_a_mnemonic() -> None:
    with pytest.raises(InvalidMnemonic):
        derive_key_pair("bottom drive obey//Alice")


def test_overlong_text_is_refused() -> None:
    with pytest.raises(InvalidSecretUri, match="longer"):
        derive_key_pair("//" + "a" * URI_CHARS_MAX)
    with pytest.raises(InvalidSecretUri, match="longer"):
        Junction.from_name("1" * 1_000_000, is_hard=True)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidSecretUri, match="Unicode"):
        derive_key_pair("//\ud800")


def test_seeds_and_chain_codes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        derive_hard(bytes(31), bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        derive_hard(bytes(32), bytes(33))


def test_no_secret_is_shown_by_repr() -> None:
    shown = repr(SecretUri.parse("some secret words//Hidden///hunter2"))

    assert "secret" not in shown
    assert "Hidden" not in shown
    assert "hunter2" not in shown


@given(st.text(max_size=60) | st.text("/ab1 x0\u00e9", max_size=60))
def test_random_text_raises_only_typed_errors(text: str) -> None:
    try:
        pair = derive_key_pair(text)
    except ConfigError:
        return
    assert SecretUri.parse(text).phrase == DEV_PHRASE
    assert len(pair.public) == 32


@given(
    names=st.lists(st.text("ab1_-é", min_size=1, max_size=9), max_size=4),
    password=st.none() | st.text(max_size=9).filter(lambda text: "\n" not in text),
)
def test_parsing_inverts_writing(names: list[str], password: str | None) -> None:
    text = "".join(f"//{name}" for name in names) + ("" if password is None else f"///{password}")

    uri = SecretUri.parse(text)

    assert uri.password == password
    assert uri.junctions == tuple(Junction.from_name(name, is_hard=True) for name in names)
