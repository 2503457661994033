"""A chart of numbers over time for a terminal: plain block characters, as wide as there is room.

Invariant: every column stands for at least one number and no number is left out: where there are
more numbers than columns, a column is their average.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_FULL = len(_EIGHTHS) - 1
WIDTH_MIN = 8


def chart(
    values: Sequence[int], *, width: int, rows: int, label: Callable[[int], str]
) -> list[str]:
    """Return the lines of a chart of ``values``, oldest on the left, with the scale on the left.

    The scale goes from the lowest to the highest value, not from nothing: what is to be seen is
    how the values move.
    """
    if not values:
        return []
    low, high = min(values), max(values)
    marks = [label(high), *[""] * (rows - 2), label(low)]
    margin = max(map(len, marks))
    columns = squeezed(values, max(WIDTH_MIN, width - margin - 2))
    heights = [_height(value, low, high, rows) for value in columns]
    lines = []
    for row in range(rows):
        floor = (rows - 1 - row) * _FULL
        cells = (_EIGHTHS[max(0, min(_FULL, height - floor))] for height in heights)
        lines.append(f"{marks[row].rjust(margin)} ┤{''.join(cells)}")
    return lines


def spark(values: Sequence[int], *, width: int, highest: int) -> str:
    """Return one line of blocks on a scale from nothing to ``highest``."""
    columns = squeezed(values, max(WIDTH_MIN, width))
    return "".join(_EIGHTHS[max(1, min(_FULL, value * _FULL // highest))] for value in columns)


def squeezed(values: Sequence[int], columns: int) -> list[int]:
    """Return at most ``columns`` numbers, each the average of as many of ``values`` as it takes."""
    count = len(values)
    if count <= columns:
        return list(values)
    ends = [count * number // columns for number in range(columns + 1)]
    parts = (values[start:end] for start, end in pairwise(ends))
    return [sum(part) // len(part) for part in parts]


def _height(value: int, low: int, high: int, rows: int) -> int:
    """Return how many eighths of a row a column is high; at least one, all for the highest."""
    most = rows * _FULL
    if high == low:
        return most // 2
    return max(1, (value - low) * most // (high - low))
