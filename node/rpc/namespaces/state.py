"""``state_*``: storage after a block, proofs of it, and what the runtime can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from chain.state_proof import hash_value
from node.rpc.backend import RuntimeVersion, StateBackend, StorageChanges
from node.rpc.errors import invalid_parameter
from node.rpc.feeds import NOTHING, Subscription
from node.rpc.json_codecs import Schema
from node.rpc.method import method, subscription
from node.rpc.slices import Slices
from primitives.types import Digest, Height, StorageKey

KEYS_PER_PAGE_MAX = 1000
PROOF_KEYS_MAX = 256


@dataclass(frozen=True, slots=True)
class StorageChangeSet:
    block: Digest
    changes: Sequence[Sequence[bytes | None]]
    """Pairs of a key and its value, null if it has none."""


@dataclass(frozen=True, slots=True)
class ReadProof:
    at: Digest
    proof: Sequence[bytes]
    """One for each key, in their order; each is checked against the block's state root."""


class State:
    """Storage."""

    def __init__(self, backend: StateBackend, buffer: int) -> None:
        """``buffer`` is how many blocks' changes wait for a slow subscriber."""
        self._backend = backend
        self._buffer = buffer

    @method("state_getStorage", aliases=("state_getStorageAt",))
    def get_storage(self, key: StorageKey, at: Digest | None = None) -> bytes | None:
        """Return the value of a key after a block, the best one if none is given."""
        return self._backend.storage(key, at)

    @method("state_getStorageHash", aliases=("state_getStorageHashAt",))
    def get_storage_hash(self, key: StorageKey, at: Digest | None = None) -> Digest | None:
        """Return the hash of a key's value, as the state tree holds it."""
        value = self._backend.storage(key, at)
        return None if value is None else hash_value(value)

    @method("state_getStorageSize", aliases=("state_getStorageSizeAt",))
    def get_storage_size(self, key: StorageKey, at: Digest | None = None) -> int | None:
        """Return the length of a key's value in bytes."""
        value = self._backend.storage(key, at)
        return None if value is None else len(value)

    @method("state_getKeysPaged", aliases=("state_getKeysPagedAt",))
    def get_keys_paged(
        self,
        prefix: bytes,
        count: Height,
        start_key: bytes | None = None,
        at: Digest | None = None,
    ) -> Sequence[StorageKey]:
        """Return up to ``count`` keys with a prefix, in order, beyond ``startKey``."""
        if count > KEYS_PER_PAGE_MAX:
            raise invalid_parameter("count", f"expected at most {KEYS_PER_PAGE_MAX}")
        return self._backend.keys(prefix, count, start_key or b"", at)

    @method("state_queryStorageAt")
    async def query_storage_at(
        self, keys: list[StorageKey], at: Digest | None = None
    ) -> Sequence[StorageChangeSet]:
        """Return the values of several keys after one block."""
        block = at or self._backend.best_hash()
        return [StorageChangeSet(block, await self._read(keys, block))]

    @method("state_getReadProof")
    async def get_read_proof(self, keys: list[StorageKey], at: Digest | None = None) -> ReadProof:
        """Return a proof for each key of what it holds after a block, or that it holds nothing."""
        if len(keys) > PROOF_KEYS_MAX:
            raise invalid_parameter("keys", f"expected at most {PROOF_KEYS_MAX} keys")
        block = at or self._backend.best_hash()
        slices = Slices()
        proofs: list[bytes] = []
        for key in keys:
            proofs.append(self._backend.prove(key, block))
            await slices.breathe()
        return ReadProof(block, proofs)

    @method("state_getRuntimeVersion", aliases=("chain_getRuntimeVersion",))
    def get_runtime_version(self, at: Digest | None = None) -> RuntimeVersion:
        """Return the version of the rules after a block; part of what extrinsics sign."""
        return self._backend.runtime_version(at)

    @method("state_getMetadata")
    def get_metadata(
        self, at: Digest | None = None
    ) -> Annotated[object, Schema({"type": "object", "title": "Metadata"})]:
        """Return every call, event, error and storage item with its types."""
        return self._backend.metadata(at)

    @method("state_call", aliases=("state_callAt",))
    async def call(self, name: str, data: bytes, at: Digest | None = None) -> bytes:
        """Run a read-only call of the runtime on the state after a block."""
        return await self._backend.call(name, data, at)

    @subscription(
        "state_subscribeStorage",
        notification="state_storage",
        unsubscribe="state_unsubscribeStorage",
    )
    async def subscribe_storage(self, keys: list[StorageKey]) -> Subscription[StorageChangeSet]:
        """Send the values of the keys, now and whenever a new best block changes one."""
        wanted = dict.fromkeys(keys)

        def view(news: StorageChanges) -> StorageChangeSet | object:
            changed = [[key, news.changes[key]] for key in wanted if key in news.changes]
            return StorageChangeSet(news.block, changed) if changed else NOTHING

        # Subscribed before the first read, so that no change falls between the two.
        feed = self._backend.storage_changes.subscribe(self._buffer)
        try:
            block = self._backend.best_hash()
            first = StorageChangeSet(block, await self._read(list(wanted), block))
        except BaseException:
            feed.close()
            raise
        return Subscription(feed, view, (first,))

    @subscription(
        "state_subscribeRuntimeVersion",
        notification="state_runtimeVersion",
        unsubscribe="state_unsubscribeRuntimeVersion",
        aliases=("chain_subscribeRuntimeVersion",),
        unsubscribe_aliases=("chain_unsubscribeRuntimeVersion",),
    )
    async def subscribe_runtime_version(self) -> Subscription[RuntimeVersion]:
        """Send the version of the rules, now and whenever it changes."""
        known = self._backend.runtime_version(None)

        def view(_: StorageChanges) -> RuntimeVersion | object:
            nonlocal known
            current = self._backend.runtime_version(None)
            if current == known:
                return NOTHING
            known = current
            return current

        return Subscription(self._backend.storage_changes.subscribe(self._buffer), view, (known,))

    async def _read(
        self, keys: Sequence[StorageKey], block: Digest
    ) -> Sequence[Sequence[bytes | None]]:
        slices = Slices()
        pairs: list[tuple[bytes | None, ...]] = []
        for key in keys:
            pairs.append((key, self._backend.storage(key, block)))
            await slices.breathe()
        return pairs
