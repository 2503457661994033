"""Account files against those that polkadot.js wrote, and against damaged and hostile ones."""

import json
from base64 import b64decode, b64encode
from functools import cache
from hashlib import scrypt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_secretbox

from primitives.account_file import (
    FILE_CHARS_MAX,
    STRONG,
    WIDELY_READABLE,
    AccountFile,
    InvalidAccountFile,
    ScryptCost,
    UnsupportedAccountFile,
    WrongPassword,
    _decode_pkcs8,
    decode_account_file,
    encode_account_file,
    open_account_file,
)
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.errors import ConfigError
from primitives.ss58 import encode_address
from primitives.types import AccountId

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "polkadot_js.json").read_text(encoding="utf-8")
)["account_files"]
PAIR = KeyPair(bytes(range(32)))
ACCOUNT = AccountId(PAIR.public)
SALT, NONCE = bytes(range(100, 132)), bytes(range(200, 224))
PASSWORD = "open sesame"
META = {"name": "till", "whenCreated": 1_700_000_000_000, "genesisHash": "0x" + "ab" * 32}
PKCS8_HEADER = bytes.fromhex("3053020101300506032b657004220420")
PKCS8_DIVIDER = bytes.fromhex("a123032100")


@cache
def written() -> str:
    return encode_account_file(
        PAIR, PASSWORD, salt=SALT, nonce=NONCE, meta=META, cost=WIDELY_READABLE
    )


@cache
def stretched() -> bytes:
    return scrypt(PASSWORD.encode(), salt=SALT, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=32)


def changed(**members: object) -> str:
    return json.dumps(json.loads(written()) | members)


def file_with(plain: bytes, account: AccountId = ACCOUNT) -> AccountFile:
    """Return a well-encrypted file around any decrypted body."""
    header = b"".join(number.to_bytes(4, "little") for number in (1 << 15, 1, 8))
    box = crypto_secretbox(plain, NONCE, stretched())
    return AccountFile(account, 42, {}, SALT + header + NONCE + box)


def encrypted_with_cost(n: int, p: int, r: int) -> str:
    data = bytearray(b64decode(json.loads(written())["encoded"]))
    data[32:44] = b"".join(number.to_bytes(4, "little") for number in (n, p, r))
    return changed(encoded=b64encode(data).decode())


# ------------------------------------------------------------------------------- what is right


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["uri"])
def test_a_file_written_by_polkadot_js_opens(vector: dict[str, str]) -> None:
    expected = derive_key_pair(vector["uri"])

    file = decode_account_file(vector["file"])

    assert open_account_file(file, vector["password"]).public == expected.public
    assert file.account == AccountId(expected.public)
    assert file.prefix == 42
    assert file.name == "Alice ✓"
    assert file.meta["whenCreated"] == 1_700_000_000_000


def test_a_file_of_ours_opens_and_says_what_was_written() -> None:
    file = decode_account_file(written())
    pair = open_account_file(file, PASSWORD)

    assert (pair.public, pair.seed) == (PAIR.public, PAIR.seed)
    assert (file.account, file.prefix, file.name, file.meta) == (ACCOUNT, 42, "till", META)


def test_a_file_of_ours_has_the_members_and_the_layout_of_version_3() -> None:
    members = json.loads(written())
    data = b64decode(members["encoded"])
    plain = PKCS8_HEADER + PAIR.seed + PAIR.public + PKCS8_DIVIDER + PAIR.public

    assert list(members) == ["encoded", "encoding", "address", "meta"]
    assert members["address"] == encode_address(ACCOUNT)
    assert members["encoding"] == {
        "content": ["pkcs8", "ed25519"],
        "type": ["scrypt", "xsalsa20-poly1305"],
        "version": "3",
    }
    assert data[:32] == SALT
    assert data[32:44] == bytes.fromhex("008000000100000008000000")
    assert data[44:68] == NONCE
    assert data[68:] == crypto_secretbox(plain, NONCE, stretched())


def test_the_default_cost_is_the_one_polkadot_js_writes_now() -> None:
    text = encode_account_file(PAIR, PASSWORD, salt=SALT, nonce=NONCE, meta={}, prefix=7)
    file = decode_account_file(text)

    assert file.encrypted[32:44] == decode_account_file(VECTORS[0]["file"]).encrypted[32:44]
    assert (STRONG.n, STRONG.p, STRONG.r) == (131_072, 1, 8)
    assert file.prefix == 7
    assert file.name == ""
    assert open_account_file(file, PASSWORD).public == PAIR.public


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "p"),
    [(1 << 13, 10), (1 << 14, 5), (1 << 15, 3), (1 << 15, 1), (1 << 16, 2), (1 << 17, 1)],
)
def test_every_cost_that_polkadot_js_allows_opens(n: int, p: int) -> None:
    text = encode_account_file(
        PAIR, PASSWORD, salt=SALT, nonce=NONCE, meta={}, cost=ScryptCost(n=n, p=p, r=8)
    )

    assert open_account_file(decode_account_file(text), PASSWORD).public == PAIR.public


