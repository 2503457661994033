"""What a client and its provider say to each other: requests, and the answers that follow.

Wire form: one byte that names the kind, then the canonical encoding. Every exchange is one request
of the protocol ``/loopin/<genesis>/lease/1`` with a stream of answers:

=============  ==========================================================================
request        answers
=============  ==========================================================================
``Knock``      ``Challenge``: what the client must sign with the lease's key
``Prove``      ``Granted``
``Upload``     ``Received``: a part of a network, of rows or of a command's input
``RunNetwork`` ``Progress`` and ``OutputRows``, in order, and last ``Done``
``RunCommand`` ``CommandOutput`` and ``Progress``, and last ``Exited``
=============  ==========================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from p2p.identity import PeerId
from p2p.requests import RequestSpec
from primitives.codec import (
    ACCOUNT,
    BOOL,
    DIGEST,
    I64,
    U32,
    U64,
    Codec,
    Malformed,
    TooLarge,
    blob,
    fixed,
    listing,
    optional,
    struct,
    text,
)
from primitives.crypto import Purpose, keyed_hash
from primitives.types import AccountId, Digest, Signature
from runtime.jobs.commitment import COMMITMENT, Commitment

PART_BYTES_MAX = 1 << 19
"""Of a blob, of output rows or of a command's output in one message."""
BLOB_BYTES_MAX = 1 << 28
ARGUMENTS_MAX = 32
ARGUMENT_BYTES_MAX = 1024
NONCE_BYTES = 32
SIGNATURE = fixed(64, "signature")


@dataclass(frozen=True, slots=True)
class Knock:
    """Ask to be let in as the client of a lease."""

    lease_id: int


@dataclass(frozen=True, slots=True)
class Prove:
    """Show that one holds the lease's key."""

    lease_id: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Upload:
    """One part of a blob; parts come in order."""

    lease_id: int
    digest: Digest
    """Of the whole blob, by ``blob_digest``."""
    size: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RunNetwork:
    """Pass rows through an integer network; both are blobs that were uploaded."""

    lease_id: int
    network: Digest
    inputs: Digest


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Run a command that the provider offers; nothing about its result is verified."""

    lease_id: int
    name: str
    arguments: tuple[str, ...]
    stdin: Digest | None
    """A blob that was uploaded."""


@dataclass(frozen=True, slots=True)
class Challenge:
    provider: AccountId
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """The client is let in until its connection ends or the lease does."""

    commands: tuple[str, ...]
    """What ``RunCommand`` may name."""


@dataclass(frozen=True, slots=True)
class Received:
    """How much of the blob is there."""

    size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Still at work; sent at least every few seconds."""

    is_waiting: bool
    """True while other jobs are before this one."""
    rows: int


@dataclass(frozen=True, slots=True)
class OutputRows:
    """The next whole rows."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Done:
    commitment: Commitment
    signature: Signature


@dataclass(frozen=True, slots=True)
class CommandOutput:
    is_error: bool
    """True for what the command wrote to its standard error."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Exited:
    code: int
    """The command's exit code; minus a signal's number if that ended it."""
    reason: str
    """Why the provider ended it, empty if it did not."""


Request: TypeAlias = Knock | Prove | Upload | RunNetwork | RunCommand
Answer: TypeAlias = (
    Challenge | Granted | Received | Progress | OutputRows | Done | CommandOutput | Exited
)

