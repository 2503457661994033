"""The fast tree against the slow one, and its promises about undoing, slices and versions."""

import random
from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain import state_layout, state_page, state_proof
from chain.state_proof import hash_key, hash_value, verify_proof
from chain.state_tree import StateTree, Undo, VersionNotKept
from primitives.crypto import keyed_hash
from primitives.types import Digest
from tests.chain.state_oracle import root_of, root_of_entries

Writes = dict[bytes, bytes | None]

KEYS = [b"balances.free:" + number.to_bytes(2, "big") for number in range(600)]


def apply(state: dict[bytes, bytes], writes: Writes) -> dict[bytes, bytes]:
    merged: Writes = {**state, **writes}
    return {key: value for key, value in merged.items() if value is not None}


def numbered(count: int, start: int = 0) -> Writes:
    return {b"k%d" % number: b"v%d" % number for number in range(start, start + count)}


def run(slices: Generator[None, None, Undo]) -> tuple[Undo, int]:
    yields = 0
    while True:
        try:
            next(slices)
        except StopIteration as stop:
            undo: Undo = stop.value
            return undo, yields
        yields += 1


def test_empty_tree_has_the_empty_root() -> None:
    tree = StateTree()

    assert tree.root == bytes(32)
    assert len(tree) == 0
    assert verify_proof(tree.root, b"anything", tree.prove(b"anything")) is None


@pytest.mark.parametrize("count", [1, 15, 16, 17, 24, 25, 300, 384, 385, 1500, 6200])
def test_root_is_the_oracles_at_every_size(count: int) -> None:
    state = apply({}, numbered(count))
    tree = StateTree()

    tree.update(numbered(count))

    assert tree.root == root_of(state)
    assert tree.root == StateTree.load(state.items()).root
    assert len(tree) == count


def test_root_forgets_the_history_while_the_layout_grows_and_shrinks() -> None:
    tree, state = StateTree(), dict[bytes, bytes]()
    depths = set()
    rng = random.Random(7)
    for size in (10, 200, 1000, 5000, 7000, 4000, 300, 90, 20, 3, 0):
        adding = {b"k%d" % rng.randrange(10**9): b"v" for _ in range(max(0, size - len(state)))}
        removed = rng.sample(sorted(state), max(0, len(state) - size))
        writes: Writes = {**adding, **dict.fromkeys(removed)}
        tree.update(writes)
        state = apply(state, writes)
        depths.add(tree.flat_depth)

        assert tree.root == root_of(state)

    assert depths >= {0, 1, 2, 3}


def test_reverting_restores_root_and_values_across_a_change_of_layout() -> None:
    tree = StateTree()
    first = tree.update(numbered(20))
    root = tree.root
    second = tree.update({**numbered(8000, 10), b"k1": None})
    third = tree.update(numbered(1, 9000))
    assert tree.flat_depth > 0

    tree.revert(third)
    tree.revert(second)

    assert tree.root == root
    assert tree.get(b"k1") == hash_value(b"v1")
    assert tree.get(b"k500") is None
    tree.revert(first)
    assert tree.root == bytes(32)


def test_undo_of_another_tree_is_our_bug() -> None:
    tree = StateTree()
    undo = tree.update(numbered(3))
    tree.update(numbered(3, 3))

    with pytest.raises(AssertionError):
        tree.revert(undo)


def test_update_in_slices_equals_an_update_and_yields_often() -> None:
    tree = StateTree()
    tree.update(numbered(3000))
    whole = StateTree()
    whole.update(numbered(3000))

    undo, yields = run(tree.update_in_slices(numbered(3000, 1500)))

    assert undo == whole.update(numbered(3000, 1500))
    assert tree.root == whole.root
    assert yields > 20


@pytest.mark.parametrize("steps", [0, 1, 12, 23, 25, 26, 30, 40, 48])
def test_abandoned_update_leaves_the_tree_as_it_was(steps: int) -> None:
    tree = StateTree()
    tree.update(numbered(3000))
    root, count = tree.root, len(tree)

    slices = tree.update_in_slices({**numbered(3000, 1500), b"k0": None})
    for _ in range(steps):
        next(slices)
    slices.close()

    assert (tree.root, len(tree)) == (root, count)
    assert verify_proof(root, b"k0", tree.prove(b"k0")) == hash_value(b"v0")
    tree.update({b"k0": None})
    assert tree.root == root_of(apply({}, {**numbered(3000), b"k0": None}))


def test_reads_between_two_slices_are_those_before_the_update() -> None:
    tree = StateTree()
    tree.update(numbered(3000))
    root = tree.root
    writes: Writes = {**numbered(3000, 3000), **dict.fromkeys(numbered(1000))}

    for _ in tree.update_in_slices(writes):
        if tree.root != root:
            break
        for key, value in ((b"k5", hash_value(b"v5")), (b"k4000", None)):
            assert tree.get(key) == value
            assert verify_proof(root, key, tree.prove(key)) == value

    assert tree.root != root


