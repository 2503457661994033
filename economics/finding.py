"""What an experiment hands back, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from economics.prices import ReferencePrice

Cell = str | float | int
Progress = Callable[[float], None]
"""Told the part of the work that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for a CSV file and for the report."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    is_series: bool = False
    """A long series goes to the CSV file only."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure for a PNG file and for the report."""

    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question, with everything that it rests on."""

    answer: Sequence[str]
    """Paragraphs, the first of which is the answer in a sentence or two."""
    passed: bool
    criterion: str
    """What had to hold, and the numbers that it was held against."""
    parameters: Mapping[str, Cell]
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    prices: Sequence[ReferencePrice] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What an experiment may use."""

    seed: int
    prices: Mapping[str, ReferencePrice]
    progress: Progress = field(default=lambda _: None)
    scale: float = 1.0
    """Below 1, fewer days, seeds or cells: for a quick look and for tests, not for a verdict."""

    def seeds(self, count: int) -> list[int]:
        """Return the seeds of repeated runs."""
        return [self.seed * 1_000 + index for index in range(max(1, round(count * self.scale)))]

    def days(self, whole: float, least: float) -> float:
        """Return how many days to simulate."""
        return max(least, round(whole * self.scale))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question that can be asked of the model by name."""

    name: str
    title: str
    asked: str
    run: Callable[[Setting], Finding]
