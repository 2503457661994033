"""Modules: storage through codecs, defaults as absence, events, calls and their table."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.slices import run_slices
from primitives.block import EXTRINSIC_BYTES_MAX
from primitives.codec import ACCOUNT, U8, U64, Codec, OutOfRange, Plain, TooLarge, WrongType, text
from primitives.types import (
    EMPTY_DIGEST,
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Signer,
    SpecVersion,
    View,
    Weight,
)
from runtime.annotations import NoCodec, codec_of, field_codecs
from runtime.call_table import NESTED_CALLS_MAX, CallTable, UnknownCall, call_list
from runtime.module import (
    EMPTY_ACCOUNT,
    BlockInfo,
    Call,
    Context,
    Event,
    Module,
    StorageMap,
    StorageValue,
    call,
    call_marks,
    inherent,
)
from runtime.overlay import DictState, Overlay


@dataclass(frozen=True, slots=True)
class Counted(Event):
    total: Annotated[int, U64]
    by: AccountId


@dataclass(frozen=True, slots=True)
class Forgotten(Event):
    """Emitted by nobody, since the module does not name it."""


class Shop(Module):
    """A module that a test can look through."""

    name = "shop"
    index = 99
    events = (Counted,)

    total = StorageValue(U64, default=0)
    stock = StorageMap(text(8), U8, default=5)

    @call(3, weight=Weight(7))
    def count(self, signer: Signer, amount: Annotated[int, U64]) -> None:
        """Count.

        More words.
        """
        self.total.set(self.total.get() + amount)
        self.emit(Counted(self.total.get(), signer))

    @call(1, weight=lambda inner: Weight(sum(each.weight for each in inner) + 1))
    def nest(self, signer: Signer, inner: Annotated[tuple[Call, ...], call_list]) -> None:
        raise NotImplementedError

    @inherent(2, weight=Weight(1))
    def open(self, now: Millis) -> None:
        self.total.set(now)


TABLE = CallTable((Shop,))
WHO = AccountId(bytes([7]) * 32)


def make_context(state: DictState | None = None) -> Context:
    info = BlockInfo(Height(1), EMPTY_DIGEST, View(1), Epoch(0), Millis(1), EMPTY_ACCOUNT, b"")
    return Context(Overlay(state or DictState()), info)


# ----------------------------------------------------------------------------------- storage


def test_a_value_lies_under_its_module_and_name() -> None:
    shop = Shop(make_context())

    shop.total.set(9)

    assert shop.context.overlay.writes == {b"shop.total": b"\x09"}
    assert shop.total.get() == 9


def test_a_map_entry_lies_under_the_encoded_key() -> None:
    shop = Shop(make_context())

    shop.stock["nut"] = 9

    assert shop.context.overlay.writes == {b"shop.stock:\xa3nut": b"\x09"}
    assert shop.stock["nut"] == 9
    assert "nut" in shop.stock
    assert "bolt" not in shop.stock


def test_a_default_is_stored_as_absence() -> None:
    shop = Shop(make_context(DictState({b"shop.total": b"\x09", b"shop.stock:\xa3nut": b"\x01"})))

    shop.total.set(0)
    shop.stock["nut"] = 5

    writes, _ = run_slices(shop.context.overlay.changes())
    assert writes == {b"shop.stock:\xa3nut": None, b"shop.total": None}
    assert (shop.total.get(), shop.stock["nut"]) == (0, 5)


def test_deleting_gives_the_default_back() -> None:
    shop = Shop(make_context())
    shop.stock["nut"] = 9

    del shop.stock["nut"]
    del shop.stock["bolt"]

    assert shop.stock["nut"] == 5
    assert run_slices(shop.context.overlay.changes()) == ({}, {})


def test_no_value_outside_its_type_is_written() -> None:
    shop = Shop(make_context())

    for wrong in (-1, 2**64):
        with pytest.raises(OutOfRange):
            shop.total.set(wrong)
    with pytest.raises(OutOfRange):
        shop.stock["nut"] = 256
    with pytest.raises(OutOfRange):
        shop.stock["much too long"] = 1

    assert shop.context.overlay.writes == {}


@given(st.dictionaries(st.text("abc", max_size=4), st.integers(0, 255), max_size=8))
def test_a_walk_gives_every_entry_in_the_order_of_encoded_keys(entries: dict[str, int]) -> None:
    shop = Shop(make_context())
    shop.total.set(1)
    for key, value in entries.items():
        shop.stock[key] = value

    kept = {key: value for key, value in entries.items() if value != 5}
    ordered = sorted(kept, key=lambda key: (len(key), key))
    assert list(shop.stock.items()) == [(key, kept[key]) for key in ordered]
    assert list(shop.stock.values()) == [kept[key] for key in ordered]


def test_two_instances_share_no_storage() -> None:
    one, other = Shop(make_context()), Shop(make_context())

    one.total.set(4)

    assert other.total.get() == 0
    assert isinstance(Shop.total, StorageValue)
    assert isinstance(Shop.stock, StorageMap)


# ------------------------------------------------------------------------------------ events


def test_an_event_is_the_array_of_its_name_and_fields() -> None:
    shop = Shop(make_context())

    shop.count(Signer(WHO), 5)

    assert shop.context.events == [["shop.Counted", 5, WHO]]


def test_an_event_must_be_named_by_its_module() -> None:
    with pytest.raises(AssertionError, match="Forgotten is not among shop"):
        Shop(make_context()).emit(Forgotten())


def test_a_scope_undoes_writes_and_events_together() -> None:
    shop = Shop(make_context())
    shop.count(Signer(WHO), 1)

    with suppress(KeyError), shop.context.transaction():
        shop.count(Signer(WHO), 1)
        raise KeyError
    with shop.context.transaction():
        shop.count(Signer(WHO), 10)

    assert shop.total.get() == 11
    assert shop.context.events == [["shop.Counted", 1, WHO], ["shop.Counted", 11, WHO]]


# ------------------------------------------------------------------------------------- calls


def test_calls_are_found_in_the_order_of_their_numbers() -> None:
    marks = call_marks(Shop)

    assert list(marks) == ["nest", "open", "count"]
    assert [mark.is_inherent for mark in marks.values()] == [False, True, False]


def test_two_calls_with_one_number_are_our_bug() -> None:
    class Twins(Module):
        name = "twins"
        index = 98

        @call(1, weight=Weight(1))
        def one(self, signer: Signer) -> None: ...

        @call(1, weight=Weight(1))
        def two(self, signer: Signer) -> None: ...

    with pytest.raises(AssertionError, match="twins: two calls"):
        CallTable((Twins,))


def test_a_call_comes_back_from_its_plain_form() -> None:
    plain: Plain = ["shop.nest", [["shop.count", 5], ["shop.nest", [["shop.open", 6]]]]]

    decoded = TABLE.from_plain(plain)

    assert decoded.to_plain() == plain
    assert decoded.name == "shop.nest"
    assert decoded.weight == 7 + (1 + 1) + 1
    assert TABLE.codec.decode(TABLE.codec.encode(decoded)).to_plain() == plain


def test_an_entry_says_what_a_wallet_must_know() -> None:
    entry = TABLE.entries["shop.count"]

    assert (entry.number, entry.parameters, entry.summary) == (3, ("amount",), "Count.")
    assert entry.codecs == (U64,)
    assert TABLE.entries["shop.open"].parameters == ("now",)
    assert TABLE.entries["shop.nest"].summary == ""


@pytest.mark.parametrize(
    "plain",
    [
        None,
        "shop.count",
        [],
        [5],
        [["shop.count"]],
        ["shop.count"],
        ["shop.count", 1, 2],
        ["shop.count", -1],
        ["shop.count", True],
        ["shop.nest", [["shop.count"]]],
        ["shop.nest", [["shop.count", 1]] * (NESTED_CALLS_MAX + 1)],
    ],
)
def test_what_is_no_call_of_the_chain_is_refused(plain: Plain) -> None:
    with pytest.raises(WrongType):
        TABLE.from_plain(plain)


@pytest.mark.parametrize("name", ["shop.total", "shop.sell", "shop", "", "shop.__init__"])
def test_only_marked_methods_are_calls(name: str) -> None:
    with pytest.raises(UnknownCall):
        TABLE.from_plain([name])


def test_calls_nest_only_as_deep_as_the_encoding() -> None:
    plain: Plain = ["shop.count", 1]
    for _ in range(10):
        plain = ["shop.nest", [plain]]
    data = TABLE.codec.encode(TABLE.from_plain(plain))

    assert len(data) < EXTRINSIC_BYTES_MAX
    with pytest.raises(TooLarge, match="nested deeper"):
        TABLE.codec.decode(data)


# ------------------------------------------------------------------------------- annotations


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (AccountId, "account"),
        (Signer, "account"),
        (Digest, "digest"),
        (Balance, "amount"),
        (bool, "bool"),
        (SpecVersion, "u32"),
        (Height, "u64"),
        (Weight, "u64"),
        (Annotated[int, U8], "u8"),
        (Annotated[int, "a remark", U8], "u8"),
        (Annotated[Height, "only remarks"], "u64"),
        (Height | None, "option"),
        (None | Annotated[int, U8], "option"),
    ],
)
def test_a_type_has_its_codec(annotation: Any, kind: str) -> None:
    assert codec_of(annotation, {}).describe()["type"] == kind


@pytest.mark.parametrize("annotation", [int, bytes, str, float, int | str, list[int], Call])
def test_a_type_without_a_codec_is_refused(annotation: Any) -> None:
    with pytest.raises(NoCodec):
        codec_of(annotation, {})


def test_what_is_known_here_comes_before_what_is_known_everywhere() -> None:
    own: dict[Any, Codec[Any]] = {Height: ACCOUNT, Call: U8}

    assert codec_of(Height, own) is ACCOUNT
    assert codec_of(Call, own) is U8


def test_the_codecs_of_an_event_are_found_once() -> None:
    assert list(field_codecs(Counted)) == ["total", "by"]
    assert field_codecs(Counted) is field_codecs(Counted)