def test_the_encrypted_part_may_be_hexadecimal() -> None:
    encoded = "0x" + b64decode(json.loads(written())["encoded"]).hex()

    assert decode_account_file(changed(encoded=encoded)) == decode_account_file(written())


def test_members_that_other_wallets_add_are_ignored() -> None:
    assert decode_account_file(changed(extension={"a": [1]})) == decode_account_file(written())


def test_a_file_without_meta_has_no_name() -> None:
    members = json.loads(written())
    del members["meta"]

    assert decode_account_file(json.dumps(members)).name == ""
    assert decode_account_file(changed(meta={"name": 7})).name == ""


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("password", ["", "open sesame ", "Open sesame", "0x", "\ud800"])
def test_another_password_is_refused_as_such(password: str) -> None:
    with pytest.raises(WrongPassword):
        open_account_file(decode_account_file(written()), password)


@pytest.mark.parametrize("at", [0, 44, 68, 200])
def test_a_changed_salt_nonce_tag_or_body_does_not_open(at: int) -> None:
    data = bytearray(b64decode(json.loads(written())["encoded"]))
    data[at] ^= 1

    file = decode_account_file(changed(encoded=b64encode(data).decode()))

    with pytest.raises(WrongPassword):
        open_account_file(file, PASSWORD)


@pytest.mark.parametrize(
    ("n", "p", "r"),
    [
        (1 << 31, 1, 8),
        (1 << 20, 1, 8),
        (1 << 18, 1, 8),
        (1 << 15, 2**32 - 1, 8),
        (1 << 15, 1, 2**32 - 1),
        (1 << 15, 1, 16),
        (1 << 12, 1, 8),
        (0, 0, 0),
        (3, 1, 8),
    ],
)
def test_scrypt_parameters_off_the_list_are_refused_before_scrypt_runs(
    n: int, p: int, r: int
) -> None:
    parameters = b"".join(number.to_bytes(4, "little") for number in (n, p, r))
    forged = AccountFile(ACCOUNT, 42, {}, SALT + parameters + bytes(157))

    with pytest.raises(UnsupportedAccountFile, match="not allowed"):
        decode_account_file(encrypted_with_cost(n, p, r))
    with pytest.raises(UnsupportedAccountFile, match="not allowed"):
        open_account_file(forged, PASSWORD)


@pytest.mark.parametrize(
    "encoding",
    [
        {"content": ["pkcs8", "sr25519"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "3"},
        {"content": ["pkcs8", "ed25519"], "type": ["none"], "version": "3"},
        {"content": ["pkcs8", "ed25519"], "type": ["xsalsa20-poly1305"], "version": "3"},
        {"content": ["pkcs8", "ed25519"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "2"},
        {"content": ["pkcs8", "ed25519"], "type": ["scrypt", "xsalsa20-poly1305"], "version": 3},
        {"content": "pkcs8", "type": "xsalsa20-poly1305", "version": "0"},
        {},
    ],
)
def test_a_file_of_another_kind_is_refused_as_unsupported(encoding: dict[str, object]) -> None:
    with pytest.raises(UnsupportedAccountFile, match="expected version 3"):
        decode_account_file(changed(encoding=encoding))


@pytest.mark.parametrize(
    "members",
    [
        {"encoding": None},
        {"encoding": ["pkcs8"]},
        {"address": None},
        {"address": 42},
        {"address": "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpv"},
        {"meta": ["name"]},
        {"meta": None},
        {"meta": {"name": "\ud800"}},
        {"encoded": None},
        {"encoded": 7},
        {"encoded": ""},
        {"encoded": "not base64!"},
        {"encoded": "0xabc"},
        {"encoded": "AAAA"},
        {"encoded": "é"},
        {"encoded": b64encode(bytes(202)).decode()},
    ],
    ids=repr,
)
def test_a_member_of_another_form_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidAccountFile):
        decode_account_file(changed(**members))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        "{",
        '{"meta": NaN}',
        '{"meta": Infinity}',
        '{"meta": ' + "9" * 5000 + "}",
        "[" * 60_000,
        '{"meta":' * 8_000,
        '{"version": 1, "version": 1}',
    ],
    ids=lambda text: text[:20],
)
def test_text_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidAccountFile):
        decode_account_file(text)


def test_a_member_given_twice_is_refused_at_any_depth() -> None:
    outer = written()[:-1] + ', "address": "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"}'
    inner = written().replace('"name": "till"', '"name": "till", "name": "bank"')

    for text in (outer, inner):
        with pytest.raises(InvalidAccountFile, match="twice"):
            decode_account_file(text)


def test_every_truncation_is_refused() -> None:
    for length in range(len(written())):
        with pytest.raises(InvalidAccountFile):
            decode_account_file(written()[:length])


