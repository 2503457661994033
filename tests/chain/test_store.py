"""The database: what it answers, what it refuses, what pruning leaves."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain.state_tree import StateTree
from chain.store import (
    ArchiveImpossible,
    Store,
    StoreExists,
    StoreLocked,
    StoreMissing,
    StoreUnreadable,
    WriteFailed,
    WrongGenesis,
    WrongSchema,
)
from chain.store_check import Progress, check_store
from chain.store_reader import (
    PAGE_MAX,
    HistoryPruned,
    StoreCorrupted,
    UnknownHeight,
)
from chain.store_schema import BODY, META_SCHEMA, Place, by_height
from primitives.types import AccountId, Digest, Height
from tests.chain.final_blocks import ACCOUNTS, EPOCH_BLOCKS, FinalBlocks

try:
    import plyvel
except ModuleNotFoundError:
    import plyvel_next as plyvel

SPEC = b'{"name": "test"}'


def filled(path: Path, count: int, *, keep_blocks: int | None = None) -> tuple[Store, FinalBlocks]:
    """Return a store with ``count`` blocks above genesis."""
    chain = FinalBlocks()
    store = Store.create(path, chain.blocks[0], chain_spec=SPEC, keep_blocks=keep_blocks)
    for _ in range(count):
        store.commit(chain.next())
    return store, chain


def assert_sound(store: Store) -> None:
    with store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []


def test_committed_block_can_be_read_in_every_way(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 7)
    block = chain.blocks[4]

    with store:
        reads = store.reads
        assert reads.header_at(Height(4)) == block.header
        assert reads.body_at(Height(4)) == block.body
        assert reads.receipts_at(Height(4)) == block.receipts
        assert reads.certificate_at(Height(4)) == block.certificate
        assert reads.height_of(block.hash) == 4
        assert reads.height_of(Digest(b"x" * 32)) is None
        assert reads.index_at(Height(4)).extrinsic_hashes == block.extrinsic_hashes
        assert reads.find_extrinsic(block.extrinsic_hashes[2]) == Place(Height(4), 2)
        assert reads.find_extrinsic(Digest(b"x" * 32)) is None
        assert reads.head.hash == chain.blocks[-1].hash
        assert dict(reads.items()) == chain.states[-1]


def test_store_remembers_what_it_was_made_with(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 3, keep_blocks=9)
    store.close()

    with Store.open(tmp_path / "db", genesis_hash=chain.blocks[0].hash) as again:
        assert again.reads.chain_spec == SPEC
        assert again.reads.genesis_hash == chain.blocks[0].hash
        assert again.reads.keep_blocks == 9
        assert again.reads.head.height == 3
        assert again.path == tmp_path / "db"
        assert_sound(again)


def test_tree_is_rebuilt_from_the_flat_state(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 20)

    with store:
        assert StateTree.load(store.reads.items()).root == store.reads.head.state_root
        assert chain.tree.root == store.reads.head.state_root


def test_blocks_out_of_order_are_our_bug(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 1)
    chain.next()
    after_next = chain.next()

    with store, pytest.raises(AssertionError):
        store.commit(after_next)


def test_open_without_a_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        Store.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_second_database_in_one_folder_is_refused(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 0)
    store.close()

    with pytest.raises(StoreExists):
        Store.create(tmp_path / "db", chain.blocks[0], chain_spec=SPEC)


def test_creation_that_was_cut_off_can_be_repeated(tmp_path: Path) -> None:
    chain = FinalBlocks()
    with plyvel.DB(str(tmp_path), create_if_missing=True) as remains:
        remains.put(b"sk1", b"of another genesis")
    with pytest.raises(StoreMissing):
        Store.open(tmp_path)

    with Store.create(tmp_path, chain.blocks[0], chain_spec=SPEC) as store:
        assert_sound(store)


def test_other_genesis_is_refused(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 0)
    store.close()

    with pytest.raises(WrongGenesis):
        Store.open(tmp_path / "db", genesis_hash=Digest(b"x" * 32))


def test_other_schema_is_refused(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 0)
    store.close()
    with plyvel.DB(str(tmp_path / "db")) as database:
        database.put(META_SCHEMA, (99).to_bytes(8, "big"))

    with pytest.raises(WrongSchema, match="99"):
        Store.open(tmp_path / "db")


def test_database_that_is_open_here_is_locked(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 0)

    with store, pytest.raises(StoreLocked):
        Store.open(tmp_path / "db")


def test_database_that_another_process_has_open_is_locked(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 0)
    program = (
        "import sys; from pathlib import Path; from chain.store import Store, StoreLocked\n"
        "try: Store.open(Path(sys.argv[1]))\n"
        "except StoreLocked: print('locked')\n"
    )

    with store:
        other = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "db")],
            capture_output=True,
            text=True,
            check=True,
        )

    assert other.stdout == "locked\n"


def test_folder_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "block", 0)
    store.close()
    (tmp_path / "block" / "LOCK").unlink()
    (tmp_path / "block" / "LOCK").mkdir()

    with pytest.raises(StoreUnreadable):
        Store.open(tmp_path / "block")


def test_damaged_files_are_reported_as_corruption(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 3)
    store.close()
    for log in (tmp_path / "db").glob("*.log"):
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 0xFF
        log.write_bytes(bytes(data))

    with pytest.raises(StoreCorrupted, match="loopin db check"):
        Store.open(tmp_path / "db")


def test_keys_are_paged_in_order_within_their_prefix(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 10)
    wanted = sorted(key for key in chain.states[-1] if key.startswith(b"k"))

    with store:
        pages: list[bytes] = []
        while page := store.reads.keys_paged(b"k", pages[-1] if pages else b"", 7):
            assert len(page) <= 7
            pages += page
        assert pages == wanted
        assert store.reads.keys_paged(b"k", b"zzz", 5) == []
        assert store.reads.keys_paged(b"k", b"", 0) == []
        assert store.reads.keys_paged(b"", b"a", 1) == sorted(chain.states[-1])[:1]


def test_one_page_never_exceeds_its_limit(tmp_path: Path) -> None:
    chain = FinalBlocks(writes_per_block=3000)
    with Store.create(tmp_path / "db", chain.blocks[0], chain_spec=SPEC) as store:
        store.commit(chain.next())
        many = {b"n%06d" % number: b"" for number in range(PAGE_MAX + 5)}
        store.commit(chain._add(dict(many)))

        assert len(store.reads.keys_paged(b"n", b"", 10**9)) == PAGE_MAX


def test_prefix_of_high_bytes_ends_where_it_should(tmp_path: Path) -> None:
    chain = FinalBlocks()
    with Store.create(tmp_path / "db", chain.blocks[0], chain_spec=SPEC) as store:
        keys: dict[bytes, bytes | None] = dict.fromkeys(
            [b"\xff", b"\xff\xff", b"\xff\xffa", b"\xfe"], b"v"
        )
        store.commit(chain._add(keys))

        assert store.reads.keys_paged(b"\xff\xff", b"", 9) == [b"\xff\xff", b"\xff\xffa"]
        assert [key for key, _ in store.reads.items(b"\xff")] == [
            b"\xff",
            b"\xff\xff",
            b"\xff\xffa",
        ]
        assert_sound(store)


def test_account_history_pages_newest_first(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 12)
    account = ACCOUNTS[3]
    wanted = [
        Place(block.height, position)
        for block in reversed(chain.blocks)
        for position in reversed(range(len(block.accounts)))
        if account in block.accounts[position]
    ]

    with store:
        found: list[Place] = []
        while page := store.reads.account_history(
            account, before=found[-1] if found else None, count=3
        ):
            found += page
        assert found == wanted
        assert len(wanted) > 3
        nobody = AccountId(b"\xee" * 32)
        assert store.reads.account_history(nobody, before=None, count=3) == []


def test_archive_answers_for_every_height(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 25)
    keys = sorted({key for state in chain.states for key in state} | {b"never"})

    with store:
        for height, state in enumerate(chain.states):
            for key in keys[::5]:
                assert store.reads.state_at(Height(height), key) == state.get(key)
        assert store.prune() == 0


def test_values_that_the_caller_knows_are_not_looked_up(tmp_path: Path) -> None:
    chain = FinalBlocks()
    with Store.create(tmp_path / "db", chain.blocks[0], chain_spec=SPEC) as store:
        plain = chain._add({b"a": b"1", b"b": b"2"})
        store.commit(plain)
        block = chain._add({b"a": b"3", b"b": None})
        known = type(block)(
            **{name: getattr(block, name) for name in block.__slots__ if name != "state_before"},
            state_before={b"a": b"1"},
        )
        store.commit(known)

        assert store.reads.state_at(Height(1), b"a") == b"1"
        assert store.reads.state_at(Height(1), b"b") == b"2"
        assert store.reads.state_at(Height(2), b"b") is None


def test_heights_beyond_the_head_are_unknown(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 2)

    with store:
        for ask in (store.reads.header_at, store.reads.body_at, store.reads.certificate_at):
            with pytest.raises(UnknownHeight):
                ask(Height(3))
        with pytest.raises(UnknownHeight):
            store.reads.state_at(Height(3), b"k")


def test_pruning_keeps_headers_and_what_proves_epochs(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 23, keep_blocks=6)

    with store:
        assert [store.prune(blocks_max=10), store.prune(), store.prune()] == [10, 8, 0]
        reads = store.reads
        assert reads.pruned_below == 18
        for height in range(18):
            block = chain.blocks[height]
            assert reads.header_at(Height(height)) == block.header
            assert reads.height_of(block.hash) == height
            for ask in (reads.body_at, reads.receipts_at, reads.index_at):
                with pytest.raises(HistoryPruned):
                    ask(Height(height))
            for extrinsic_hash in block.extrinsic_hashes:
                assert reads.find_extrinsic(extrinsic_hash) is None
            if (height + 1) % EPOCH_BLOCKS == 0:
                assert reads.certificate_at(Height(height)) == block.certificate
            else:
                with pytest.raises(HistoryPruned):
                    reads.certificate_at(Height(height))
        for height in range(18, 24):
            assert reads.body_at(Height(height)) == chain.blocks[height].body
        for account in ACCOUNTS:
            places = reads.account_history(account, before=None, count=500)
            assert all(place.height >= 18 for place in places)
        assert_sound(store)


def test_pruned_store_answers_for_the_states_it_kept(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 23, keep_blocks=6)

    with store:
        store.prune(100)
        for height in range(17, 24):
            for key in sorted(chain.states[height])[::7]:
                assert store.reads.state_at(Height(height), key) == chain.states[height][key]
        with pytest.raises(HistoryPruned):
            store.reads.state_at(Height(16), b"k1")


def test_pruned_store_cannot_become_an_archive(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 10, keep_blocks=3)

    with store:
        store.set_keep_blocks(None)
        assert store.prune() == 0
        store.set_keep_blocks(4)
        assert store.prune() == 7
        with pytest.raises(ArchiveImpossible):
            store.set_keep_blocks(None)


def test_snapshot_does_not_see_later_commits(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 3)

    with store:
        with store.snapshot() as reader:
            store.commit(chain.next())

            assert reader.head.height == 3
            assert dict(reader.items()) == chain.states[3]
            assert check_store(reader, lambda _: None) == []
        assert store.reads.head.height == 4


def test_pending_block_outlives_a_restart_and_ends_with_its_height(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 3)
    block = chain.next()
    store.save_pending(Height(5), Digest(b"z" * 32), b"later")
    store.save_pending(block.height, block.hash, b"wins")
    store.save_pending(block.height, Digest(b"y" * 32), b"loses")
    store.close()

    with Store.open(tmp_path / "db") as again:
        assert sorted(again.reads.pending())[1:] == [b"loses", b"wins"]
        again.commit(block)

        assert list(again.reads.pending()) == [b"later"]
        assert_sound(again)


def test_check_reports_its_progress(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 3)
    seen: list[Progress] = []

    with store, store.snapshot() as reader:
        check_store(reader, seen.append)

    assert {progress.phase for progress in seen} >= {"blocks", "state"}


def test_missing_record_that_the_schema_promises_is_corruption(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "db", 3)
    store.close()
    with plyvel.DB(str(tmp_path / "db")) as database:
        database.delete(by_height(BODY, 2))

    with Store.open(tmp_path / "db") as again, pytest.raises(StoreCorrupted, match="db check"):
        again.reads.body_at(Height(2))


def test_genesis_larger_than_one_batch_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.store.BATCH_WRITES_MAX", 5)
    store, chain = filled(tmp_path / "db", 0)

    with store:
        assert dict(store.reads.items()) == chain.states[0]
        assert_sound(store)


class FailingBatch:
    """A batch on a disk that is full."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def write(self) -> None:
        raise plyvel.IOError(b"No space left on device")


