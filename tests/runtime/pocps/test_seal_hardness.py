"""What it costs to keep less than a sealed chunk: hashes to make the rest again, counted exactly.

Rewriting a label is a node ``(pass, index)`` of a graph; a node needs its left neighbour, itself of
the pass before, and the third label that the neighbour chose. A cheat keeps any nodes it likes (and
is given the choices for free) and must then compute every node on which a missing one rests.
"""

from collections.abc import Callable, Iterable
from itertools import product
from random import Random

import pytest

from tests.runtime.pocps import reference_proof as reference

LABELS = 32
PASSES = 16
HASHES = LABELS * PASSES

Node = tuple[int, int]
Keep = Callable[[], Iterable[Node]]


def needed_nodes(position: int) -> dict[Node, tuple[Node, Node, Node]]:
    """The graph of one chunk; nodes of pass 0 come from the stream and cost nothing."""
    seed = (8).to_bytes(4, "big") + b"p" * 32 + position.to_bytes(8, "big")
    labels = [reference.keyed("storage seal", seed, 32, 32 * i) for i in range(LABELS)]
    needs = {}
    left, left_node = labels[-1], (0, LABELS - 1)
    for rewriting, i in product(range(1, PASSES + 1), range(LABELS)):
        j = int.from_bytes(left[:4], "big") % LABELS
        third = (rewriting if j < i else rewriting - 1, j)
        needs[rewriting, i] = (left_node, (rewriting - 1, i), third)
        left = reference.keyed("storage label", left + labels[i] + labels[j])
        labels[i] = left
        left_node = (rewriting, i)
    assert b"".join(labels) == reference.seal(
        class_id=8, provider=b"p" * 32, position=position, labels=LABELS, passes=PASSES
    )
    return needs


def cost_of_the_rest(needs: dict[Node, tuple[Node, Node, Node]], kept: Iterable[Node]) -> int:
    """Count the hashes that give the whole last pass when ``kept`` is all there is."""
    known = set(kept)
    wanted = [(PASSES, i) for i in range(LABELS) if (PASSES, i) not in known]
    computed: set[Node] = set()
    while wanted:
        node = wanted.pop()
        if node[0] == 0 or node in known or node in computed:
            continue
        computed.add(node)
        wanted.extend(needs[node])
    return len(computed)


def final(indices: Iterable[int]) -> list[Node]:
    return [(PASSES, i) for i in indices]


HALF = LABELS // 2
HALVES: dict[str, list[Node]] = {
    "every second label": final(range(0, LABELS, 2)),
    "the first half": final(range(HALF)),
    "the second half": final(range(HALF, LABELS)),
    "half of the pass before": [(PASSES - 1, i) for i in range(HALF)],
    "half of the middle pass": [(PASSES // 2, i) for i in range(0, LABELS, 2)],
    "one label in all passes": [(p, 0) for p in range(1, PASSES + 1)],
    "a quarter of two passes": [(p, i) for p in (8, 12) for i in range(0, LABELS, 4)],
    "the ends of eight passes": [(p, i) for p in range(9, 17) for i in (0, LABELS - 1)],
}


@pytest.mark.parametrize("name", HALVES)
def test_whoever_keeps_half_of_a_chunk_hashes_most_of_the_chain_again(name: str) -> None:
    kept = HALVES[name]
    costs = [cost_of_the_rest(needed_nodes(position), kept) for position in range(5)]

    assert len(kept) == HALF
    assert min(costs) > 0.85 * HASHES


def test_whoever_drops_a_single_label_hashes_most_of_the_chain_again() -> None:
    needs = needed_nodes(0)
    for dropped in range(LABELS):
        kept = final(i for i in range(LABELS) if i != dropped)

        # All passes before the last, less what comes after the label in the pass before it.
        assert cost_of_the_rest(needs, kept) > (PASSES - 2) / PASSES * 0.9 * HASHES


def test_no_random_half_of_all_labels_ever_written_is_worth_keeping() -> None:
    needs = needed_nodes(0)
    draw = Random(1)
    nodes = list(needs)

    costs = [cost_of_the_rest(needs, draw.sample(nodes, HALF)) for _ in range(300)]

    assert min(costs) > 0.85 * HASHES


def test_keeping_the_whole_chunk_costs_nothing_and_nothing_costs_the_whole_chain() -> None:
    needs = needed_nodes(0)

    assert cost_of_the_rest(needs, final(range(LABELS))) == 0
    assert cost_of_the_rest(needs, []) == HASHES


def test_a_single_pass_would_let_half_of_the_labels_be_dropped_for_a_hash_each() -> None:
    """Why a class needs several passes: the stream beneath the first one is free."""
    needs = {node: rest for node, rest in needed_nodes(0).items() if node[0] == 1}
    kept = {(1, i) for i in range(0, LABELS, 2)}
    computed: set[Node] = set()
    wanted: list[Node] = [(1, i) for i in range(1, LABELS, 2)]
    while wanted:
        node = wanted.pop()
        if node[0] == 1 and node not in kept and node not in computed:
            computed.add(node)
            wanted.extend(needs[node])

    assert len(computed) == HALF
