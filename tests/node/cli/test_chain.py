import json
from pathlib import Path
from typing import Any

import pytest

from node.cli.main import EXIT_CONFIG, EXIT_FAILED
from tests.node.cli.running import invoke, quick_spec, running_node

ZERO_HASH = "0x" + "00" * 32


def chain(url: str, *arguments: object) -> Any:
    return invoke("chain", *arguments, "--url", url)


def mutated(text: str) -> str:
    """Return 0x-hex with its last bit flipped."""
    data = bytearray.fromhex(text[2:])
    data[-1] ^= 1
    return "0x" + data.hex()


@pytest.fixture
def proof_file(node_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "proof.json"
    result = chain(node_url, "prove", "balances.free", "//Alice", "--output", file)
    assert result.code == 0, result.err
    return file


def verify(file: Path, header_hash: str) -> Any:
    return invoke("chain", "verify-proof", file, "--header-hash", header_hash, "--json")


def test_head_names_chain_best_and_final_block(node_url: str) -> None:
    head = chain(node_url, "head", "--json").json

    assert head["chain"] == "Quick"
    assert head["best"]["height"] >= head["final"]["height"]
    assert chain(node_url, "block", 0, "--json").json["hash"] == head["genesis"]
    assert head["genesis"] in chain(node_url, "head").out


def test_block_is_shown_by_height_and_by_hash(node_url: str) -> None:
    by_height = chain(node_url, "block", 1, "--json").json
    by_hash = chain(node_url, "block", by_height["hash"], "--json").json

    assert by_height == by_hash
    assert by_height["header"]["number"] == 1
    assert by_height["extrinsics"][0]["call"] == "timestamp.set"
    assert by_height["extrinsics"][0]["signer"] is None


def test_block_for_people_shows_calls_and_events_in_tokens(node_url: str) -> None:
    receipt = invoke(
        "account", "transfer", "--from", "//Bob", "--to", "//Charlie", "1.25",
        "--url", node_url, "--json",
    ).json  # fmt: skip

    shown = chain(node_url, "block", receipt["height"]).out

    assert "balances.transfer(" in shown
    assert "balances.Transferred(" in shown
    assert shown.count("amount=1.25 LOOP") == 2


def test_last_final_block_is_shown_by_default(node_url: str) -> None:
    assert chain(node_url, "block", "--json").json["header"]["number"] >= 0


def test_block_of_the_future_says_how_far_the_chain_is(node_url: str) -> None:
    result = chain(node_url, "block", 10**9)

    assert result.code == EXIT_FAILED
    assert "best block" in result.err


def test_unknown_block_says_where_else_to_look(node_url: str) -> None:
    result = chain(node_url, "block", ZERO_HASH)

    assert result.code == EXIT_FAILED
    assert "--pruning archive" in result.err


def test_hash_that_is_none_is_refused(node_url: str) -> None:
    assert chain(node_url, "block", "0x12").code == EXIT_CONFIG


def test_unknown_extrinsic_says_why_that_may_be(node_url: str) -> None:
    result = chain(node_url, "extrinsic", ZERO_HASH)

    assert result.code == EXIT_FAILED
    assert "pruned" in result.err


def test_extrinsic_is_shown_with_its_call_and_events(node_url: str) -> None:
    receipt = invoke(
        "account", "transfer", "--from", "//Bob", "--to", "//Charlie", "1",
        "--url", node_url, "--json",
    ).json  # fmt: skip

    shown = chain(node_url, "extrinsic", receipt["extrinsic"]).out

    assert "balances.transfer(" in shown
    assert receipt["finalized"] in shown
    assert "result     ok" in shown


def test_watch_shows_final_blocks_in_order(node_url: str) -> None:
    lines = chain(node_url, "watch", "--count", 3, "--json").out.splitlines()

    heights = [json.loads(line)["number"] for line in lines]
    assert heights == list(range(heights[0], heights[0] + 3))


def test_watch_follows_best_blocks_too(node_url: str) -> None:
    result = chain(node_url, "watch", "--best", "--count", 2)

    assert result.code == 0
    assert len(result.out.splitlines()) == 2


def test_metadata_lists_calls_and_storage(node_url: str) -> None:
    shown = chain(node_url, "metadata").out

    assert "balances.transfer" in shown
    assert "recipient: account, amount: amount" in shown
    assert "balances.free" in shown
    assert "modules" in chain(node_url, "metadata", "--json").json


def test_read_is_proven_by_the_header_hash_alone(proof_file: Path) -> None:
    document = json.loads(proof_file.read_text())

    verified = verify(proof_file, document["headerHash"]).json

    assert verified["valid"] is True
    assert verified["value"] == document["value"] is not None


def test_proof_for_people_shows_the_value_in_tokens(node_url: str) -> None:
    shown = chain(node_url, "prove", "balances.free", "//Alice").out

    assert "LOOP" in shown


def test_absence_is_proven_too(node_url: str, tmp_path: Path) -> None:
    file = tmp_path / "absent.json"

    document = chain(
        node_url, "prove", "balances.free", "//Unheard", "--output", file, "--json"
    ).json

    assert document["value"] is None
    assert verify(file, document["headerHash"]).json["value"] is None


@pytest.mark.parametrize("part", ["header", "key", "value", "proof"])
def test_tampered_proof_is_refused(proof_file: Path, part: str) -> None:
    document = json.loads(proof_file.read_text())
    proof_file.write_text(json.dumps({**document, part: mutated(document[part])}))

    result = verify(proof_file, document["headerHash"])

    assert result.code == EXIT_FAILED


def test_claimed_absence_of_what_is_there_is_refused(proof_file: Path) -> None:
    document = json.loads(proof_file.read_text())
    proof_file.write_text(json.dumps({**document, "value": None}))

    result = verify(proof_file, document["headerHash"])

    assert result.code == EXIT_FAILED
    assert "WrongValue" in result.out


def test_proof_for_another_block_is_refused(proof_file: Path) -> None:
    result = verify(proof_file, ZERO_HASH)

    assert result.code == EXIT_FAILED
    assert "WrongHeader" in result.out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"header": 1, "value": null}', "\ud800"])