_NAME = text(64)
_PART = blob(PART_BYTES_MAX)
REQUESTS: Mapping[int, tuple[type[Any], Codec[Any]]] = {
    1: (Knock, struct(Knock, lease_id=U64)),
    2: (Prove, struct(Prove, lease_id=U64, signature=SIGNATURE)),
    3: (Upload, struct(Upload, lease_id=U64, digest=DIGEST, size=U32, offset=U32, data=_PART)),
    4: (RunNetwork, struct(RunNetwork, lease_id=U64, network=DIGEST, inputs=DIGEST)),
    5: (
        RunCommand,
        struct(
            RunCommand,
            lease_id=U64,
            name=_NAME,
            arguments=listing(text(ARGUMENT_BYTES_MAX), ARGUMENTS_MAX),
            stdin=optional(DIGEST),
        ),
    ),
}
"""``Any``: each kind has its own type."""
ANSWERS: Mapping[int, tuple[type[Any], Codec[Any]]] = {
    1: (Challenge, struct(Challenge, provider=ACCOUNT, nonce=fixed(NONCE_BYTES))),
    2: (Granted, struct(Granted, commands=listing(_NAME, 64))),
    3: (Received, struct(Received, size=U32)),
    4: (Progress, struct(Progress, is_waiting=BOOL, rows=U32)),
    5: (OutputRows, struct(OutputRows, data=_PART)),
    6: (Done, struct(Done, commitment=COMMITMENT, signature=SIGNATURE)),
    7: (CommandOutput, struct(CommandOutput, is_error=BOOL, data=_PART)),
    8: (Exited, struct(Exited, code=I64, reason=text(128))),
}
_MESSAGE_BYTES_MAX = 1 + max(
    codec.bytes_max for _, codec in (*REQUESTS.values(), *ANSWERS.values())
)

LEASE_REQUEST = RequestSpec(
    name="lease",
    request_bytes_max=_MESSAGE_BYTES_MAX,
    answer_bytes_max=_MESSAGE_BYTES_MAX,
    answers_max=1 << 16,
    step_seconds=30.0,
)
PROGRESS_SECONDS = 5.0
"""A provider at work is never silent for longer."""


def encode_request(request: Request) -> bytes:
    """Return the bytes of a request."""
    return _encode(REQUESTS, request)


def decode_request(data: bytes) -> Request:
    """Return the request of untrusted ``data``. Raises: DecodeError."""
    request: Request = _decode(REQUESTS, data)
    return request


def encode_answer(answer: Answer) -> bytes:
    """Return the bytes of an answer."""
    return _encode(ANSWERS, answer)


def decode_answer(data: bytes) -> Answer:
    """Return the answer of untrusted ``data``. Raises: DecodeError."""
    answer: Answer = _decode(ANSWERS, data)
    return answer


def access_message(
    genesis: Digest, lease_id: int, nonce: bytes, *, client: PeerId, server: PeerId
) -> bytes:
    """Return what the lease's key signs: worth something on this one connection alone."""
    content = genesis + lease_id.to_bytes(8) + nonce + client.encode() + server.encode()
    return keyed_hash(Purpose.LEASE_ACCESS, content)


def blob_digest(data: bytes) -> Digest:
    """Return the digest by which a blob is known."""
    return keyed_hash(Purpose.LEASE_BLOB, data)


def parts_of(data: bytes) -> list[tuple[int, bytes]]:
    """Return offset and bytes of each part of a blob; an empty one has one part."""
    starts = range(0, max(1, len(data)), PART_BYTES_MAX)
    return [(start, data[start : start + PART_BYTES_MAX]) for start in starts]


def _encode(kinds: Mapping[int, tuple[type[Any], Codec[Any]]], message: object) -> bytes:
    for tag, (kind, codec) in kinds.items():
        if isinstance(message, kind):
            return bytes([tag]) + codec.encode(message)
    raise AssertionError(f"no message: {message!r}")


def _decode(kinds: Mapping[int, tuple[type[Any], Codec[Any]]], data: bytes) -> Any:  # noqa: ANN401 - each kind has its own type
    if len(data) > _MESSAGE_BYTES_MAX:
        raise TooLarge(f"{len(data)} bytes")
    known = kinds.get(data[0]) if data else None
    if known is None:
        raise Malformed(f"no message of kind {data[:1].hex()}")
    return known[1].decode(data[1:])
