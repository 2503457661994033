"""What the address book keeps, forgets, tells, and writes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.address_book import (
    FAILURES_MAX,
    LEARNED_MAX,
    PEERS_MAX,
    AddressBook,
    BadAddressBook,
    PeerRecord,
)
from p2p.identity import Address, BadAddress, BadPeerId, PeerId, peer_id_of_key
from primitives.types import PublicKey

HERE, THERE = Address("/ip4/192.0.2.1/tcp/1"), Address("/ip4/192.0.2.2/tcp/2")


def peer(number: int) -> PeerId:
    return peer_id_of_key(PublicKey(number.to_bytes(32, "big")))


def hearsay(number: int, record: bytes = b"") -> PeerRecord:
    return PeerRecord(peer(number), (HERE,), record)


def test_peer_that_was_reached_comes_first_at_the_address_that_worked() -> None:
    book = AddressBook()
    book.learn(PeerRecord(peer(1), (HERE, THERE), b""), peer(9))
    book.learn(hearsay(2), peer(9))

    book.reached(peer(2), THERE)

    assert book.peers() == (peer(2), peer(1))
    assert book.addresses(peer(2)) == (THERE, HERE)
    assert book.addresses(peer(3)) == ()


def test_only_what_we_reached_ourselves_is_told() -> None:
    book = AddressBook()
    book.learn(hearsay(1), peer(9))
    book.learn(hearsay(2, b"signed"), peer(9))
    book.reached(peer(2), HERE)
    book.reached(peer(3), HERE)

    told = book.records(10, exclude=peer(3))

    assert told == (PeerRecord(peer(2), (HERE,), b"signed"),)


def test_hearsay_does_not_replace_what_we_know_first_hand_but_may_renew_its_record() -> None:
    book = AddressBook()
    book.reached(peer(1), HERE)

    book.learn(PeerRecord(peer(1), (THERE,), b"newer"), peer(9))

    assert book.addresses(peer(1)) == (HERE,)
    assert book.records(1, exclude=peer(9))[0].record == b"newer"


def test_one_source_fills_only_its_share() -> None:
    book = AddressBook()

    taken = [book.learn(hearsay(number), peer(9_999)) for number in range(LEARNED_MAX + 50)]

    assert taken == [True] * LEARNED_MAX + [False] * 50
    assert book.learn(hearsay(5_000), peer(8_888))


def test_full_book_forgets_hearsay_for_news_and_never_what_was_reached() -> None:
    book = AddressBook()
    book.reached(peer(1), HERE)
    number = 10
    for source in range(20):
        for _ in range(LEARNED_MAX):
            book.learn(hearsay(number), peer(100_000 + source))
            number += 1

    assert len(book) == PEERS_MAX
    assert peer(1) in book.peers()
    assert peer(number - 1) in book.peers()


def test_peer_that_is_never_there_is_forgotten_unless_pinned() -> None:
    book = AddressBook()
    book.learn(hearsay(1), peer(9))
    book.pin(peer(2), (HERE,))

    for _ in range(FAILURES_MAX):
        book.failed(peer(1))
        book.failed(peer(2))

    assert book.peers() == (peer(2),)
    book.unpin(peer(2))
    book.failed(peer(2))
    assert book.peers() == ()


def test_failure_moves_a_peer_behind_the_others() -> None:
    book = AddressBook()
    book.learn(hearsay(1), peer(9))
    book.learn(hearsay(2), peer(9))

    book.failed(peer(1))

    assert book.peers() == (peer(2), peer(1))


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (PeerRecord("nobody", (HERE,), b""), BadPeerId),
        (PeerRecord(peer(1), ("nowhere",), b""), BadAddress),
    ],
)
def test_record_of_nobody_or_nowhere_is_refused(record: PeerRecord, error: type[Exception]) -> None:
    with pytest.raises(error):
        AddressBook().learn(record, peer(9))


def test_book_survives_a_restart(tmp_path: Path) -> None:
    book = AddressBook()
    book.learn(hearsay(1), peer(9))
    book.reached(peer(2), THERE)
    book.failed(peer(1))

    book.save(tmp_path / "book")
    again = AddressBook.load(tmp_path / "book")

    assert again.encode() == book.encode()
    assert again.peers() == book.peers()
    assert not again.is_changed
    assert not book.is_changed


def test_missing_file_is_an_empty_book(tmp_path: Path) -> None:
    assert AddressBook.load(tmp_path / "none").peers() == ()


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damaged_file_is_refused_with_advice(noise: bytes, at: int) -> None:
    book = AddressBook()
    book.reached(peer(1), HERE)
    data = book.encode()
    damaged = data[:at] + noise
    try:
        again = AddressBook.decode(damaged)
    except BadAddressBook:
        return
    assert again.encode() == damaged


def test_unreadable_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"something else")

    with pytest.raises(BadAddressBook, match="delete the file"):
        AddressBook.load(tmp_path / "book")
