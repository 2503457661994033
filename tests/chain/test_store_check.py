"""Each way of damaging a database is found, and named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chain.store import Store
from chain.store_check import Defect, DefectKind, check_store
from chain.store_schema import (
    ACCOUNT,
    BODY,
    CERTIFICATE,
    EXTRINSIC,
    HEAD,
    HEADER,
    HEIGHT_OF_BLOCK,
    INDEX,
    META_HEAD,
    PENDING,
    RECEIPTS,
    REPLACED,
    REPLACED_KEYS,
    STATE,
    Head,
    after_prefix,
    by_height,
    encode_place,
)
from primitives.types import Digest, Height
from tests.chain.final_blocks import FinalBlocks

try:
    import plyvel
except ModuleNotFoundError:
    import plyvel_next as plyvel

COUNT = 12
KEEP = 5

Damage = Callable[["plyvel.DB", FinalBlocks], None]


def damaged(path: Path, damage: Damage) -> list[Defect]:
    """Return what the check finds after ``damage``."""
    chain = FinalBlocks()
    with Store.create(path, chain.blocks[0], chain_spec=b"", keep_blocks=KEEP) as store:
        for _ in range(COUNT):
            store.commit(chain.next())
        store.prune(100)
    with plyvel.DB(str(path)) as database:
        damage(database, chain)
    with Store.open(path) as store, store.snapshot() as reader:
        return check_store(reader, lambda _: None)


def delete(column: bytes, height: int) -> Damage:
    return lambda database, _: database.delete(by_height(column, height))


def put(key: bytes, value: bytes) -> Damage:
    return lambda database, _: database.put(key, value)


def delete_first(column: bytes) -> Damage:
    def damage(database: "plyvel.DB", _: FinalBlocks) -> None:
        key = next(iter(database.iterator(start=column, stop=after_prefix(column))))[0]
        database.delete(key)

    return damage


def swap_headers(database: "plyvel.DB", chain: FinalBlocks) -> None:
    database.put(by_height(HEADER, 6), chain.blocks[7].header)


def lead_extrinsic_astray(database: "plyvel.DB", chain: FinalBlocks) -> None:
    extrinsic_hash = chain.blocks[-1].extrinsic_hashes[0]
    database.put(EXTRINSIC + extrinsic_hash, encode_place(8, 0))


def lead_block_astray(database: "plyvel.DB", chain: FinalBlocks) -> None:
    database.put(HEIGHT_OF_BLOCK + chain.blocks[3].hash, (4).to_bytes(8, "big"))


def lie_about_the_head(database: "plyvel.DB", chain: FinalBlocks) -> None:
    last = chain.blocks[-1]
    head = Head(Height(COUNT), last.hash, Digest(b"x" * 32))
    database.put(META_HEAD, HEAD.encode(head))


def head_behind_the_blocks(database: "plyvel.DB", chain: FinalBlocks) -> None:
    block = chain.blocks[-2]
    database.put(META_HEAD, HEAD.encode(Head(block.height, block.hash, block.state_root)))


def garble_index(database: "plyvel.DB", _: FinalBlocks) -> None:
    database.put(by_height(INDEX, COUNT), b"\xc0")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (delete(HEADER, 4), DefectKind.MISSING),
        (delete(BODY, COUNT), DefectKind.MISSING),
        (delete(RECEIPTS, COUNT), DefectKind.MISSING),
        (delete(CERTIFICATE, COUNT), DefectKind.MISSING),
        (delete(CERTIFICATE, 4), DefectKind.MISSING),
        (delete(INDEX, COUNT), DefectKind.MISSING),
        (delete(REPLACED_KEYS, COUNT), DefectKind.MISSING),
        (delete_first(REPLACED), DefectKind.MISSING),
        (delete_first(EXTRINSIC), DefectKind.MISSING),
        (delete_first(ACCOUNT), DefectKind.MISSING),
        (delete_first(HEIGHT_OF_BLOCK), DefectKind.WRONG_ENTRY),
        (delete_first(STATE), DefectKind.WRONG_STATE),
        (put(STATE + b"forged", b"1"), DefectKind.WRONG_STATE),
        (put(STATE + b"system.number", b"1"), DefectKind.WRONG_STATE),
        (put(by_height(HEADER, 5), b"\x90"), DefectKind.UNREADABLE),
        (put(by_height(BODY, 2), b"pruned"), DefectKind.LEFTOVER),
        (put(EXTRINSIC + b"y" * 32, encode_place(9, 0)), DefectKind.LEFTOVER),
        (put(ACCOUNT + b"y" * 32 + encode_place(9, 0), b""), DefectKind.LEFTOVER),
        (put(REPLACED + b"y" * 40, b"\x00"), DefectKind.LEFTOVER),
        (put(HEIGHT_OF_BLOCK + b"y" * 32, bytes(8)), DefectKind.LEFTOVER),
        (put(by_height(PENDING, COUNT) + b"y" * 32, b"block"), DefectKind.LEFTOVER),
        (put(META_HEAD, b"\x90"), DefectKind.UNREADABLE),
        (swap_headers, DefectKind.BROKEN_LINK),
        (lead_extrinsic_astray, DefectKind.WRONG_ENTRY),
        (lead_block_astray, DefectKind.WRONG_ENTRY),
        (lie_about_the_head, DefectKind.WRONG_HEAD),
        (head_behind_the_blocks, DefectKind.LEFTOVER),
        (garble_index, DefectKind.UNREADABLE),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: Damage, kind: DefectKind) -> None:
    found = damaged(tmp_path, damage)

    assert kind in {defect.kind for defect in found}


def test_undamaged_database_has_no_defect(tmp_path: Path) -> None:
    assert damaged(tmp_path, lambda *_: None) == []


def test_list_of_defects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.store_check.DEFECTS_MAX", 3)

    def everything(database: "plyvel.DB", _: FinalBlocks) -> None:
        for height in range(COUNT):
            database.delete(by_height(HEADER, height))

    assert len(damaged(tmp_path, everything)) == 3
