"""``loopin job`` and ``loopin provider serve``: what they refuse before anything is leased."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.cli.devnet import DEFAULT_BASE_PORT
from node.cli.job_files import UnusableFile, load_network, load_rows, save_rows
from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from node.cli.provider_serve import DEFAULT_LISTEN, InvalidCommands, load_commands
from node.config import DEFAULT_PORT, DEFAULT_PROMETHEUS_PORT, DEFAULT_RPC_PORT
from node.devnet.plan import NODES_MAX
from node.lease.processes import Command
from runtime.jobs.network import Activation
from tests.node.cli.running import invoke


def npy(folder: Path, name: str, *shape: int, dtype: str = "int8") -> Path:
    path = folder / name
    np.save(path, np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    return path


def packed(folder: Path) -> Path:
    first, last = npy(folder, "first.npy", 3, 4), npy(folder, "last.npy", 4, 2)
    invoke(
        "job", "pack", folder / "net.bin", "--layer", f"{first}:2:relu", "--layer", f"{last}:1:wrap"
    )
    return folder / "net.bin"


def test_layers_are_packed_into_a_network(tmp_path: Path) -> None:
    network = load_network(packed(tmp_path))

    assert network.shape.widths == (3, 4, 2)
    assert [layer.activation for layer in network.shape.layers] == [
        Activation.RELU,
        Activation.WRAP,
    ]
    assert network.matrices[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_the_identity_is_shown(tmp_path: Path) -> None:
    layer = f"{npy(tmp_path, 'only.npy', 3, 4)}:2:clamp"

    shown = invoke("job", "pack", tmp_path / "net.bin", "--layer", layer, "--json").json

    identity = load_network(tmp_path / "net.bin").identity
    assert shown["identity"] == "0x" + identity.hex()
    assert shown["widths"] == "3 4"


@pytest.mark.parametrize("layer", ["only.npy", "only.npy:2", "only.npy:x:relu", "only.npy:2:tanh"])
def test_a_layer_that_is_not_written_as_one_is_refused(tmp_path: Path, layer: str) -> None:
    npy(tmp_path, "only.npy", 3, 4)

    result = invoke("job", "pack", tmp_path / "net.bin", "--layer", tmp_path / layer)

    assert result.code == EXIT_USAGE
    assert "first.npy:7:relu" in result.err


def test_files_that_make_no_network_are_refused(tmp_path: Path) -> None:
    wide, other = npy(tmp_path, "wide.npy", 3, 4), npy(tmp_path, "other.npy", 5, 2)
    floats, flat = npy(tmp_path, "floats.npy", 3, 4, dtype="float32"), npy(tmp_path, "flat.npy", 3)
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "many.npy.npz", one=np.zeros(1, np.int8))
    (tmp_path / "many.npy.npz").rename(tmp_path / "many.npy")
    cases: dict[str, list[object]] = {
        "make no network": [f"{wide}:1:relu", f"{other}:1:relu"],
        "holds no int8": [f"{floats}:1:relu"],
        "holds no matrix": [f"{flat}:1:relu"],
        "is no .npy file": [f"{tmp_path / 'text.npy'}:1:relu"],
        "holds no int8 array": [f"{tmp_path / 'many.npy'}:1:relu"],
        "cannot read": [f"{tmp_path / 'missing.npy'}:1:relu"],
        "shift 32": [f"{wide}:32:relu"],
    }
    for reason, layers in cases.items():
        options = [part for layer in layers for part in ("--layer", layer)]
        result = invoke("job", "pack", tmp_path / "net.bin", *options)
        assert result.code == EXIT_CONFIG
        assert reason in result.err
    unwritable = invoke("job", "pack", tmp_path, "--layer", f"{wide}:1:relu")
    assert unwritable.code in (EXIT_CONFIG, EXIT_USAGE)


@pytest.mark.parametrize("name", ["rows.npy", "rows.bin"])
def test_rows_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    rows = np.arange(12, dtype=np.int8).reshape(4, 3)

    save_rows(tmp_path / name, rows)

    assert load_rows(tmp_path / name, 3).tolist() == rows.tolist()


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.bin").write_bytes(bytes(10))
    for path in (npy(tmp_path, "rows.npy", 4, 3), tmp_path / "rows.bin", tmp_path / "none.bin"):
        with pytest.raises(UnusableFile):
            load_rows(path, 4)
    with pytest.raises(UnusableFile):
        save_rows(tmp_path, np.zeros((1, 1), np.int8))
    with pytest.raises(UnusableFile):
        load_network(tmp_path / "rows.bin")


def run_job(folder: Path, url: str, *options: object) -> Any:
    rows = npy(folder, "rows.npy", 4, 3)
    return invoke(
        "job", "run", "--network", packed(folder), "--rows", rows, "--output", folder / "out.npy",
        "--url", url, *options,
    )  # fmt: skip


def test_a_lease_that_does_not_exist_is_refused(tmp_path: Path, node_url: str) -> None:
    result = run_job(tmp_path, node_url, "--lease", 99, "--from", "//Bob")

    assert result.code == EXIT_FAILED
    assert "lease 99" in result.err
    assert not (tmp_path / "out.npy").exists()


def test_somebody_must_hold_the_lease(tmp_path: Path, node_url: str) -> None:
    nobody = run_job(tmp_path, node_url, "--lease", 1)
    both = run_job(tmp_path, node_url, "--lease", 1, "--from", "//Bob", "--from-file", "bob.json")

    assert (nobody.code, both.code) == (EXIT_USAGE, EXIT_USAGE)


def test_commands_are_offered_with_their_limits(tmp_path: Path) -> None:
    file = tmp_path / "commands.json"
    file.write_text(json.dumps({"render": {"argv": ["render", "-q"], "arguments_max": 2}}))

    assert load_commands(file) == {"render": Command(("render", "-q"), arguments_max=2)}


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"a": []}',
        '{"a": {}}',
        '{"a": {"argv": []}}',
        '{"a": {"argv": "ls"}}',
        '{"a": {"argv": [1]}}',
        '{"a": {"argv": ["ls"], "shell": 1}}',
        '{"a": {"argv": ["ls"], "seconds_max": "1"}}',
        '{"a": {"argv": ["ls"], "seconds_max": true}}',
        '{"a": {"argv": ["ls"], "seconds_max": -1}}',
    ],
)
def test_a_file_of_commands_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "commands.json"
    file.write_text(text)

    with pytest.raises(InvalidCommands):
        load_commands(file)


def test_a_service_needs_a_key_and_an_address(tmp_path: Path) -> None:
    no_key = invoke("provider", "serve", "--folder", tmp_path)
    no_address = invoke("provider", "serve", "--key", "//Bob", "--listen", "here")

    assert (no_key.code, no_address.code) == (EXIT_USAGE, EXIT_USAGE)
    assert "tcp/30390" in no_address.err


def test_a_service_listens_where_neither_a_node_nor_a_devnet_does() -> None:
    port = int(DEFAULT_LISTEN.rpartition("/")[2])

    assert port not in {DEFAULT_PORT, DEFAULT_RPC_PORT, DEFAULT_PROMETHEUS_PORT}
    assert port not in range(DEFAULT_BASE_PORT, DEFAULT_BASE_PORT + 3 * NODES_MAX)