class FullDisk:
    """A database that reads and no longer writes."""

    def __init__(self, database: "plyvel.DB") -> None:
        self.get = database.get
        self.close = database.close

    def write_batch(self, *, sync: bool) -> FailingBatch:
        return FailingBatch()


def test_store_whose_write_failed_writes_no_more(tmp_path: Path) -> None:
    store, chain = filled(tmp_path / "db", 2)
    writable = store._database
    block = chain.next()

    store._database = FullDisk(writable)
    with pytest.raises(WriteFailed, match="free space"):
        store.commit(block)
    store._database = writable
    with pytest.raises(WriteFailed, match="restart"):
        store.commit(block)

    assert store.reads.head.height == 2
    store.close()
    with Store.open(tmp_path / "db") as again:
        again.commit(block)
        assert_sound(again)


class Life(RuleBasedStateMachine):
    """A random life of a store beside lists of what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.chain = FinalBlocks()
        self.store = Store.create(
            self.path, self.chain.blocks[0], chain_spec=SPEC, keep_blocks=None
        )

    @rule(count=st.integers(1, 6))
    def commit(self, count: int) -> None:
        for _ in range(count):
            self.store.commit(self.chain.next())

    @rule(keep=st.integers(1, 8), blocks_max=st.integers(1, 5))
    def prune(self, keep: int, blocks_max: int) -> None:
        self.store.set_keep_blocks(keep)
        assert self.store.prune(blocks_max) <= blocks_max

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.path, genesis_hash=self.chain.blocks[0].hash)

    @precondition(lambda self: len(self.chain.blocks) > 2)
    @rule(data=st.data())
    def ask_for_an_earlier_state(self, data: st.DataObject) -> None:
        head = len(self.chain.blocks) - 1
        oldest = max(0, self.store.reads.pruned_below - 1)
        height = data.draw(st.integers(oldest, head))
        for key in [b"k%d" % number for number in range(0, 200, 17)]:
            wanted = self.chain.states[height].get(key)
            assert self.store.reads.state_at(Height(height), key) == wanted

    @invariant()
    def is_sound(self) -> None:
        assert self.store.reads.head.height == len(self.chain.blocks) - 1
        assert_sound(self.store)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=10, stateful_step_count=12, deadline=None)