def test_file_that_is_no_proof_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "proof.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))

    assert verify(file, ZERO_HASH).code == EXIT_CONFIG


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("balances.nothing",), "balances.free"),
        (("balances.free",), "give a key"),
        (("balances.free", "5x"), "account"),
        (("balances.free", "0xzz"), "address"),
        (("system.height", "//Alice"), "takes no key"),
        (("session.randomness", "many"), "whole number"),
    ],
)
def test_wrong_item_or_key_says_what_is_wanted(
    node_url: str, arguments: tuple[str, ...], said: str
) -> None:
    result = chain(node_url, "prove", *arguments)

    assert result.code == EXIT_CONFIG
    assert said in result.err


def test_single_values_and_numbered_maps_are_proven(node_url: str) -> None:
    assert chain(node_url, "prove", "system.height", "--json").json["value"] is not None
    assert chain(node_url, "prove", "session.randomness", "0", "--json").json["value"] is not None


def test_blocks_of_a_running_node_are_exported_and_replayed_elsewhere(
    node_url: str, tmp_path: Path
) -> None:
    invoke("account", "transfer", "--from", "//Bob", "--to", "//Hans", "2", "--url", node_url)
    file, spec = tmp_path / "blocks", tmp_path / "spec.json"
    spec.write_text(quick_spec().to_json())

    exported = chain(node_url, "export", file, "--json").json
    copy = tmp_path / "copy"
    imported = invoke("chain", "import", file, "--chain", spec, "--base-path", copy, "--json").json

    assert imported["blocks"] == exported["blocks"] == exported["last"]
    original = chain(node_url, "block", exported["last"], "--json").json
    assert imported["hash"] == original["hash"]
    assert invoke("db", "check", "--base-path", copy).code == 0


def test_stopped_nodes_folder_is_exported_without_a_node(tmp_path: Path) -> None:
    folder, file, spec = tmp_path / "node", tmp_path / "blocks", tmp_path / "spec.json"
    spec.write_text(quick_spec().to_json())
    with running_node(folder, quick_spec()) as url:
        chain(url, "watch", "--count", 4)

    first = invoke("chain", "export", file, "--base-path", folder, "--to", 2, "--json").json
    again = invoke("chain", "export", tmp_path / "rest", "--base-path", folder, "--from", 3)

    assert first["blocks"] == 2
    assert again.code == 0
    copy = tmp_path / "copy"
    for part in (file, tmp_path / "rest"):
        result = invoke("chain", "import", part, "--chain", spec, "--base-path", copy)
        assert result.code == 0, result.err
    assert invoke("db", "info", "--base-path", copy, "--json").json["height"] >= 3


def test_blocks_of_another_chain_are_refused(node_url: str, tmp_path: Path) -> None:
    file = tmp_path / "blocks"
    chain(node_url, "export", file, "--to", 1)

    result = invoke("chain", "import", file, "--chain", "dev", "--base-path", tmp_path / "copy")

    assert result.code == EXIT_FAILED
    assert "chain spec" in result.err


def test_export_that_fails_leaves_no_file(node_url: str, tmp_path: Path) -> None:
    result = chain(node_url, "export", tmp_path / "blocks", "--from", 10**9)

    assert result.code == EXIT_FAILED
    assert list(tmp_path.iterdir()) == []
