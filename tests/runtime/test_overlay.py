"""The overlay against a plain dictionary with copies for transactions."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain.slices import run_slices
from runtime.overlay import DictState, Overlay


@contextmanager
def transaction(overlay: Overlay) -> Iterator[None]:
    """Keep the writes of a ``with`` block unless an exception leaves it."""
    mark = overlay.open_transaction()
    try:
        yield
    except KeyError:
        overlay.close_transaction(mark, keep=False)
        raise
    overlay.close_transaction(mark, keep=True)


BELOW = {b"a": b"1", b"ab": b"2", b"b": b"3", b"c:1": b"4"}
keys = st.sampled_from([b"a", b"ab", b"abc", b"b", b"c:1", b"c:2", b"d"])
values = st.sampled_from([b"", b"1", b"2", b"long" * 9])


class OverlayBesideDict(RuleBasedStateMachine):
    """Every operation on both; a transaction is a copy of the dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.below = DictState(BELOW)
        self.overlay = Overlay(self.below)
        self.model = dict(BELOW)
        self.saved: list[tuple[int, dict[bytes, bytes]]] = []

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.overlay.put(key, value)
        self.model[key] = value

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.overlay.delete(key)
        self.model.pop(key, None)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.overlay.get(key) == self.model.get(key)

    @rule(prefix=st.sampled_from([b"", b"a", b"c:", b"x"]))
    def walk(self, prefix: bytes) -> None:
        expected = sorted(item for item in self.model.items() if item[0].startswith(prefix))
        assert list(self.overlay.items(prefix)) == expected

    @precondition(lambda self: len(self.saved) < 4)
    @rule()
    def open(self) -> None:
        self.saved.append((self.overlay.open_transaction(), dict(self.model)))

    @precondition(lambda self: self.saved)
    @rule(keep=st.booleans())
    def close(self, keep: bool) -> None:
        mark, before = self.saved.pop()
        self.overlay.close_transaction(mark, keep=keep)
        if not keep:
            self.model = before

    @invariant()
    def the_state_below_is_untouched(self) -> None:
        assert self.below.values == BELOW

    @invariant()
    def the_writes_lead_to_the_model(self) -> None:
        writes, replaced = run_slices(self.overlay.changes())
        state = DictState(BELOW)
        state.apply(writes)
        assert state.values == self.model
        assert list(writes) == sorted(writes)
        assert all(BELOW.get(key) != value for key, value in writes.items())
        assert replaced == {key: BELOW.get(key) for key in writes}


OverlayBesideDict.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
test_the_overlay_behaves_as_a_dictionary = OverlayBesideDict.TestCase


def test_an_exception_undoes_its_transaction_and_none_around_it() -> None:
    overlay = Overlay(DictState())

    with transaction(overlay):
        overlay.put(b"outer", b"1")
        with suppress(KeyError), transaction(overlay):
            overlay.put(b"outer", b"2")
            overlay.put(b"inner", b"3")
            raise KeyError

    assert overlay.writes == {b"outer": b"1"}


def test_a_kept_transaction_is_undone_with_the_one_around_it() -> None:
    overlay = Overlay(DictState({b"x": b"0"}))

    with suppress(KeyError), transaction(overlay):
        with transaction(overlay):
            overlay.delete(b"x")
            overlay.put(b"y", b"1")
        raise KeyError

    assert overlay.writes == {}
    assert overlay.get(b"x") == b"0"


def test_writing_what_is_there_already_changes_nothing() -> None:
    overlay = Overlay(DictState({b"x": b"0"}))

    overlay.put(b"x", b"0")
    overlay.delete(b"absent")
    overlay.put(b"new", b"1")
    overlay.delete(b"new")

    assert run_slices(overlay.changes()) == ({}, {})


def test_each_key_is_read_from_below_once() -> None:
    asked: list[bytes] = []

    class Counting(DictState):
        def get(self, key: bytes) -> bytes | None:
            asked.append(key)
            return super().get(key)

    overlay = Overlay(Counting({b"x": b"0"}))
    for _ in range(3):
        overlay.get(b"x")
        overlay.get(b"missing")
    overlay.put(b"x", b"1")
    run_slices(overlay.changes())

    assert asked == [b"x", b"missing"]
