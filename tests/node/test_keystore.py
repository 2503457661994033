"""Key files: who can read them, what is refused, what never leaks."""

import json
import stat
from pathlib import Path

import pytest

from node.keystore import FILE_BYTES_MAX, KeyNotSaved, Keystore, KeyUnreadable, Role
from primitives.crypto import KeyPair
from primitives.types import PublicKey

SEED = bytes(range(32))
PAIR = KeyPair(SEED)


def saved(folder: Path) -> tuple[Keystore, Path]:
    keystore = Keystore(folder / "keystore")
    keystore.save(Role.CONSENSUS, SEED)
    (path,) = keystore.folder.iterdir()
    return keystore, path


def test_saved_key_is_found_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    keystore, path = saved(tmp_path)

    found = keystore.find(Role.CONSENSUS, PAIR.public)

    assert found is not None
    assert found.seed == SEED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keystore.folder.stat().st_mode) == 0o700
    assert keystore.find(Role.VRF, PAIR.public) is None
    assert keystore.public_keys(Role.CONSENSUS) == [PAIR.public]


def test_key_saved_twice_stays_as_it_is(tmp_path: Path) -> None:
    keystore, path = saved(tmp_path)
    before = path.stat().st_mtime_ns

    keystore.save(Role.CONSENSUS, SEED)

    assert path.stat().st_mtime_ns == before


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keystore, path = saved(tmp_path)
    path.chmod(0o640)

    with pytest.raises(KeyUnreadable, match="chmod 600"):
        keystore.find(Role.CONSENSUS, PAIR.public)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"seed": 5, "role": "consensus"}',
        b'{"seed": "zz", "role": "consensus"}',
        b'{"seed": "00", "role": "consensus"}',
        b"[" * 4000,
        b" " * (FILE_BYTES_MAX + 1),
    ],
)
def test_damaged_file_is_refused_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    keystore, path = saved(tmp_path)
    path.write_bytes(content)

    with pytest.raises(KeyUnreadable) as caught:
        keystore.find(Role.CONSENSUS, PAIR.public)

    assert caught.value.__cause__ is None


def test_key_under_another_name_or_role_is_refused(tmp_path: Path) -> None:
    keystore, path = saved(tmp_path)
    other = KeyPair(bytes(32)).public
    path.rename(keystore.folder / f"consensus-{other.hex()}.json")
    with pytest.raises(KeyUnreadable, match="another key"):
        keystore.find(Role.CONSENSUS, PublicKey(other))

    (keystore.folder / f"consensus-{other.hex()}.json").rename(
        keystore.folder / f"vrf-{PAIR.public.hex()}.json"
    )
    with pytest.raises(KeyUnreadable, match="another key"):
        keystore.find(Role.VRF, PAIR.public)


def test_files_that_are_no_keys_are_passed_over(tmp_path: Path) -> None:
    keystore, _ = saved(tmp_path)
    for name in ("consensus-backup.json", "consensus-00.json", "notes.txt", "consensus-x.new"):
        (keystore.folder / name).write_text("junk")

    assert keystore.public_keys(Role.CONSENSUS) == [PAIR.public]


def test_role_with_one_key_makes_it_once_and_never_chooses_between_two(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "keystore")

    first = keystore.only(Role.PEER)

    assert keystore.only(Role.PEER).public == first.public
    keystore.generate(Role.PEER)
    with pytest.raises(KeyUnreadable, match="2 peer keys"):
        keystore.only(Role.PEER)


def test_half_written_key_of_a_crash_is_no_key(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "keystore")
    aside = keystore.folder / f"consensus-{PAIR.public.hex()}.new"
    aside.write_text(json.dumps({"role": "consensus"})[:5])

    assert keystore.find(Role.CONSENSUS, PAIR.public) is None
    keystore.save(Role.CONSENSUS, SEED)
    assert keystore.find(Role.CONSENSUS, PAIR.public) is not None
    assert not aside.exists()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(KeyNotSaved, match="cannot make"):
        Keystore(tmp_path / "file" / "keystore")
