"""A process that checks signatures: chunks of extrinsics in on stdin, one byte each out on stdout.

It is a process and not a thread because a thread beside a busy interpreter gets only a fraction
of a core. It reads nothing but bytes of its parent and ends when its parent does, however that
ends: its standard input closes then.

Frames: ``length (4 bytes) ‖ body``. The first body is the signing prefix; every other one is a row
of ``length (4 bytes) ‖ encoded extrinsic``, answered by a row of as many bytes, 1 for valid.
"""

import signal
import sys
from typing import BinaryIO

from primitives.block import signing_payload
from primitives.crypto import is_valid_signature
from primitives.types import PublicKey, Signature

LENGTH_BYTES = 4
SIGNER_START = 4
"""After the array's header, the version, and the signer's own header of two bytes."""
SIGNER_END = SIGNER_START + 32


def check_chunk(prefix: bytes, chunk: bytes) -> bytes:
    """Return one byte for each extrinsic of the chunk: 1 if its signature is valid."""
    answers = bytearray()
    position = 0
    while position < len(chunk):
        start = position + LENGTH_BYTES
        position = start + int.from_bytes(chunk[position:start], "big")
        answers.append(is_signed(prefix, chunk[start:position]))
    return bytes(answers)


def is_signed(prefix: bytes, encoded: bytes) -> bool:
    """Return whether the signer of a signed extrinsic, which has been decoded, signed it."""
    payload = signing_payload(prefix, encoded)
    signer = PublicKey(encoded[SIGNER_START:SIGNER_END])
    return is_valid_signature(signer, payload, Signature(encoded[-64:]))


def main() -> None:
    """Serve the parent process until it closes the pipe."""
    # Ctrl-C reaches the whole process group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    prefix = _read_frame(source)
    while prefix is not None:
        chunk = _read_frame(source)
        if chunk is None:
            return
        answer = check_chunk(prefix, chunk)
        sink.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        sink.flush()


def _read_frame(source: BinaryIO) -> bytes | None:
    head = source.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    body = source.read(length)
    return body if len(body) == length else None


if __name__ == "__main__":
    main()
