"""The commitment to the whole state: a canonical radix tree, held in memory and never on disk.

``chain/state_proof.py`` defines the tree. Here its upper levels are flat byte arrays, four
hashes to a group, and below level ``depth`` every slot has one page. How many levels are flat
follows the number of entries and is no part of consensus. An update walks no node objects: it
changes pages, then hashes the groups above them, row by row.

Invariants: the root depends on the entries only; an update happens as a whole or not at all,
and until it is done every read still answers for the root before it. The versions of the last
blocks stay provable because each update keeps the groups and pages that it replaced.
"""

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from chain.state_layout import Layout, Replaced, built_layout, relaid
from chain.state_page import KeyChanges, find_value
from chain.state_proof import STATE_PROOF, hash_key, hash_value
from chain.state_view import TreeView
from primitives.errors import LoopinError
from primitives.types import Digest

SLICE_KEYS = 128
"""Keys, or hashes, handled between two yields: about a millisecond."""
VERSIONS_MAX = 16
VERSION_KEYS_MAX = 65_536
"""Keys changed in all kept versions together; bounds their memory to some 80 MB."""


_Result = TypeVar("_Result")


class VersionNotKept(LoopinError):
    """No version with this root can be read any more, or none ever could."""


@dataclass(frozen=True, slots=True)
class Undo:
    """What takes one update back."""

    root_before: Digest
    root_after: Digest
    changes: KeyChanges = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Version:
    root: Digest
    """The root of the tree before ``replaced`` was replaced."""
    replaced: Replaced
    keys: int


