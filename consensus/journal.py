"""The consensus journal: bytes that let a validator forget nothing it promised.

A journal file is a row of frames, each ``length ‖ check of the length ‖ checksum ‖ record``. An
append that a crash tore leaves an incomplete last frame, which ``replay`` drops: the vote in it
never left the node. Damage anywhere else is an error, because a validator that votes without a
part of its journal may contradict itself.

The interchange form is JSON that moves with a key from one machine to another (what EIP-3076 is
for Ethereum). Merging takes every promise of both sides and the higher floor.

Invariants: the record bytes are canonical; ``replay`` of a whole file returns what was written;
``replay`` of a file torn at any byte returns a prefix of it; ``merge`` never permits what one of
its sides forbids. Files and fsync are the node's.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from consensus.simplex.messages import (
    MESSAGE_BYTES_MAX,
    Certificate,
    Kind,
    Message,
    Request,
    encode_message,
    from_plain,
)
from consensus.simplex.pledges import Floor, Record
from primitives.codec import U64, Codec, WrongType, decode, encode, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import ConfigError, DecodeError
from primitives.types import Digest, Epoch, PublicKey, View

_FLOOR_TAG = 255
_LENGTH_BYTES = 4
_CHECK_BYTES = 4
_SUM_BYTES = 8
_HEAD_BYTES = _LENGTH_BYTES + _CHECK_BYTES + _SUM_BYTES

FORMAT = "loopin-consensus-journal"
FORMAT_VERSION = 1
INTERCHANGE_BYTES_MAX = 1 << 26

_FLOOR = struct(Floor, epoch=cast("Codec[Epoch]", U64), view=cast("Codec[View]", U64))


class JournalDamaged(ConfigError):
    """The journal is damaged before its end: restore it, or move the key with a floor."""


class InterchangeRefused(ConfigError):
    """The journal file to import is not of this format, this chain or this key."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a journal file holds."""

    records: tuple[Record, ...]
    length: int
    """Bytes of whole frames; cut the file to it before appending."""
    is_torn: bool
    """Whether an incomplete last frame was dropped."""


def encode_record(record: Record) -> bytes:
    """Return the canonical bytes of a record."""
    if isinstance(record, Floor):
        return encode([_FLOOR_TAG, _FLOOR.to_plain(record)])
    return encode_message(record)


def decode_record(data: bytes) -> Record:
    """Return the record of ``data``. Raises: DecodeError."""
    plain = decode(data, bytes_max=MESSAGE_BYTES_MAX)
    if isinstance(plain, list) and len(plain) == 2 and plain[0] == _FLOOR_TAG:
        return _FLOOR.from_plain(plain[1])
    return _recordable(from_plain(plain))


def encode_frame(record: Record) -> bytes:
    """Return the bytes to append to the journal file, in one write, for one record."""
    body = encode_record(record)
    length = len(body).to_bytes(_LENGTH_BYTES, "big")
    return length + _digest(length)[:_CHECK_BYTES] + _digest(body)[:_SUM_BYTES] + body


def replay(data: bytes) -> Replay:
    """Return the records of a journal file, without the frame that a crash tore.

    Raises: JournalDamaged.
    """
    records: list[Record] = []
    position = 0
    while position < len(data):
        body = _frame_body(data, position)
        if body is None:
            return Replay(tuple(records), position, is_torn=True)
        try:
            records.append(decode_record(body))
        except DecodeError as error:
            raise JournalDamaged(f"at byte {position}: {error}") from error
        position += _HEAD_BYTES + len(body)
    return Replay(tuple(records), position, is_torn=False)


