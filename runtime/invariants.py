"""What always holds between blocks, checked for all modules; a broken invariant has a name.

The checks walk whole maps: they belong to networks for trying out, to tests and to genesis.
"""

from collections.abc import Generator, Iterable

from runtime.module import InvariantBroken, Module


def check_invariants(modules: Iterable[Module]) -> None:
    """Check the invariants of every module. Raises: InvariantBroken."""
    for _ in check_in_slices(modules):
        pass


def check_in_slices(modules: Iterable[Module]) -> Generator[None, None, None]:
    """Do as ``check_invariants`` does, yielding after each module."""
    for module in modules:
        try:
            module.check_invariants()
        except InvariantBroken:
            raise
        except AssertionError as broken:
            # An assertion on the way, in what the check calls: it has no name of its own.
            raise InvariantBroken(f"{module.name}.assertions", module.context.block) from broken
        yield
