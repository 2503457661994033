"""Challenge, sampled positions and sealed chunks as the document words them, shared with nobody.

``python -m tests.runtime.pocps.reference_proof`` writes the frozen vectors anew.
"""

import json
from pathlib import Path

from blake3 import blake3

VECTORS = Path(__file__).parents[3] / "tests" / "vectors" / "pocps.json"


def keyed(purpose: str, data: bytes, length: int = 32, offset: int = 0) -> bytes:
    key = blake3(f"loopin/{purpose}/1".encode()).digest()
    return blake3(data, key=key).digest(length=length, seek=offset)


def challenge(beacon: bytes) -> bytes:
    return keyed("pocps challenge", beacon)


def positions(
    *, beacon: bytes, class_id: int, provider: bytes, root: bytes, leaves: int, samples: int
) -> list[int]:
    seed = beacon + class_id.to_bytes(4, "big") + provider + root
    drawn = [
        int.from_bytes(keyed("pocps sample", seed, 16, 16 * draw), "big") % leaves
        for draw in range(samples)
    ]
    return sorted(set(drawn))


def seal(*, class_id: int, provider: bytes, position: int, labels: int, passes: int) -> bytes:
    """Seal a chunk with every pass kept, so that nothing depends on what is overwritten when."""
    seed = class_id.to_bytes(4, "big") + provider + position.to_bytes(8, "big")
    kept = [[keyed("storage seal", seed, 32, 32 * i) for i in range(labels)]]
    for _ in range(passes):
        old, new = kept[-1], list[bytes]()
        for i in range(labels):
            left = new[i - 1] if i else old[-1]
            j = int.from_bytes(left[:4], "big") % labels
            third = new[j] if j < i else old[j]
            new.append(keyed("storage label", left + old[i] + third))
        kept.append(new)
    return b"".join(kept[-1])


def storage_leaf(challenge_: bytes, chunk: bytes) -> bytes:
    return blake3(chunk, key=keyed("storage leaf", challenge_)).digest()


def make_vectors() -> dict[str, object]:
    beacon, provider, root = (blake3(word).digest() for word in (b"beacon", b"provider", b"root"))
    samples = []
    for units, leaves_per_unit, count in ((1, 4, 5), (50, 4, 16), (10_000, 64, 16)):
        samples.append({
            "beacon": beacon.hex(),
            "class_id": 7,
            "provider": provider.hex(),
            "root": root.hex(),
            "units": units,
            "leaves_per_unit": leaves_per_unit,
            "samples": count,
            "positions": positions(
                beacon=beacon,
                class_id=7,
                provider=provider,
                root=root,
                leaves=units * leaves_per_unit,
                samples=count,
            ),
        })  # fmt: skip
    chunks = []
    for labels, passes, position in ((2, 1, 0), (4, 3, 5), (32, 16, 16_777_215), (80, 2, 1)):
        chunk = seal(class_id=8, provider=provider, position=position, labels=labels, passes=passes)
        chunks.append({
            "class_id": 8,
            "provider": provider.hex(),
            "position": position,
            "labels_per_chunk": labels,
            "passes": passes,
            "chunk_hash": blake3(chunk).hexdigest(),
            "leaf": storage_leaf(challenge(beacon), chunk).hex(),
        })  # fmt: skip
    return {
        "comment": "made by: python -m tests.runtime.pocps.reference_proof",
        "challenge": {"beacon": beacon.hex(), "challenge": challenge(beacon).hex()},
        "samples": samples,
        "chunks": chunks,
    }


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(make_vectors(), indent=1) + "\n")
