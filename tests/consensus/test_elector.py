from collections import Counter

from consensus.simplex.elector import Elector
from primitives.types import Digest, View
from tests.consensus.bench_of_four import RANDOMNESS, table


def test_everybody_names_the_same_leader() -> None:
    first, second = Elector(table(), RANDOMNESS), Elector(table(), RANDOMNESS)

    leaders = [first.leader(View(view)) for view in range(1, 9)]

    assert leaders == [second.leader(View(view)) for view in range(1, 9)]
    assert leaders == [0, 1, 2, 1, 1, 2, 2, 3]


def test_other_randomness_gives_other_leaders() -> None:
    views = [View(view) for view in range(1, 50)]
    first, second = Elector(table(), RANDOMNESS), Elector(table(), Digest(bytes(32)))

    assert [first.leader(view) for view in views] != [second.leader(view) for view in views]


def test_leaders_are_drawn_by_weight() -> None:
    elector = Elector(table((1, 2, 3, 4)), RANDOMNESS)
    draws = 20_000

    counts = Counter(elector.leader(View(view)) for view in range(1, draws + 1))

    for position, weight in enumerate((1, 2, 3, 4)):
        expected = draws * weight // 10
        # Five standard deviations of a binomial draw are below 350.
        assert abs(counts[position] - expected) < 350


def test_silence_is_counted_until_a_word_is_heard() -> None:
    elector = Elector(table(), RANDOMNESS)
    assert elector.leader(View(2)) == elector.leader(View(4)) == 1

    elector.note_nullified(View(2))
    elector.note_nullified(View(4))
    silent = elector.silence(1)
    elector.hear(1, View(5))
    elector.note_nullified(View(5))

    assert silent == 2
    assert elector.silence(1) == 0
