from pathlib import Path
from typing import Any

import pytest

from genesis.presets import DEV_ENDOWMENT
from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_NO_NODE, EXIT_USAGE
from primitives.account_file import WIDELY_READABLE, encode_account_file
from primitives.derivation import derive_key_pair
from primitives.ss58 import encode_address
from primitives.types import AccountId
from tests.node.cli.running import Result, invoke, secret_file

BOB = encode_address(AccountId(derive_key_pair("//Bob").public))
PASSWORD = "correct horse"


def transfer(url: str, *arguments: object) -> Result:
    return invoke("account", "transfer", "--url", url, *arguments)


def balance(url: str, who: str) -> Any:
    return invoke("account", "balance", who, "--url", url, "--json").json


def account_file(folder: Path, uri: str, **meta: object) -> Path:
    text = encode_account_file(
        derive_key_pair(uri),
        PASSWORD,
        salt=bytes(32),
        nonce=bytes(24),
        meta=meta,
        cost=WIDELY_READABLE,
    )
    return secret_file(folder, "account.json", text)


def test_transfer_reports_block_finality_fee_and_both_balances(node_url: str) -> None:
    receipt = transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "1.5", "--json").json

    assert receipt["status"] == "finalized"
    assert receipt["inBlock"] == receipt["finalized"]
    assert receipt["error"] is None
    sent = int(receipt["from"]["before"]) - int(receipt["from"]["after"])
    assert sent == 1_500_000_000 + int(receipt["fee"])
    assert int(receipt["to"]["after"]) - int(receipt["to"]["before"]) == 1_500_000_000
    block = invoke("chain", "block", receipt["finalized"], "--url", node_url, "--json").json
    included = block["extrinsics"][receipt["extrinsicIndex"]]
    assert included["hash"] == receipt["extrinsic"]
    assert included["call"] == "balances.transfer"
    assert included["arguments"]["amount"] == "1500000000"
    assert included["receipt"]["fee"] == receipt["fee"]


def test_transfer_for_people_names_what_happened(node_url: str) -> None:
    result = transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "0.25")

    assert result.code == 0
    for label in ("extrinsic", "inBlock", "finalized", "fee", "from", "to"):
        assert any(line.startswith(label) for line in result.out.splitlines()), label
    assert "LOOP" in result.out
    assert "\x1b[" not in result.out


def test_fee_and_tip_are_both_paid(node_url: str) -> None:
    plain = transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "1", "--json").json
    tipped = transfer(
        node_url, "--from", "//Bob", "--to", "//Charlie", "1", "--tip", "0.01", "--json"
    ).json

    # The tip's own digits cost a few bytes.
    assert 0 <= int(tipped["fee"]) - int(plain["fee"]) - 10_000_000 < 1000


def test_account_file_pays_once_its_password_is_given(node_url: str, tmp_path: Path) -> None:
    file = account_file(tmp_path, "//Charlie", name="Charlie")
    password = secret_file(tmp_path, "password", PASSWORD + "\n")

    result = transfer(
        node_url, "--from-file", file, "--password-file", password, "--to", BOB, "1", "--json"
    )

    assert result.json["to"]["address"] == BOB


def test_wrong_password_is_refused_and_repeated_nowhere(node_url: str, tmp_path: Path) -> None:
    file = account_file(tmp_path, "//Charlie")
    password = secret_file(tmp_path, "password", "battery staple")

    result = transfer(node_url, "--from-file", file, "--password-file", password, "--to", BOB, "1")

    assert result.code == EXIT_CONFIG
    assert "password" in result.err
    assert "battery" not in result.out + result.err


def test_account_file_of_another_chain_does_not_pay_here(node_url: str, tmp_path: Path) -> None:
    file = account_file(tmp_path, "//Charlie", genesisHash="0x" + "11" * 32)
    password = secret_file(tmp_path, "password", PASSWORD)

    result = transfer(node_url, "--from-file", file, "--password-file", password, "--to", BOB, "1")

    assert result.code == EXIT_CONFIG
    assert "0x" + "11" * 32 in result.err


def test_pinned_genesis_must_be_the_nodes(node_url: str) -> None:
    result = transfer(
        node_url, "--from", "//Bob", "--to", "//Charlie", "1", "--genesis", "0x" + "22" * 32
    )

    assert result.code == EXIT_CONFIG


@pytest.mark.parametrize(
    "secret",
    [
        "bottom drive obey lake curtain smoke basket hold race lonely fit walk",
        "0x" + "5e" * 32,
        "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice",
    ],
)
def test_secret_on_the_command_line_is_refused_and_not_repeated(node_url: str, secret: str) -> None:
    result = transfer(node_url, "--from", secret, "--to", "//Bob", "1")

    assert result.code == EXIT_CONFIG
    assert "--from-file" in result.err
    assert secret not in result.out + result.err


def test_more_than_the_account_has_is_refused_before_a_fee_is_paid(node_url: str) -> None:
    before = balance(node_url, "//Charlie")

    result = transfer(node_url, "--from", "//Charlie", "--to", "//Bob", "999999999")

    assert result.code == EXIT_FAILED
    assert "999999999" in result.err
    assert balance(node_url, "//Charlie")["nonce"] == before["nonce"]


def test_transfer_that_fails_in_its_block_keeps_the_fee_and_says_so(node_url: str) -> None:
    # Less than the existential deposit to an account that does not exist.
    result = transfer(node_url, "--from", "//Charlie", "--to", "//Nobody", "0.0001")

    assert result.code == EXIT_FAILED
    assert "balances.BelowExistentialDeposit" in result.err
    assert balance(node_url, "//Nobody")["free"] == "0"


