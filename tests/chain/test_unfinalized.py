"""States above the finalized one, beside plain dictionaries."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.unfinalized import TooManyUnfinalized, Unfinalized, UnknownState
from primitives.types import Digest

State = dict[bytes, bytes]
Writes = dict[bytes, bytes | None]


class Finalized:
    """A finalized state in a dictionary."""

    def __init__(self, values: State) -> None:
        self.values = dict(values)

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.values):
            if key.startswith(prefix):
                yield key, self.values[key]

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        later = [key for key, _ in self.items(prefix) if not start or key > start]
        return later[:count]


def merged(state: State, writes: Writes) -> State:
    both: Writes = {**state, **writes}
    return {key: value for key, value in both.items() if value is not None}


def block(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def test_later_writes_hide_earlier_ones_and_the_finalized_state() -> None:
    unfinalized = Unfinalized(Finalized({b"a": b"0", b"b": b"0", b"c": b"0"}), block(0))
    unfinalized.add(block(1), parent=block(0), writes={b"a": b"1", b"b": None})
    unfinalized.add(block(2), parent=block(1), writes={b"a": b"2", b"d": b"2"})
    unfinalized.add(block(3), parent=block(1), writes={b"b": b"3"})

    assert dict(unfinalized.state_after(block(0)).items()) == {b"a": b"0", b"b": b"0", b"c": b"0"}
    assert dict(unfinalized.state_after(block(2)).items()) == {b"a": b"2", b"c": b"0", b"d": b"2"}
    assert unfinalized.state_after(block(3)).get(b"b") == b"3"
    assert unfinalized.state_after(block(3)).get(b"a") == b"1"
    assert unfinalized.state_after(block(2)).get(b"b") is None


def test_finalizing_drops_the_other_branches_and_keeps_what_is_above() -> None:
    unfinalized = Unfinalized(Finalized({}), block(0))
    writes: Writes = {b"a": b"1"}
    unfinalized.add(block(1), parent=block(0), writes=writes)
    unfinalized.add(block(2), parent=block(0), writes={b"a": b"2"})
    unfinalized.add(block(3), parent=block(2), writes={b"b": b"3"})
    unfinalized.add(block(4), parent=block(1), writes={b"b": b"4"})
    view, lost = unfinalized.state_after(block(4)), unfinalized.state_after(block(3))

    abandoned = unfinalized.finalize(block(1), Finalized(merged({}, writes)))

    assert abandoned == [block(2), block(3)]
    assert unfinalized.final_hash == block(1)
    assert len(unfinalized) == 1
    assert block(4) in unfinalized
    assert (view.get(b"a"), view.get(b"b")) == (b"1", b"4")
    with pytest.raises(UnknownState):
        lost.get(b"a")
    with pytest.raises(UnknownState):
        unfinalized.state_after(block(2))


def test_view_of_an_overtaken_final_block_refuses_to_answer() -> None:
    unfinalized = Unfinalized(Finalized({b"a": b"0"}), block(0))
    view = unfinalized.state_after(block(0))
    unfinalized.add(block(1), parent=block(0), writes={b"a": b"1"})
    assert view.get(b"a") == b"0"

    unfinalized.finalize(block(1), Finalized({b"a": b"1"}))

    with pytest.raises(UnknownState):
        view.get(b"a")
    with pytest.raises(UnknownState):
        list(view.items())
    with pytest.raises(UnknownState):
        view.keys_paged(b"", b"", 1)


def test_block_on_an_unknown_parent_is_refused() -> None:
    unfinalized = Unfinalized(Finalized({}), block(0))

    with pytest.raises(UnknownState):
        unfinalized.add(block(2), parent=block(1), writes={})


def test_number_of_waiting_blocks_is_bounded() -> None:
    unfinalized = Unfinalized(Finalized({}), block(0), blocks_max=2)
    unfinalized.add(block(1), parent=block(0), writes={})
    unfinalized.add(block(2), parent=block(1), writes={})
    unfinalized.add(block(2), parent=block(1), writes={})

    with pytest.raises(TooManyUnfinalized):
        unfinalized.add(block(3), parent=block(2), writes={})


def test_finalizing_out_of_order_is_our_bug() -> None:
    unfinalized = Unfinalized(Finalized({}), block(0))
    unfinalized.add(block(1), parent=block(0), writes={})
    unfinalized.add(block(2), parent=block(1), writes={})

    with pytest.raises(AssertionError):
        unfinalized.finalize(block(2), Finalized({}))


KEYS = st.integers(0, 1500).map(lambda number: b"%04d" % number)
WRITES = st.dictionaries(KEYS, st.one_of(st.none(), st.just(b"new")), max_size=60)


@settings(max_examples=60)
@given(st.integers(0, 1500), st.lists(WRITES, max_size=4), st.sampled_from([b"", b"0", b"12"]))
def test_items_and_pages_are_those_of_the_merged_state(
    count: int, layers: list[Writes], prefix: bytes
) -> None:
    state = {b"%04d" % number: b"old" for number in range(0, count, 2)}
    unfinalized = Unfinalized(Finalized(state), block(0))
    for number, writes in enumerate(layers, start=1):
        unfinalized.add(block(number), parent=block(number - 1), writes=writes)
        state = merged(state, writes)
    view = unfinalized.state_after(block(len(layers)))

    wanted = sorted(key for key in state if key.startswith(prefix))
    keys: list[bytes] = []
    while page := view.keys_paged(prefix, keys[-1] if keys else b"", 97):
        keys += page

    assert keys == wanted
    assert list(view.items(prefix)) == [(key, state[key]) for key in wanted]
