"""What a provider signs: published bytes, and what the signature covers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from primitives.crypto import KeyPair
from primitives.types import AccountId, Digest, Height
from runtime.jobs.commitment import (
    COMMITMENT,
    Commitment,
    commitment_message,
    is_signed,
    row_digest,
    rows_tree,
    sign_commitment,
)
from runtime.jobs.network import rows_of
from runtime.jobs.transcript import Transcript
from tests.runtime.jobs.world import make_network, make_rows

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "jobs.json").read_text(encoding="utf-8")
)
GENESIS = Digest(bytes.fromhex(VECTORS["genesis"]))
PAIR = KeyPair(bytes(32))
ZERO = Digest(bytes(32))
PLAIN = Commitment(1, AccountId(bytes(32)), ZERO, ZERO, ZERO, 3, Height(4))


@pytest.mark.parametrize("case", VECTORS["networks"], ids=lambda case: case["name"])
def test_a_commitment_has_the_published_roots_and_message(case: dict[str, Any]) -> None:
    commitment = COMMITMENT.decode(bytes.fromhex(case["commitment"]))
    inputs, outputs = bytes.fromhex(case["inputs"]), bytes.fromhex(case["outputs"])

    assert rows_tree(rows_of(inputs, len(inputs) // commitment.rows)).root == commitment.inputs
    assert rows_tree(rows_of(outputs, len(outputs) // commitment.rows)).root == commitment.outputs
    assert commitment_message(GENESIS, commitment).hex() == case["message"]


def test_a_signature_covers_the_chain_and_every_field() -> None:
    signature = sign_commitment(GENESIS, PLAIN, PAIR)
    one = Digest(bytes([1]) * 32)
    others = [
        replace(PLAIN, lease_id=2),
        replace(PLAIN, provider=AccountId(one)),
        replace(PLAIN, network=one),
        replace(PLAIN, inputs=one),
        replace(PLAIN, outputs=one),
        replace(PLAIN, rows=4),
        replace(PLAIN, made_at=Height(5)),
    ]

    assert is_signed(GENESIS, PLAIN, PAIR.public, signature)
    assert not is_signed(one, PLAIN, PAIR.public, signature)
    assert not is_signed(GENESIS, PLAIN, KeyPair(bytes([1]) * 32).public, signature)
    assert not any(is_signed(GENESIS, each, PAIR.public, signature) for each in others)


def test_a_transcript_holds_the_row_after_each_layer() -> None:
    network, rows = make_network([4, 6, 2]), make_rows(1, 4)

    transcript = Transcript.of(network, rows.tobytes())

    assert transcript.rows[0] == rows.tobytes()
    assert transcript.rows[-1] == network.run(rows).tobytes()
    assert transcript.digests == tuple(row_digest(row) for row in transcript.rows)


def test_a_transcript_finds_where_another_one_parts_from_it() -> None:
    mine = Transcript.of(make_network([4, 6, 5, 2]), make_rows(1, 4).tobytes())
    wrong = bytearray(mine.rows[2])
    wrong[3] ^= 1
    theirs = list(mine.digests)
    theirs[2] = row_digest(bytes(wrong))

    assert mine.first_difference(mine.digests) is None
    assert mine.first_difference(theirs) == 1
    assert mine.wrong_column(1, mine.rows[2]) is None
    assert mine.wrong_column(1, bytes(wrong)) == 3
