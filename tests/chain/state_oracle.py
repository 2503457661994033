"""The state tree as its definition says it, from a dict and with no memory: slow and obvious."""

from blake3 import blake3


def _key(purpose: str) -> bytes:
    return blake3(f"loopin/{purpose}/1".encode()).digest()


def _hash(purpose: str, data: bytes) -> bytes:
    return blake3(data, key=_key(purpose)).digest()


def root_of(state: dict[bytes, bytes]) -> bytes:
    """Return the state root of a map from storage key to value."""
    entries = {_hash("state key", key): _hash("state value", state[key]) for key in state}
    return root_of_entries(entries)


def root_of_entries(entries: dict[bytes, bytes]) -> bytes:
    """Return the state root of a map from key hash to value hash."""
    return _subtree({key_hash.hex(): entries[key_hash] for key_hash in entries}, "")


def _subtree(entries: dict[str, bytes], prefix: str) -> bytes:
    inside = {key: value for key, value in entries.items() if key.startswith(prefix)}
    if not inside:
        return bytes(32)
    if len(inside) <= 16:
        bucket = b"".join(bytes.fromhex(key) + inside[key] for key in sorted(inside))
        return _hash("state leaf", bucket)
    children = [_subtree(inside, prefix + nibble) for nibble in "0123456789abcdef"]
    quads = [_hash("state node", b"".join(children[at : at + 4])) for at in (0, 4, 8, 12)]
    return _hash("state node", b"".join(quads))
