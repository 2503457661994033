"""The forward pass as the document words it: one integer at a time, slow, and shared with nobody.

``python -m tests.runtime.pocps.reference_forward_pass`` writes the frozen vectors anew. It imports
nothing of the chain, so that a mistake there cannot also be made here.
"""

import itertools
import json
from pathlib import Path
from typing import TypedDict

from blake3 import blake3

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors" / "forward_pass.json"
SHIPPED = ROOT / "miner" / "vectors.json"


class Row(TypedDict):
    index: int
    input: str
    output: str


class Vector(TypedDict):
    class_id: int
    width: int
    depth: int
    rows_per_leaf: int
    challenge: str
    provider: str
    weights_hash: str
    """Unkeyed BLAKE3 of all weights as two's complement bytes, in stream order."""
    rows: list[Row]
    leaf_position: int
    leaf: str


# class id, width, depth, rows per leaf, position of the leaf, and whether miners carry it along.
CASES = (
    (1, 64, 1, 1, 0, True),
    (2, 64, 3, 4, 5, True),
    (3, 128, 2, 3, 1_000_003, False),
    (4, 256, 4, 4, 16_777_215, True),
    (5, 576, 2, 2, 77, False),
    (6, 1024, 8, 2, 12_345, True),
    (4_294_967_295, 16_384, 1, 1, 9, False),
)


def stream(purpose: str, seed: bytes, length: int, offset: int) -> list[int]:
    """The 6-bit signed values of a BLAKE3 output stream whose key names its purpose."""
    key = blake3(f"loopin/{purpose}/1".encode()).digest()
    octets = blake3(seed, key=key).digest(length=length, seek=offset)
    return [octet % 64 - 32 for octet in octets]


def to_bytes(values: list[int]) -> bytes:
    return bytes(value % 256 for value in values)


def multiply(row: list[int], weights: list[int], columns: int) -> list[int]:
    """One row through one layer: exact sums, then six of their bits."""
    sums = [0] * columns
    for index, value in enumerate(row):
        start = index * columns
        sums = [
            total + value * weight
            for total, weight in zip(sums, weights[start : start + columns], strict=True)
        ]
    # Floor division and modulo of Python's integers are an arithmetic shift and a mask.
    return [total // 64 % 64 - 32 for total in sums]


def make_layers(class_id: int, width: int, depth: int, challenge: bytes) -> list[list[int]]:
    dimensions = [64, *[width] * depth, 64]
    seed = challenge + class_id.to_bytes(4, "big")
    layers = []
    offset = 0
    for inputs, outputs in itertools.pairwise(dimensions):
        layers.append(stream("forward pass weights", seed, inputs * outputs, offset))
        offset += inputs * outputs
    return layers


def make_vector(class_id: int, width: int, depth: int, rows_per_leaf: int, leaf: int) -> Vector:
    challenge = blake3(b"challenge of class %d" % class_id).digest()
    provider = blake3(b"provider of class %d" % class_id).digest()
    layers = make_layers(class_id, width, depth, challenge)
    dimensions = [64, *[width] * depth, 64]
    seed = challenge + class_id.to_bytes(4, "big") + provider
    rows: list[Row] = []
    outputs = b""
    for index in range(leaf * rows_per_leaf, (leaf + 1) * rows_per_leaf):
        start = row = stream("forward pass input", seed, 64, 64 * index)
        for layer, columns in zip(layers, dimensions[1:], strict=True):
            row = multiply(row, layer, columns)
        rows.append({"index": index, "input": to_bytes(start).hex(), "output": to_bytes(row).hex()})
        outputs += to_bytes(row)
    key = blake3(b"loopin/forward pass leaf/1").digest()
    return {
        "class_id": class_id,
        "width": width,
        "depth": depth,
        "rows_per_leaf": rows_per_leaf,
        "challenge": challenge.hex(),
        "provider": provider.hex(),
        "weights_hash": blake3(b"".join(map(to_bytes, layers))).hexdigest(),
        "rows": rows,
        "leaf_position": leaf,
        "leaf": blake3(outputs, key=key).hexdigest(),
    }


def main() -> None:
    vectors = [(make_vector(*case), is_shipped) for *case, is_shipped in CASES]
    comment = "made by: python -m tests.runtime.pocps.reference_forward_pass"
    for path, chosen in (
        (VECTORS, [vector for vector, _ in vectors]),
        (SHIPPED, [vector for vector, is_shipped in vectors if is_shipped]),
    ):
        path.write_text(json.dumps({"comment": comment, "vectors": chosen}, indent=1) + "\n")


if __name__ == "__main__":
    main()
