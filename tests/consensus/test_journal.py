import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.journal import (
    InterchangeRefused,
    JournalDamaged,
    compact,
    decode_record,
    encode_frame,
    encode_record,
    export_interchange,
    import_interchange,
    merge,
    replay,
)
from consensus.simplex.messages import Request, encode_message
from consensus.simplex.pledges import Floor, Pledges, Record
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, View
from tests.consensus.bench_of_four import (
    EPOCH,
    GENESIS,
    KEYS,
    A,
    B,
    finalization,
    finalize,
    machine,
    notarization,
    notarize,
    nullification,
    nullify,
    proposal,
)

RECORDS: tuple[Record, ...] = (
    Floor(EPOCH, View(0)),
    proposal(0, 1, A),
    notarize(0, 1, A),
    notarization(1, A),
    finalize(0, 1, A),
    nullify(0, 2),
    nullification(2),
    finalization(3, B),
    notarize(0, 4, A),
)
WHOLE = b"".join(encode_frame(record) for record in RECORDS)


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_survives_the_disk(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_whole_journal_is_read_back() -> None:
    read = replay(WHOLE)

    assert read.records == RECORDS
    assert read.length == len(WHOLE)
    assert not read.is_torn


def test_an_empty_journal_is_whole() -> None:
    assert replay(b"").records == ()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_journal_torn_anywhere_gives_what_was_whole_before(cut: int) -> None:
    read = replay(WHOLE[:cut])

    assert RECORDS[: len(read.records)] == read.records
    assert read.length <= cut
    assert read.is_torn == (read.length < cut)
    assert replay(WHOLE[: read.length]).records == read.records


@given(st.integers(1, 300), st.integers(0, 100))
def test_a_tail_of_zeros_is_a_torn_frame(zeros: int, cut: int) -> None:
    read = replay(WHOLE + encode_frame(RECORDS[1])[:cut] + bytes(zeros))

    assert read.records == RECORDS
    assert read.is_torn


@given(st.integers(0, len(WHOLE) - len(encode_frame(RECORDS[-1])) - 1), st.integers(1, 255))
def test_damage_before_the_end_is_never_silent(place: int, change: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= change

    with pytest.raises(JournalDamaged):
        replay(bytes(damaged))


def test_a_record_of_no_known_kind_is_damage() -> None:
    body = encode_message(Request(EPOCH, View(1), View(2)))
    length = len(body).to_bytes(4, "big")
    check = keyed_hash(Purpose.JOURNAL, length)[:4] + keyed_hash(Purpose.JOURNAL, body)[:8]

    with pytest.raises(JournalDamaged):
        replay(length + check + body)


def test_a_request_is_no_record() -> None:
    with pytest.raises(DecodeError):
        decode_record(encode_message(Request(EPOCH, View(1), View(2))))


def test_compaction_keeps_the_final_and_what_is_above() -> None:
    assert compact(RECORDS) == (Floor(EPOCH, View(3)), finalization(3, B), notarize(0, 4, A))
    assert compact(compact(RECORDS)) == compact(RECORDS)
    assert compact(()) == ()


def test_compaction_drops_ended_epochs() -> None:
    later = notarize(0, 1, A, Epoch(EPOCH + 1))

    assert compact((*RECORDS, later)) == (Floor(Epoch(EPOCH + 1), View(0)), later)


def test_compaction_of_certificates_alone_promises_nothing() -> None:
    assert compact((notarization(1, A), finalization(3, B))) == (finalization(3, B),)


def test_a_compacted_journal_of_a_later_epoch_silences_the_earlier_one() -> None:
    silent = machine(0, compact((*RECORDS, notarize(0, 1, A, Epoch(EPOCH + 1)))))

    silent.start()

    assert not silent.pledges.may_notarize(View(1000))


WORDS = st.lists(
    st.one_of(
        st.builds(notarize, st.just(0), st.integers(1, 5), st.sampled_from([A, B])),
        st.builds(nullify, st.just(0), st.integers(1, 5)),
        st.builds(finalize, st.just(0), st.integers(1, 5), st.just(A)),
        st.builds(finalization, st.integers(1, 3), st.just(A)),
        st.builds(lambda view: Floor(EPOCH, View(view)), st.integers(0, 4)),
    ),
    max_size=8,
)


@given(WORDS, WORDS)
def test_a_merge_permits_nothing_that_one_side_forbids(
    ours: list[Record], theirs: list[Record]
) -> None:
    merged = _pledges(merge(ours, theirs))

    for side in (_pledges(ours), _pledges(theirs)):
        for number in range(1, 7):
            view = View(number)
            assert merged.may_propose(view) <= side.may_propose(view)
            assert merged.may_notarize(view) <= side.may_notarize(view)
            assert merged.may_nullify(view) <= side.may_nullify(view)
            assert merged.may_finalize(view) <= side.may_finalize(view)


def _pledges(records: list[Record] | tuple[Record, ...]) -> Pledges:
    return machine(0, tuple(records)).pledges


def test_a_journal_moves_with_its_key() -> None:
    document = export_interchange(GENESIS, KEYS[0].public, RECORDS)

    arrived = import_interchange(document, GENESIS, KEYS[0].public, ())

    assert arrived == compact(RECORDS)
    assert json.loads(document)["records"][0]["kind"] == "floor"


def test_an_import_is_merged_with_what_is_there() -> None:
    document = export_interchange(GENESIS, KEYS[0].public, RECORDS)

    arrived = import_interchange(document, GENESIS, KEYS[0].public, (nullify(0, 9),))

    assert arrived == merge(RECORDS, (nullify(0, 9),))
    assert nullify(0, 9) in arrived


def changed(**fields: object) -> str:
    document: dict[str, Any] = json.loads(export_interchange(GENESIS, KEYS[0].public, RECORDS))
    return json.dumps({**document, **fields})


REFUSED = [
    "",
    "7",
    "[" * 100_000,
    changed(format="other"),
    changed(version=2),
    changed(version=True),
    changed(genesis=bytes(32).hex()),
    changed(consensus_key=KEYS[1].public.hex()),
    changed(more=1),
    changed(records={}),
    changed(records=[7]),
    changed(records=[{"bytes": 7}]),
    changed(records=[{"bytes": "zz"}]),
    changed(records=[{"bytes": "00"}]),
    changed(
        records=[
            {"kind": "floor", "epoch": "3", "view": "9", "bytes": encode_record(RECORDS[0]).hex()}
        ]
    ),
]


@pytest.mark.parametrize("document", REFUSED, ids=range(len(REFUSED)))
def test_a_foreign_or_changed_document_is_refused(document: str) -> None:
    with pytest.raises(InterchangeRefused):
        import_interchange(document, GENESIS, KEYS[0].public, ())


def test_an_endless_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.journal.INTERCHANGE_BYTES_MAX", 10)

    with pytest.raises(InterchangeRefused):
        import_interchange(changed(), GENESIS, KEYS[0].public, ())


def test_a_document_of_another_chain_is_refused() -> None:
    document = export_interchange(Digest(bytes(32)), KEYS[0].public, RECORDS)

    with pytest.raises(InterchangeRefused):
        import_interchange(document, GENESIS, KEYS[0].public, ())
