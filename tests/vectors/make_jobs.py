"""Write tests/vectors/jobs.json: ``python -m tests.vectors.make_jobs``.

The networks are computed here in plain integers and hashed as docs/jobs.md says, never by the code
under test. Run it only when the rule itself changes, in a commit of its own, and say so in the
changelog.
"""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
from blake3 import blake3

PATH = Path(__file__).with_name("jobs.json")
WRAP, CLAMP, RELU = range(3)
GENESIS = bytes([0xCC]) * 32

PlainLayer = tuple[int, int, list[list[int]]]
"""Shift, activation, weights by input and output."""


def plain_activation(activation: int, value: int) -> int:
    if activation == WRAP:
        return (value + 128) % 256 - 128
    return min(127, max(-128 if activation == CLAMP else 0, value))


def plain_run(layers: Sequence[PlainLayer], row: Sequence[int]) -> list[int]:
    """Return the output row of one input row."""
    values = list(row)
    for shift, activation, weights in layers:
        sums = [
            sum(value * line[column] for value, line in zip(values, weights, strict=True))
            for column in range(len(weights[0]))
        ]
        values = [plain_activation(activation, each >> shift) for each in sums]
    return values


def keyed(purpose: str, data: bytes) -> bytes:
    key = blake3(f"loopin/{purpose}/1".encode()).digest()
    return blake3(data, key=key).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962's shape, the number of leaves bound into the root."""

    def top(nodes: Sequence[bytes]) -> bytes:
        if len(nodes) == 1:
            return nodes[0]
        half = 1
        while half * 2 < len(nodes):
            half *= 2
        return keyed("merkle node", top(nodes[:half]) + top(nodes[half:]))

    whole = top([keyed("merkle leaf", leaf) for leaf in leaves])
    return keyed("merkle root", len(leaves).to_bytes(8, "little") + whole)


def to_bytes(values: Sequence[int]) -> bytes:
    return bytes(value % 256 for value in values)


def rows_root(rows: Sequence[Sequence[int]]) -> bytes:
    return tree_root([keyed("job activations", to_bytes(row)) for row in rows])


def network_case(name: str, widths: Sequence[int], seed: int, count: int) -> dict[str, Any]:
    rng = random.Random(seed)
    layers: list[PlainLayer] = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weights = [[rng.randint(-128, 127) for _ in range(outputs)] for _ in range(inputs)]
        layers.append((rng.randint(0, 12), (number + seed) % 3, weights))
    rows = [[rng.randint(-128, 127) for _ in range(widths[0])] for _ in range(count)]
    results = [plain_run(layers, row) for row in rows]
    shape = [[[len(w), len(w[0]), shift, activation] for shift, activation, w in layers]]
    flat = b"".join(to_bytes(line) for _, _, weights in layers for line in weights)
    columns = [
        to_bytes([line[column] for line in weights])
        for _, _, weights in layers
        for column in range(len(weights[0]))
    ]
    root = tree_root(columns)
    identity = keyed("job network", msgpack.packb(shape) + root)
    commitment = [
        7, bytes([3]) * 32, identity, rows_root(rows), rows_root(results), count, 1000 + seed,
    ]  # fmt: skip
    return {
        "name": name,
        "encoded": msgpack.packb([shape, flat]).hex(),
        "weights_root": root.hex(),
        "identity": identity.hex(),
        "inputs": b"".join(map(to_bytes, rows)).hex(),
        "outputs": b"".join(map(to_bytes, results)).hex(),
        "inputs_root": rows_root(rows).hex(),
        "outputs_root": rows_root(results).hex(),
        "commitment": msgpack.packb(commitment).hex(),
        "message": keyed("job commitment", GENESIS + msgpack.packb(commitment)).hex(),
    }


def document() -> dict[str, Any]:
    """Return the vectors."""
    return {
        "genesis": GENESIS.hex(),
        "networks": [
            network_case("one value", [1, 1], 0, 1),
            network_case("one layer", [5, 3], 1, 4),
            network_case("three layers", [16, 24, 9, 8], 2, 5),
            network_case("a wide row", [300, 4, 2], 3, 3),
        ],
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