def test_everything_moves_with_all(node_url: str) -> None:
    transfer(node_url, "--from", "//Bob", "--to", "//Dora", "2")

    receipt = transfer(node_url, "--from", "//Dora", "--to", "//Bob", "--all", "--json").json

    assert receipt["from"]["after"] == "0"
    assert balance(node_url, "//Dora")["free"] == "0"


def test_account_that_must_stay_alive_is_not_emptied(node_url: str) -> None:
    transfer(node_url, "--from", "//Bob", "--to", "//Erna", "2")

    receipt = transfer(
        node_url, "--from", "//Erna", "--to", "//Bob", "--all", "--keep-alive", "--json"
    ).json

    assert receipt["from"]["after"] == "1000000"


def test_submitted_only_gives_a_hash_to_look_for(node_url: str) -> None:
    result = transfer(node_url, "--from", "//Charlie", "--to", "//Bob", "1", "--no-wait", "--json")

    assert result.json["status"] == "submitted"
    # The next of the same account is final only after this one.
    transfer(node_url, "--from", "//Charlie", "--to", "//Bob", "1")
    found = invoke("chain", "extrinsic", result.json["extrinsic"], "--url", node_url, "--json").json
    assert found["signer"] == encode_address(AccountId(derive_key_pair("//Charlie").public))


def test_nonce_that_is_used_up_is_refused_with_the_reason(node_url: str) -> None:
    transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "1")

    result = transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "1", "--nonce", "0")

    assert result.code == EXIT_FAILED
    assert "NonceTooLow" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "//Bob", "1"),
        ("--from", "//Alice", "--from-file", "x.json", "--to", "//Bob", "1"),
        ("--from", "//Alice", "--to", "//Bob"),
        ("--from", "//Alice", "--to", "//Bob", "1", "--all"),
        ("--from", "//Alice", "1"),
        ("--from", "//Alice", "//Bob", "1"),
        ("--from", "//Alice", "--to", "//Bob", "1", "2"),
    ],
)
def test_contradictory_options_are_a_usage_error(node_url: str, arguments: tuple[str, ...]) -> None:
    assert transfer(node_url, *arguments).code == EXIT_USAGE


@pytest.mark.parametrize("amount", ["1,5", "-1", "1e9", "0.0000000001", "abc", "99999999999"])
def test_amount_that_is_none_says_what_one_looks_like(node_url: str, amount: str) -> None:
    result = transfer(node_url, "--from", "//Alice", "--to", "//Bob", "--", amount)

    assert result.code == EXIT_CONFIG
    assert "LOOP" in result.err


def test_mistyped_address_is_refused(node_url: str) -> None:
    result = transfer(node_url, "--from", "//Alice", "--to", BOB[:-1] + "x", "1")

    assert result.code == EXIT_CONFIG
    assert "checksum" in result.err


def test_balance_of_a_new_account_is_nothing(node_url: str) -> None:
    found = balance(node_url, "//Unheard")

    assert (found["free"], found["nonce"], found["held"]) == ("0", 0, {})


def test_alice_has_her_endowment_and_what_she_earned(node_url: str) -> None:
    found = balance(node_url, "//Alice")

    assert int(found["free"]) >= DEV_ENDOWMENT
    assert "final" in invoke("account", "balance", "//Alice", "--url", node_url).out


def test_nonce_counts_signed_extrinsics(node_url: str) -> None:
    def nonce() -> int:
        found = invoke("account", "nonce", "//Bob", "--url", node_url, "--json").json
        return int(found["nonce"])

    before = nonce()
    transfer(node_url, "--from", "//Bob", "--to", "//Charlie", "1")

    assert nonce() == before + 1
    assert invoke("account", "nonce", "//Bob", "--url", node_url).out == f"{before + 1}\n"


def test_history_shows_both_sides_newest_first(node_url: str) -> None:
    for amount in ("3", "4"):
        transfer(node_url, "--from", "//Bob", "--to", "//Frida", amount)

    found = invoke("account", "history", "//Frida", "--url", node_url, "--json").json
    text = invoke("account", "history", "//Frida", "--url", node_url, "--count", 1).out

    amounts = [entry["arguments"]["amount"] for entry in found["extrinsics"]]
    assert amounts == ["4000000000", "3000000000"]
    assert all(entry["signer"] == BOB for entry in found["extrinsics"])
    assert "amount=4 LOOP" in text
    assert "amount=3 LOOP" not in text


def test_history_below_a_height_leaves_out_what_is_newer(node_url: str) -> None:
    receipt = transfer(node_url, "--from", "//Bob", "--to", "//Greta", "3", "--json").json

    below = invoke(
        "account", "history", "//Greta", "--before", receipt["height"], "--url", node_url
    )
    above = invoke(
        "account", "history", "//Greta", "--before", receipt["height"] + 1, "--url", node_url
    )

    assert "no history" in below.out
    assert receipt["extrinsic"] in above.out


def test_no_node_says_how_to_start_one() -> None:
    result = transfer("http://127.0.0.1:9", "--from", "//Alice", "--to", "//Bob", "1")

    assert result.code == EXIT_NO_NODE
    assert "no node answers at http://127.0.0.1:9" in result.err
    assert "loopin node --dev" in result.err


def test_error_for_a_machine_is_one_json_document() -> None:
    result = invoke("account", "balance", "//Alice", "--url", "http://127.0.0.1:9", "--json")

    assert result.code == EXIT_NO_NODE
    assert '"error": "NodeUnreachable"' in result.out
    assert result.err == ""