def test_a_file_beyond_the_size_limit_is_refused_both_ways() -> None:
    with pytest.raises(InvalidAccountFile, match="too many"):
        decode_account_file(written() + " " * FILE_CHARS_MAX)
    with pytest.raises(ValueError, match="too long"):
        encode_account_file(
            PAIR,
            PASSWORD,
            salt=SALT,
            nonce=NONCE,
            meta={"name": "x" * FILE_CHARS_MAX},
            cost=WIDELY_READABLE,
        )


def test_a_key_that_does_not_belong_to_the_address_is_refused() -> None:
    other = encode_address(AccountId(KeyPair(bytes(32)).public))

    with pytest.raises(InvalidAccountFile, match="does not belong"):
        open_account_file(decode_account_file(changed(address=other)), PASSWORD)


@pytest.mark.parametrize(
    "plain",
    [
        b"\x00" + PKCS8_HEADER[1:] + PAIR.seed + PAIR.public + PKCS8_DIVIDER + PAIR.public,
        PKCS8_HEADER + PAIR.seed + bytes(32) + PKCS8_DIVIDER + PAIR.public,
        PKCS8_HEADER + bytes(32) + PAIR.public + PKCS8_DIVIDER + PAIR.public,
        PKCS8_HEADER + PAIR.seed + PAIR.public + bytes(5) + PAIR.public,
        PKCS8_HEADER + PAIR.seed + PAIR.public + PKCS8_DIVIDER + bytes(32),
    ],
)
def test_a_decrypted_body_that_contradicts_itself_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidAccountFile, match="contradicts"):
        _decode_pkcs8(plain)


@pytest.mark.parametrize("length", [0, 16, 85, 116, 118])
def test_a_decrypted_body_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidAccountFile, match="another length"):
        _decode_pkcs8(bytes(length))


@pytest.mark.parametrize("plain", [b"", bytes(117)], ids=["empty", "zeros"])
def test_a_file_that_decrypts_to_no_key_is_refused(plain: bytes) -> None:
    with pytest.raises(InvalidAccountFile, match="decrypted key"):
        open_account_file(file_with(plain), PASSWORD)


@pytest.mark.parametrize(
    ("password", "salt", "nonce", "cost"),
    [
        ("", SALT, NONCE, WIDELY_READABLE),
        (PASSWORD, SALT[1:], NONCE, WIDELY_READABLE),
        (PASSWORD, SALT, NONCE + b"\x00", WIDELY_READABLE),
        (PASSWORD, SALT, NONCE, ScryptCost(n=2, p=1, r=8)),
    ],
)
def test_a_file_that_wallets_could_not_open_is_not_written(
    password: str, salt: bytes, nonce: bytes, cost: ScryptCost
) -> None:
    with pytest.raises(ValueError, match="empty password"):
        encode_account_file(PAIR, password, salt=salt, nonce=nonce, meta={}, cost=cost)


def test_a_password_that_is_no_text_cannot_encrypt_a_file() -> None:
    with pytest.raises(WrongPassword, match="Unicode"):
        encode_account_file(PAIR, "\ud800", salt=SALT, nonce=NONCE, meta={})


# --------------------------------------------------------------------------------------- fuzz

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=9,
)


@given(st.text(max_size=200) | JSON_VALUES.map(json.dumps))
def test_random_text_raises_only_the_typed_error(text: str) -> None:
    with pytest.raises(InvalidAccountFile):
        decode_account_file(text)


@given(
    st.dictionaries(
        st.sampled_from(["encoded", "encoding", "address", "meta"]), JSON_VALUES, min_size=1
    )
)
def test_random_members_raise_only_the_typed_error(members: dict[str, object]) -> None:
    try:
        file = decode_account_file(changed(**members))
    except ConfigError:
        return
    assert set(members) == {"meta"}
    assert file.meta == members["meta"]


@given(at=st.integers(0, 4000), character=st.characters(max_codepoint=0x2FF))
def test_a_file_with_one_character_replaced_is_refused_or_reads_as_another_file(
    at: int, character: str
) -> None:
    at %= len(written())
    text = written()[:at] + character + written()[at + 1 :]
    try:
        file = decode_account_file(text)
    except InvalidAccountFile:
        return
    assert len(file.encrypted) == 201
    assert len(file.account) == 32


@given(st.binary(max_size=200) | st.binary(min_size=117, max_size=117))
def test_a_random_decrypted_body_raises_only_the_typed_error(plain: bytes) -> None:
    with pytest.raises(InvalidAccountFile):
        _decode_pkcs8(plain)


@given(
    at=st.integers(0, 116),
    bit=st.integers(0, 7),
)
def test_a_decrypted_body_with_any_bit_flipped_is_refused(at: int, bit: int) -> None:
    plain = bytearray(PKCS8_HEADER + PAIR.seed + PAIR.public + PKCS8_DIVIDER + PAIR.public)
    plain[at] ^= 1 << bit

    with pytest.raises(InvalidAccountFile, match="contradicts"):
        _decode_pkcs8(bytes(plain))
