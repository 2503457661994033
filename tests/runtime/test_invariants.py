"""Invariants of the modules: each has a name, and a broken one is told by it."""

import ast
from pathlib import Path

import pytest

from runtime.invariants import check_in_slices, check_invariants
from runtime.module import InvariantBroken, Module
from tests.runtime.small_chain import SmallChain

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
FILES = sorted(path for path in RUNTIME.rglob("*.py") if "check_invariants" in path.read_text())


class Clockwork(Module):
    """A module whose invariants can be broken from outside."""

    name = "clockwork"
    index = 99
    ticks = True
    is_wound = True

    def check_invariants(self) -> None:
        self.require("it_ticks", self.ticks)
        assert self.is_wound


def clockwork() -> Clockwork:
    chain = SmallChain()
    chain.skip_to(3)
    return Clockwork(chain.runtime.context)


def test_invariants_that_hold_say_nothing() -> None:
    check_invariants([clockwork()])


def test_a_broken_invariant_tells_its_name_and_the_block() -> None:
    module = clockwork()
    module.ticks = False

    with pytest.raises(InvariantBroken) as broken:
        check_invariants([module])

    assert broken.value.invariant == "clockwork.it_ticks"
    assert (broken.value.height, broken.value.view) == (4, 4)
    assert str(broken.value) == "clockwork.it_ticks does not hold after block 4"


def test_an_assertion_without_a_name_tells_its_module() -> None:
    module = clockwork()
    module.is_wound = False

    with pytest.raises(InvariantBroken, match=r"clockwork\.assertions") as broken:
        check_invariants([module])

    assert isinstance(broken.value.__cause__, AssertionError)


def test_every_module_is_a_slice_of_its_own() -> None:
    broken = clockwork()
    broken.ticks = False
    slices = check_in_slices([clockwork(), broken])

    next(slices)
    with pytest.raises(InvariantBroken):
        next(slices)


def test_names_of_invariants_are_unique_in_their_file_and_tell_what_holds() -> None:
    named: dict[str, list[str]] = {}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "require"
                and isinstance(node.args[0], ast.Constant)
            ):
                named.setdefault(file.name, []).append(str(node.args[0].value))

    assert sum(map(len, named.values())) > 20
    for names in named.values():
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() and name.islower() and "_" in name for name in names)
