"""A key that moves to another machine takes its promises along."""

import json
from pathlib import Path

import pytest

from consensus.simplex.messages import Certificate, Kind, Notarize, Nullify
from consensus.simplex.pledges import Floor, Pledges, Record
from genesis.presets import dev_session_seeds, local_spec
from node.cli.main import EXIT_CONFIG
from node.data_folder import DataFolder
from node.journal_file import JournalFile
from node.keystore import Keystore, Role
from primitives.types import Digest, Epoch, Signature, View
from tests.node.cli.running import Result, invoke

A, B = Digest(bytes([1]) * 32), Digest(bytes([2]) * 32)
NOWHERE = Signature(bytes(64))


def notarize(view: int, block: Digest = A, epoch: int = 0) -> Notarize:
    return Notarize(Epoch(epoch), View(view), block, 0, NOWHERE)


def nullify(view: int, epoch: int = 0) -> Nullify:
    return Nullify(Epoch(epoch), View(view), 0, NOWHERE)


def finalization(view: int, epoch: int = 0) -> Certificate:
    return Certificate(Kind.FINALIZE, Epoch(epoch), View(view), A, b"\x01", (NOWHERE,))


def machine(base_path: Path, *records: Record, name: str = "Alice") -> DataFolder:
    """Set up the folder of a validator that has said ``records``."""
    folder = DataFolder(base_path, local_spec().id)
    Keystore(folder.keystore).save(Role.CONSENSUS, dev_session_seeds(name).consensus)
    if records:
        with JournalFile(folder.journal) as journal:
            journal.append(records)
    return folder


def export_from(base_path: Path, file: Path, *more: object) -> Result:
    arguments = (file, "--base-path", base_path, "--chain", "local", *more)
    return invoke("key", "export-journal", *arguments, "--json")


def import_into(base_path: Path, file: Path, *more: object, chain: str = "local") -> Result:
    arguments = (file, "--base-path", base_path, "--chain", chain, *more)
    return invoke("key", "import-journal", *arguments, "--json")


def records_in(folder: DataFolder) -> tuple[Record, ...]:
    with JournalFile(folder.journal) as journal:
        return journal.records


def test_moved_key_is_bound_on_the_new_machine_as_on_the_old(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", notarize(1), finalization(4), notarize(5), nullify(6))
    new = machine(tmp_path / "new")

    exported = export_from(tmp_path / "old", file)
    imported = import_into(tmp_path / "new", file)

    assert (exported.code, imported.code) == (0, 0)
    assert (imported.json["epoch"], imported.json["view"]) == (0, 6)
    pledges = Pledges()
    for record in records_in(new):
        match record:
            case Floor(_, view):
                pledges.raise_floor(view)
            case Certificate():
                pass
            case _:
                pledges.record(record)
    assert not any(pledges.may_notarize(View(view)) for view in range(1, 7))
    assert not pledges.may_finalize(View(6))
    assert pledges.may_notarize(View(7))
    assert oct(file.stat().st_mode)[-3:] == "600"


def test_merge_keeps_what_either_side_forbids(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", finalization(2), notarize(3))
    new = machine(tmp_path / "new", finalization(1), nullify(3), notarize(9))

    export_from(tmp_path / "old", file)
    import_into(tmp_path / "new", file)

    assert set(records_in(new)) == {
        Floor(Epoch(0), View(2)),
        finalization(2),
        notarize(3),
        nullify(3),
        notarize(9),
    }


def test_import_of_an_older_epoch_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", notarize(3))
    new = machine(tmp_path / "new", notarize(1, epoch=2))

    export_from(tmp_path / "old", file)
    import_into(tmp_path / "new", file)

    assert records_in(new) == (Floor(Epoch(2), View(0)), notarize(1, epoch=2))


def test_running_node_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    old = machine(tmp_path / "old", notarize(3))
    export_from(tmp_path / "old", file)
    before = old.journal.read_bytes()

    with old.locked():
        refused = [
            export_from(tmp_path / "old", tmp_path / "other.json"),
            import_into(tmp_path / "old", file),
        ]

    assert [result.code for result in refused] == [EXIT_CONFIG, EXIT_CONFIG]
    assert all("stop it" in result.out for result in refused)
    assert old.journal.read_bytes() == before


@pytest.mark.parametrize("field", ["genesis", "consensus_key", "format", "version", "records"])
def test_journal_of_another_chain_key_or_kind_is_refused(tmp_path: Path, field: str) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", notarize(3))
    new = machine(tmp_path / "new", notarize(1))
    export_from(tmp_path / "old", file)
    document = json.loads(file.read_text())
    document[field] = 99 if field == "version" else "00" * 32
    file.write_text(json.dumps(document))

    refused = import_into(tmp_path / "new", file)

    assert refused.code == EXIT_CONFIG
    assert "InterchangeRefused" in refused.out
    assert records_in(new) == (notarize(1),)


def test_export_of_another_validators_key_is_refused_by_the_import(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", notarize(3), name="Alice")
    new = machine(tmp_path / "new", notarize(1), name="Bob")
    export_from(tmp_path / "old", file)

    assert import_into(tmp_path / "new", file).code == EXIT_CONFIG
    assert records_in(new) == (notarize(1),)


def test_one_of_several_keys_is_chosen(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "old", notarize(3), name="Alice")
    machine(tmp_path / "old", name="Bob")
    key = Keystore(tmp_path / "other").save(Role.CONSENSUS, dev_session_seeds("Bob").consensus)

    unclear = export_from(tmp_path / "old", file)
    chosen = export_from(tmp_path / "old", file, "--consensus-key", "0x" + key.public.hex())

    assert unclear.code == EXIT_CONFIG
    assert "--consensus-key" in unclear.out
    assert chosen.json["consensusKey"] == "0x" + key.public.hex()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b"{}" * 10, b'"' + b"a" * 99])
def test_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "journal.json"
    file.write_bytes(content)
    new = machine(tmp_path / "new", notarize(1))

    assert import_into(tmp_path / "new", file).code == EXIT_CONFIG
    assert records_in(new) == (notarize(1),)


def test_folder_without_keys_or_journal_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    machine(tmp_path / "keys")

    refused = [export_from(tmp_path / "none", file), export_from(tmp_path / "keys", file)]

    assert [result.code for result in refused] == [EXIT_CONFIG, EXIT_CONFIG]
    assert not (tmp_path / "none").exists()
    assert not file.exists()
