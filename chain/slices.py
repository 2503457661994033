"""Long work in slices, so that whoever runs it can do other things in between.

A slice is a generator that yields about every millisecond or two; the result is its return value.
Closing it before its end leaves everything as it was. One piece of sliced work on one chain at a
time: the caller holds a lock around it.
"""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Slices: TypeAlias = Generator[None, None, T]


def run_slices(slices: Slices[T]) -> T:
    """Run the work at one go and return its result."""
    while True:
        try:
            next(slices)
        except StopIteration as done:
            result: T = done.value
            return result