def test_two_updates_at_once_are_our_bug() -> None:
    tree = StateTree.load(apply({}, numbered(3000)).items())
    slices = tree.update_in_slices(numbered(3000, 10))
    for _ in range(28):
        next(slices)

    with pytest.raises(AssertionError):
        tree.update(numbered(1))


def test_last_versions_stay_provable_and_older_ones_are_refused() -> None:
    tree = StateTree(versions_max=4)
    tree.update(numbered(2000))
    states = [apply({}, numbered(2000))]
    roots = [tree.root]
    rng = random.Random(3)
    for block in range(8):
        writes: Writes = {b"k%d" % rng.randrange(2500): b"block %d" % block for _ in range(200)}
        writes.update({b"k%d" % rng.randrange(2500): None for _ in range(100)})
        tree.update(writes)
        states.append(apply(states[-1], writes))
        roots.append(tree.root)

    for root, state in list(zip(roots, states, strict=True))[-5:]:
        for number in range(0, 2600, 13):
            key = b"k%d" % number
            value = state.get(key)
            wanted = None if value is None else hash_value(value)
            assert verify_proof(root, key, tree.prove(key, root)) == wanted
    for root in roots[:-5]:
        assert not tree.is_provable(root)
        with pytest.raises(VersionNotKept):
            tree.prove(b"k1", root)


def test_versions_are_bounded_by_the_keys_they_keep() -> None:
    tree = StateTree(versions_max=100, version_keys_max=500)
    roots = []
    for block in range(10):
        roots.append(tree.root)
        tree.update(numbered(200, 200 * block))

    assert not tree.is_provable(roots[-3])
    assert tree.is_provable(roots[-1])


def test_update_too_large_to_keep_ends_the_versions_before_it() -> None:
    tree = StateTree(version_keys_max=100)
    tree.update(numbered(50))
    first = tree.root
    tree.update(numbered(50, 50))
    assert tree.is_provable(first)

    tree.update(numbered(150, 100))

    assert not tree.is_provable(first)
    assert tree.is_provable(tree.root)


def test_reverted_version_is_no_longer_provable() -> None:
    tree = StateTree()
    tree.update(numbered(50))
    before = tree.root
    undo = tree.update(numbered(50, 50))
    abandoned = tree.root

    tree.revert(undo)

    assert tree.is_provable(before)
    assert not tree.is_provable(abandoned)


def test_reverting_an_update_that_changed_nothing_keeps_the_versions() -> None:
    tree = StateTree()
    tree.update(numbered(50))
    first = tree.root
    tree.update({b"k1": b"other"})
    second = tree.root
    tree.update({b"k2": b"other"})
    nothing = tree.update({b"k2": b"other", b"absent": None})

    tree.revert(nothing)

    for root, key, value in ((first, b"k1", b"v1"), (second, b"k2", b"v2")):
        assert verify_proof(root, key, tree.prove(key, root)) == hash_value(value)


def ground_keys(count: int, nibbles: int) -> dict[bytes, bytes]:
    """Entries whose key hashes share a long prefix, as a grinder would want them."""
    rng = random.Random(11)
    prefix = bytes.fromhex("5" * nibbles)
    return {
        prefix + rng.randbytes(32 - len(prefix)): hash_value(number.to_bytes(4, "big"))
        for number in range(count)
    }


def test_keys_ground_into_one_slot_hash_as_the_definition_says() -> None:
    entries = ground_keys(400, 20)
    tree = tree_of_entries(entries)

    assert tree.root == root_of_entries(entries)


def test_ground_slot_outlives_every_change_of_layout() -> None:
    crowded = ground_keys(30, 6)
    rng = random.Random(5)
    others = {rng.randbytes(32): hash_value(b"other") for _ in range(7000)}
    tree = tree_of_entries({**crowded, **others})

    run(change_entries(tree, {}))
    grown = tree.flat_depth
    run(change_entries(tree, dict.fromkeys(list(others)[20:])))
    run(change_entries(tree, {}))

    kept = dict(list(others.items())[:20])
    assert (grown, tree.flat_depth) == (3, 1)
    assert tree.root == root_of_entries({**crowded, **kept})


def test_branch_becomes_a_bucket_with_its_seventeenth_entry_gone() -> None:
    entries = ground_keys(17, 8)
    tree = tree_of_entries(entries)
    gone = next(iter(entries))

    undo, _ = run(change_entries(tree, {gone: None}))

    del entries[gone]
    assert tree.root == root_of_entries(entries)
    tree.revert(undo)
    assert len(tree) == 17