def _frame_body(data: bytes, position: int) -> bytes | None:
    """Return the record bytes of one frame, or None if it was torn. Raises: JournalDamaged."""
    head = data[position : position + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES:
        return None
    length, check = head[:_LENGTH_BYTES], head[_LENGTH_BYTES : _LENGTH_BYTES + _CHECK_BYTES]
    if _digest(length)[:_CHECK_BYTES] != check:
        if not any(data[position + _HEAD_BYTES :]):
            return None  # a file system may lengthen a file with zeros before it writes the data
        raise JournalDamaged(f"at byte {position}: no frame begins here")
    start = position + _HEAD_BYTES
    end = start + int.from_bytes(length, "big")
    body = data[start:end]
    if end > len(data):
        return None
    if _digest(body)[:_SUM_BYTES] == head[_LENGTH_BYTES + _CHECK_BYTES :]:
        return body
    if not any(data[end:]):
        return None  # the last append: its length reached the disk before all of its bytes did
    raise JournalDamaged(f"at byte {position}: the record does not match its checksum")


def compact(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the fewest records that bind just as much: what a journal may be rewritten to.

    Of the newest epoch the newest finalization and everything above it stay; the rest becomes a
    floor. A journal of certificates alone gets none: it must go on telling that no word is in it.
    """
    kept = list(records)
    if not kept:
        return ()
    epoch = max(record.epoch for record in kept)
    current = [record for record in kept if record.epoch == epoch]
    finals = [record for record in current if _is_finalization(record)]
    newest = max(finals, key=lambda record: record.view, default=None)
    floors = [record.view for record in current if isinstance(record, Floor)]
    floor = max(floors, default=View(0))
    top = floor if newest is None else max(floor, newest.view)
    above = [r for r in current if r.view > top and not isinstance(r, Floor)]
    is_blank = all(isinstance(record, Certificate) for record in kept)
    head: list[Record] = [] if is_blank else [Floor(epoch, top)]
    if newest is not None:
        head.append(newest)
    return (*head, *sorted(dict.fromkeys(above), key=lambda r: (r.view, encode_record(r))))


def export_interchange(genesis: Digest, key: PublicKey, records: Sequence[Record]) -> str:
    """Return the JSON that moves with the consensus key ``key`` to another machine."""
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "genesis": genesis.hex(),
        "consensus_key": key.hex(),
        "records": [_to_json(record) for record in compact(records)],
    }
    return json.dumps(document, indent=2) + "\n"


def import_interchange(
    document: str, genesis: Digest, key: PublicKey, records: Sequence[Record]
) -> tuple[Record, ...]:
    """Return ``records`` merged with those of ``document``: the journal to go on with.

    Raises: InterchangeRefused.
    """
    return merge(records, _read_interchange(document, genesis, key))


def merge(ours: Sequence[Record], theirs: Sequence[Record]) -> tuple[Record, ...]:
    """Return the compacted union: whatever one side forbids stays forbidden."""
    return compact((*ours, *theirs))


def _read_interchange(document: str, genesis: Digest, key: PublicKey) -> tuple[Record, ...]:
    if len(document) > INTERCHANGE_BYTES_MAX:
        raise InterchangeRefused(f"longer than {INTERCHANGE_BYTES_MAX} bytes")
    try:
        read = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InterchangeRefused(f"not JSON: {error}") from error
    expected = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "genesis": genesis.hex(),
        "consensus_key": key.hex(),
    }
    if not isinstance(read, dict) or set(read) != {*expected, "records"}:
        raise InterchangeRefused(f"its fields are not {sorted([*expected, 'records'])}")
    for name, value in expected.items():
        if read[name] != value or type(read[name]) is not type(value):
            raise InterchangeRefused(f"{name} is {read[name]!r:.80}, not {value!r}")
    if not isinstance(read["records"], list):
        raise InterchangeRefused("records is not a list")
    return tuple(_from_json(item) for item in read["records"])


def _to_json(record: Record) -> dict[str, object]:
    """Return a record with words that a person can read beside the bytes that count."""
    kind = "floor" if isinstance(record, Floor) else _kind_name(record)
    return {
        "kind": kind,
        "epoch": str(record.epoch),
        "view": str(record.view),
        "bytes": encode_record(record).hex(),
    }


def _from_json(item: object) -> Record:
    if not isinstance(item, dict) or not isinstance(item.get("bytes"), str):
        raise InterchangeRefused(f"not a record: {item!r:.80}")
    try:
        record = decode_record(bytes.fromhex(item["bytes"]))
    except (ValueError, DecodeError) as error:
        raise InterchangeRefused(f"not a record: {error}") from error
    if _to_json(record) != item:
        raise InterchangeRefused(f"a record's words differ from its bytes: {item!r:.80}")
    return record


def _kind_name(message: Message) -> str:
    if isinstance(message, Certificate):
        return f"certificate of {message.kind.name.lower()}"
    return type(message).__name__.lower()


def _is_finalization(record: Record) -> bool:
    return isinstance(record, Certificate) and record.kind is Kind.FINALIZE


def _recordable(message: Message) -> Record:
    if isinstance(message, Request):
        raise WrongType("a request is never recorded")
    return message


def _digest(data: bytes) -> Digest:
    return keyed_hash(Purpose.JOURNAL, data)
