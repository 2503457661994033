"""The cache answers as the state below does, whatever was read and written."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from chain.state_cache import VALUE_BYTES_MAX, StateCache

State = dict[bytes, bytes]


class Counted:
    """A state that counts how often it is asked."""

    def __init__(self, values: State) -> None:
        self.values = values
        self.asked = 0

    def get(self, key: bytes) -> bytes | None:
        self.asked += 1
        return self.values.get(key)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, self.values[key]) for key in sorted(self.values) if key.startswith(prefix))

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        return [key for key, _ in self.items(prefix) if not start or key > start][:count]


KEYS = st.integers(0, 30).map(lambda number: b"%d" % number)
VALUES = st.one_of(st.none(), st.binary(max_size=3), st.just(bytes(VALUE_BYTES_MAX + 1)))
STEPS = st.lists(st.one_of(KEYS, st.dictionaries(KEYS, VALUES, max_size=20)), max_size=40)


@given(steps=STEPS, values_max=st.integers(0, 40))
def test_cache_answers_as_the_state_below(
    steps: list[bytes | dict[bytes, bytes | None]], values_max: int
) -> None:
    state: State = {b"%d" % number: b"old" for number in range(0, 30, 2)}
    cache = StateCache(Counted(state), values_max=values_max)
    for step in steps:
        if isinstance(step, bytes):
            assert cache.get(step) == state.get(step)
        else:
            merged: dict[bytes, bytes | None] = {**state, **step}
            state = {key: value for key, value in merged.items() if value is not None}
            cache.advance(Counted(state), step)
        assert len(cache) <= values_max
    for key in (b"%d" % number for number in range(31)):
        assert cache.get(key) == state.get(key)
    assert dict(cache.items(b"1")) == {k: v for k, v in state.items() if k.startswith(b"1")}
    assert cache.keys_paged(b"", b"1", 5) == [key for key in sorted(state) if key > b"1"][:5]


def test_what_was_read_or_written_is_not_asked_for_again() -> None:
    below = Counted({b"a": b"1"})
    cache = StateCache(below)

    assert [cache.get(b"a"), cache.get(b"a"), cache.get(b"b"), cache.get(b"b")] == [
        b"1",
        b"1",
        None,
        None,
    ]
    assert below.asked == 2
    after = Counted({b"a": b"2"})
    cache.advance(after, {b"a": b"2"})
    assert cache.get(b"a") == b"2"
    assert after.asked == 0


def test_large_values_are_left_to_the_database() -> None:
    below = Counted({b"large": bytes(VALUE_BYTES_MAX + 1)})
    cache = StateCache(below)

    cache.get(b"large")
    cache.advance(below, {b"large": bytes(VALUE_BYTES_MAX + 1)})

    assert len(cache) == 0
    assert cache.get(b"large") == bytes(VALUE_BYTES_MAX + 1)
