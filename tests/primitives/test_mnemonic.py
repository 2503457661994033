"""Mnemonics against polkadot.js and BIP-39, and every wrong phrase refused without repeating it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.bip39_words import WORDS
from primitives.errors import ConfigError
from primitives.mnemonic import (
    ENTROPY_BYTES,
    PHRASE_WORDS,
    InvalidMnemonic,
    decode_phrase,
    derive_seed,
    encode_phrase,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "polkadot_js.json").read_text(encoding="utf-8")
)["mnemonics"]
ENTROPIES = st.sampled_from(ENTROPY_BYTES).flatmap(
    lambda length: st.binary(min_size=length, max_size=length)
)
LEGAL = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def test_the_word_list_is_the_one_of_bip39() -> None:
    joined = "\n".join(WORDS) + "\n"

    assert len(set(WORDS)) == len({word[:4] for word in WORDS}) == 2048
    assert list(WORDS) == sorted(WORDS)
    assert sha256(joined.encode()).hexdigest() == (
        "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
    )


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['entropy']}-{vector['password']}"
)
def test_phrases_and_seeds_are_those_of_polkadot_js(vector: dict[str, str]) -> None:
    entropy = bytes.fromhex(vector["entropy"])

    assert encode_phrase(entropy) == vector["phrase"]
    assert decode_phrase(vector["phrase"]) == entropy
    assert derive_seed(entropy, vector["password"]).hex() == vector["seed"]


@given(ENTROPIES)
def test_any_entropy_comes_back_from_its_phrase(entropy: bytes) -> None:
    phrase = encode_phrase(entropy)

    assert decode_phrase(phrase) == entropy
    assert len(phrase.split()) == PHRASE_WORDS[ENTROPY_BYTES.index(len(entropy))]
    assert set(phrase.split()) <= set(WORDS)


def test_white_space_does_not_matter() -> None:
    spread = LEGAL.replace(" ", " \t\n")

    assert decode_phrase(f"  {spread} \n") == decode_phrase(LEGAL)


def test_most_single_wrong_words_are_found_by_the_checksum() -> None:
    """Twelve words carry four bits of checksum: one wrong word in sixteen goes unseen."""
    words = LEGAL.split()
    refused = 0
    for word in WORDS:
        try:
            decode_phrase(" ".join([*words[:5], word, *words[6:]]))
        except InvalidMnemonic as error:
            assert "checksum" in str(error)  # noqa: PT017 - counted, not expected each time
            refused += 1

    assert 1850 < refused < 1990


def test_the_password_changes_the_seed() -> None:
    entropy = decode_phrase(LEGAL)

    assert len({derive_seed(entropy, password) for password in ("", " ", "a", "A", "é")}) == 5


def test_passwords_are_not_normalised() -> None:
    entropy = bytes(16)

    assert derive_seed(entropy, "\u00e9") != derive_seed(entropy, "e\u0301")


@pytest.mark.parametrize("count", [0, 1, 11, 13, 14, 16, 23, 25, 100])
def test_a_phrase_of_another_number_of_words_is_refused(count: int) -> None:
    with pytest.raises(InvalidMnemonic, match="12, 15, 18, 21 or 24"):
        decode_phrase(" ".join(["abandon"] * count))


def test_an_overlong_phrase_is_refused() -> None:
    with pytest.raises(InvalidMnemonic, match="12, 15, 18, 21 or 24"):
        decode_phrase(LEGAL + " " * 2000)


@pytest.mark.parametrize("word", ["winnre", "WINNER", "Winner", "winn", "\uff11", "gewinner"])
def test_an_unknown_word_is_named_by_its_position_and_never_repeated(word: str) -> None:
    with pytest.raises(InvalidMnemonic, match="word 2 is not") as caught:
        decode_phrase(LEGAL.replace("winner", word, 1))

    assert word not in str(caught.value)


@pytest.mark.parametrize("length", [0, 8, 15, 17, 31, 33, 64])
def test_entropy_of_another_length_has_no_phrase_and_no_seed(length: int) -> None:
    with pytest.raises(ValueError, match="no phrase"):
        encode_phrase(bytes(length))
    with pytest.raises(ValueError, match="no seed"):
        derive_seed(bytes(length))


def test_a_password_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidMnemonic, match="Unicode"):
        derive_seed(bytes(16), "\ud800")


@given(st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=26).map(" ".join))
def test_random_phrases_raise_only_the_typed_error(phrase: str) -> None:
    try:
        entropy = decode_phrase(phrase)
    except ConfigError:
        return
    assert encode_phrase(entropy) == " ".join(phrase.split())