def test_change_in_a_ground_slot_costs_its_depth_and_not_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowded, nibbles = ground_keys(20_000, 10), 10
    tree = tree_of_entries(crowded)
    run(change_entries(tree, {}))
    hashes = count_hashes(monkeypatch)

    key_hash = next(iter(crowded))
    undo, _ = run(change_entries(tree, {key_hash: hash_value(b"new")}))

    # Ten ground levels and about four for the crowd, at one bucket or three hashes a level.
    assert hashes() <= 3 * (nibbles + 5)
    assert len(undo.changes) == 1


def tree_of_entries(entries: dict[bytes, bytes]) -> StateTree:
    tree = StateTree()
    run(change_entries(tree, dict(entries)))
    return tree


def change_entries(
    tree: StateTree, changes: dict[bytes, bytes | None]
) -> Generator[None, None, Undo]:
    """Update by key hashes chosen at will, as if their preimages had been ground."""
    yield from tree._relay()
    before = tree.root
    undo, _ = yield from tree._change(changes)
    return Undo(before, tree.root, undo)


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> "Counter":
    return Counter(monkeypatch)


class Counter:
    """Counts the hashes that the tree takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        def counted(purpose: bytes, data: bytes) -> Digest:
            self.count += 1
            return keyed_hash(purpose, data)

        for module in (state_layout, state_page, state_proof):
            monkeypatch.setattr(module, "keyed_hash", counted)

    def __call__(self) -> int:
        return self.count


class History(RuleBasedStateMachine):
    """A random life of a tree beside a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = StateTree(versions_max=3)
        self.state: dict[bytes, bytes] = {}
        self.undos: list[tuple[Undo, dict[bytes, bytes]]] = []

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=40),
        value=st.one_of(st.none(), st.binary(max_size=40)),
    )
    def write(self, keys: list[bytes], value: bytes | None) -> None:
        self._update(dict.fromkeys(keys, value))

    @rule(first=st.integers(0, 500), count=st.integers(1, 100), value=st.binary(max_size=4))
    def write_many(self, first: int, count: int, value: bytes) -> None:
        self._update({key: value + key for key in KEYS[first : first + count]})

    @rule(first=st.integers(0, 500), count=st.integers(1, 600))
    def delete_many(self, first: int, count: int) -> None:
        self._update(dict.fromkeys(KEYS[first : first + count]))

    @precondition(lambda self: self.undos)
    @rule()
    def revert(self) -> None:
        undo, self.state = self.undos.pop()
        self.tree.revert(undo)

    @rule(steps=st.integers(0, 4))
    def abandon(self, steps: int) -> None:
        slices = self.tree.update_in_slices(dict.fromkeys(KEYS, b"never"))
        for _ in range(steps):
            next(slices)
        slices.close()

    @rule(key=st.sampled_from([*KEYS, b"absent"]))
    def prove(self, key: bytes) -> None:
        value = self.state.get(key)
        wanted = None if value is None else hash_value(value)
        assert self.tree.get(key) == wanted
        assert verify_proof(self.tree.root, key, self.tree.prove(key)) == wanted

    @precondition(lambda self: self.undos)
    @rule(key=st.sampled_from(KEYS), back=st.integers(1, 5))
    def prove_earlier_version(self, key: bytes, back: int) -> None:
        undo, state = self.undos[-min(back, len(self.undos))]
        if self.tree.is_provable(undo.root_before):
            value = state.get(key)
            wanted = None if value is None else hash_value(value)
            proof = self.tree.prove(key, undo.root_before)
            assert verify_proof(undo.root_before, key, proof) == wanted

    @invariant()
    def root_is_the_oracles(self) -> None:
        assert self.tree.root == root_of(self.state)
        assert len(self.tree) == len(self.state)

    def _update(self, writes: Writes) -> None:
        self.undos.append((self.tree.update(writes), self.state))
        self.state = apply(self.state, writes)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.binary(max_size=3), st.binary(max_size=3), max_size=60), st.data())
def test_order_of_writes_does_not_matter(state: dict[bytes, bytes], data: st.DataObject) -> None:
    order = data.draw(st.permutations(sorted(state)))
    tree = StateTree()

    for key in order:
        tree.update({key: state[key]})

    assert tree.root == root_of(state)


def test_hash_key_of_a_known_key_is_frozen() -> None:
    assert hash_key(b"system.number").hex() == FROZEN_KEY_HASH
    assert StateTree.load([(b"system.number", b"\x01")]).root.hex() == FROZEN_ROOT


FROZEN_KEY_HASH = "f831595ba5dba029816508de941b877e9b7286835168e150d99f466b62183154"
FROZEN_ROOT = "9b2ec8fa0031e1b5407364d17968d9954f0fec227a6079e50e14169f0e5afc60"