class StateTree:
    """The state tree of one node, always at one version, with a few earlier ones provable."""

    def __init__(
        self, *, versions_max: int = VERSIONS_MAX, version_keys_max: int = VERSION_KEYS_MAX
    ) -> None:
        self._layout: Layout = built_layout([])
        self._versions: deque[_Version] = deque()
        self._versions_max = versions_max
        self._version_keys_max = version_keys_max
        self._unfinished: Replaced | None = None

    @classmethod
    def load(
        cls,
        state: Iterable[tuple[bytes, bytes]],
        *,
        versions_max: int = VERSIONS_MAX,
        version_keys_max: int = VERSION_KEYS_MAX,
    ) -> "StateTree":
        """Return the tree of all (storage key, value) pairs; keys must be unique, in any order."""
        tree = cls(versions_max=versions_max, version_keys_max=version_keys_max)
        tree._layout = built_layout(hash_key(key) + hash_value(value) for key, value in state)
        return tree

    @property
    def root(self) -> Digest:
        return self._layout.root

    def __len__(self) -> int:
        return self._layout.count

    @property
    def flat_depth(self) -> int:
        """How many levels are flat arrays: memory layout only, for metrics and tests."""
        return self._layout.depth

    def update(self, writes: Mapping[bytes, bytes | None]) -> Undo:
        """Write values, or delete where the value is None, and return what takes it back."""
        return _exhaust(self.update_in_slices(writes))

    def update_in_slices(self, writes: Mapping[bytes, bytes | None]) -> Generator[None, None, Undo]:
        """Do an ``update`` that yields about every millisecond; the result is the ``Undo``.

        Closing the generator before its end leaves the tree as it was. One at a time.
        """
        yield from self._relay()
        changes: KeyChanges = {}
        for number, (key, value) in enumerate(writes.items(), start=1):
            changes[hash_key(key)] = None if value is None else hash_value(value)
            if number % SLICE_KEYS == 0:
                yield
        yield from self._make_room(len(changes))
        root_before = self.root
        undo, replaced = yield from self._change(changes)
        self._keep_version(_Version(root_before, replaced, len(undo)))
        return Undo(root_before, self.root, undo)

    def revert(self, undo: Undo) -> None:
        """Take back the latest update that has not been taken back."""
        _exhaust(self.revert_in_slices(undo))

    def revert_in_slices(self, undo: Undo) -> Generator[None, None, None]:
        """Do a ``revert`` that yields about every millisecond; all or nothing as well."""
        assert undo.root_after == self.root, "updates are taken back latest first"
        if undo.root_before == self.root:
            return
        yield from self._change(undo.changes)
        if self._versions:
            self._versions.pop()
        assert undo.root_before == self.root, "the undo record is not of this tree"

    def get(self, key: bytes) -> Digest | None:
        """Return the hash of the value under ``key``, or None."""
        key_hash = hash_key(key)
        view = self._view(self.root)
        found = find_value(view.page(view.slot_of(key_hash)), key_hash, view.depth)
        return None if found is None else Digest(found)

    def is_provable(self, root: Digest) -> bool:
        """Return whether ``prove`` can answer for ``root``."""
        return root == self.root or any(version.root == root for version in self._versions)

    def prove(self, key: bytes, root: Digest | None = None) -> bytes:
        """Return the proof of what ``key`` holds now, or held when the root was ``root``.

        Costs the same for every version. Raises: VersionNotKept.
        """
        proof = self._view(self.root if root is None else root).prove(hash_key(key))
        return STATE_PROOF.encode(proof)

    def _view(self, root: Digest) -> TreeView:
        """Return the reading of the version with ``root``."""
        newer = [] if self._unfinished is None else [self._unfinished]
        if root == self.root:
            return TreeView(self._layout, newer)
        for version in reversed(self._versions):
            newer.insert(0, version.replaced)
            if version.root == root:
                return TreeView(self._layout, newer)
        raise VersionNotKept(f"no version with state root {root.hex()} is kept")

    def _make_room(self, keys: int) -> Generator[None, None, None]:
        """Forget the oldest versions, so that one of ``keys`` keys may be kept; yields.

        Before the update rather than after it: giving back their memory takes milliseconds.
        """
        kept = sum(version.keys for version in self._versions) + keys
        while self._versions and (
            len(self._versions) >= self._versions_max or kept > self._version_keys_max
        ):
            kept -= self._versions.popleft().keys
            yield

    def _keep_version(self, version: _Version) -> None:
        if version.root == self.root:
            return
        if self._versions_max and version.keys <= self._version_keys_max:
            self._versions.append(version)
        else:
            # Versions before this one cannot be read without it.
            self._versions.clear()

    def _change(self, changes: KeyChanges) -> Generator[None, None, tuple[KeyChanges, Replaced]]:
        """Bring the tree to a new version; return the earlier values and the earlier nodes."""
        assert self._unfinished is None, "an update is under way"
        layout = self._layout
        replaced = self._unfinished = Replaced.nothing(layout.depth)
        try:
            undo = yield from self._change_pages(changes, replaced)
            root = yield from self._hash_rows(replaced)
        except BaseException:
            layout.restore(replaced)
            self._unfinished = None
            raise
        layout.root = root
        self._unfinished = None
        return undo, replaced

    def _change_pages(
        self, changes: KeyChanges, replaced: Replaced
    ) -> Generator[None, None, KeyChanges]:
        layout = self._layout
        undo: KeyChanges = {}
        # In order of key hash, what belongs to one slot is together, and neighbours in memory
        # are changed one after the other.
        key_hashes = sorted(changes)
        yield
        slots = [layout.slot_of(key_hash) for key_hash in key_hashes]
        yield
        start, count = 0, len(key_hashes)
        pause = SLICE_KEYS
        while start < count:
            slot, stop = slots[start], start + 1
            while stop < count and slots[stop] == slot and stop - start < SLICE_KEYS:
                stop += 1
            here = [(key_hash, changes[key_hash]) for key_hash in key_hashes[start:stop]]
            layout.change_slot(slot, here, undo, replaced)
            start = stop
            if start >= pause:
                pause = start + SLICE_KEYS
                yield
        return undo

    def _hash_rows(self, replaced: Replaced) -> Generator[None, None, Digest]:
        """Hash every group above a replaced page, lowest row first; return the root."""
        layout = self._layout
        for row in range(2 * layout.depth, 1, -1):
            groups = list(replaced.groups[row])
            for start in range(0, len(groups), SLICE_KEYS):
                layout.hash_groups(row, groups[start : start + SLICE_KEYS], replaced)
                yield
        return layout.hash_top()

    def _relay(self) -> Generator[None, None, None]:
        """Change the number of flat levels when the number of entries asks for it.

        This comes before an update and not after it, so that an update has no way to end half
        way once its root is set. A new layout cannot be read through nodes kept of the old one,
        so proofs for earlier roots start anew; it happens when the state has grown or shrunk
        about sixteenfold.
        """
        while (depth := self._layout.wanted_depth()) != self._layout.depth:
            assert self._unfinished is None, "an update is under way"
            self._layout = yield from relaid(self._layout, deeper=depth > self._layout.depth)
            self._versions.clear()


def _exhaust(slices: Generator[None, None, _Result]) -> _Result:
    while True:
        try:
            next(slices)
        except StopIteration as stop:
            result: _Result = stop.value
            return result
