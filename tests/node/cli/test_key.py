import json
import stat
from pathlib import Path

import pytest

from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from primitives.account_file import decode_account_file, open_account_file
from primitives.crypto import Purpose
from primitives.derivation import DEV_PHRASE, derive_key_pair
from tests.node.cli.running import invoke, secret_file

PASSWORD = "correct horse"
ALICE = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
ALICE_SEED = "0xabf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    return secret_file(tmp_path, "password", PASSWORD + "\n")


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_phrase_that_is_generated_leads_to_the_key_that_is_shown(words: int) -> None:
    made = invoke("key", "generate", "--words", words, "--json").json

    assert len(made["phrase"].split()) == words
    assert made["publicKey"] == "0x" + derive_key_pair(made["phrase"]).public.hex()
    assert "secretSeed" not in made


def test_every_key_is_another() -> None:
    phrases = {invoke("key", "generate", "--json").json["phrase"] for _ in range(3)}

    assert len(phrases) == 3


def test_generated_account_file_opens_with_its_password(tmp_path: Path, password: Path) -> None:
    file = tmp_path / "account.json"

    made = invoke(
        "key", "generate", "--output", file, "--password-file", password, "--name", "Me", "--json"
    ).json

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    account = decode_account_file(file.read_text())
    assert account.name == "Me"
    opened = open_account_file(account, PASSWORD)
    assert opened.public == derive_key_pair(made["phrase"]).public


def test_account_file_is_never_overwritten_without_force(tmp_path: Path, password: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text("precious")
    arguments = ("key", "generate", "--output", file, "--password-file", password)

    refused = invoke(*arguments)
    assert file.read_text() == "precious"
    forced = invoke(*arguments, "--force")

    assert (refused.code, forced.code) == (EXIT_CONFIG, 0)
    assert "--force" in refused.err
    assert decode_account_file(file.read_text()).encrypted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["account.json", "password"]


def test_imported_key_is_that_of_the_phrase(tmp_path: Path, password: Path) -> None:
    secret = secret_file(tmp_path, "secret", f"{DEV_PHRASE}//Alice\n")
    file = tmp_path / "account.json"

    result = invoke(
        "key", "import", file, "--secret-file", secret, "--password-file", password, "--json"
    )

    assert result.json["address"] == ALICE
    assert open_account_file(decode_account_file(file.read_text()), PASSWORD).public.hex() in str(
        result.json
    )


def test_secret_that_is_wrong_is_not_repeated(tmp_path: Path, password: Path) -> None:
    secret = secret_file(tmp_path, "secret", DEV_PHRASE.replace("walk", "wolf"))

    result = invoke(
        "key", "import", tmp_path / "a", "--secret-file", secret, "--password-file", password
    )

    assert result.code == EXIT_CONFIG
    assert not any(word in result.out + result.err for word in ("wolf", "bottom", "curtain"))


def test_key_inspected_is_what_subkey_shows() -> None:
    shown = invoke("key", "inspect", "//Alice", "--scheme", "ed25519", "--json").json

    assert shown["address"] == ALICE
    assert "secretSeed" not in shown
    assert invoke("key", "inspect", "//Alice", "--show-secret", "--json").json["secretSeed"] == (
        ALICE_SEED
    )


@pytest.mark.parametrize("form", ["address", "publicKey"])
def test_address_and_public_key_are_inspected_alike(form: str) -> None:
    alice = invoke("key", "inspect", "//Alice", "--json").json

    assert invoke("key", "inspect", alice[form], "--json").json == alice


def test_address_is_written_for_the_network_that_is_asked_for() -> None:
    shown = invoke("key", "inspect", ALICE, "--ss58-prefix", 0, "--json").json

    assert shown["address"].startswith("1")
    assert invoke("key", "inspect", shown["address"], "--json").json["address"] == ALICE


def test_secret_of_an_address_is_not_known() -> None:
    result = invoke("key", "inspect", ALICE, "--show-secret")

    assert result.code == EXIT_CONFIG
    assert "does not tell the secret" in result.err


def test_account_file_is_inspected_without_its_password(tmp_path: Path, password: Path) -> None:
    file = tmp_path / "account.json"
    made = invoke(
        "key", "generate", "--output", file, "--password-file", password, "--name", "Me", "--json"
    ).json

    shown = invoke("key", "inspect", file, "--json").json
    opened = invoke(
        "key", "inspect", file, "--show-secret", "--password-file", password, "--json"
    ).json

    assert (shown["address"], shown["name"]) == (made["address"], "Me")
    assert opened["secretSeed"] == "0x" + derive_key_pair(made["phrase"]).seed.hex()


@pytest.mark.parametrize("secret", [DEV_PHRASE, f"{DEV_PHRASE}//Alice", "correct horse battery"])
def test_secret_as_an_argument_is_refused_and_not_repeated(secret: str) -> None:
    result = invoke("key", "inspect", secret)

    assert result.code == EXIT_CONFIG
    assert "prompt" in result.err
    assert secret.split(maxsplit=1)[0] not in result.out + result.err


def test_text_that_names_no_key_is_not_repeated_either() -> None:
    result = invoke("key", "inspect", "battery")

    assert result.code == EXIT_CONFIG
    assert "battery" not in result.err


def test_without_a_terminal_nothing_is_asked() -> None:
    result = invoke("key", "inspect")

    assert result.code == EXIT_CONFIG
    assert "--secret-file" in result.err


def test_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    secret = secret_file(tmp_path, "secret", "//Alice")
    secret.chmod(0o644)

    result = invoke("key", "inspect", "--secret-file", secret)

    assert result.code == 0
    assert f"chmod 600 {secret}" in result.err


def test_signature_is_verified_for_its_account_and_message_only() -> None:
    signature = invoke("key", "sign", "--from", "//Alice", "--message", "hello").out.strip()

    def verify(who: str, message: str) -> int:
        return invoke("key", "verify", who, signature, "--message", message).code

    assert verify("//Alice", "hello") == 0
    assert verify(ALICE, "hello") == 0
    assert verify("//Bob", "hello") == EXIT_FAILED
    assert verify("//Alice", "hello!") == EXIT_FAILED


def test_message_is_the_same_as_text_as_hex_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"hello")

    signatures = {
        invoke("key", "sign", "--from", "//Alice", *message, "--json").json["signature"]
        for message in (
            ("--message", "hello"),
            ("--hex", "0x68656c6c6f"),
            ("--message-file", file),
        )
    }

    assert len(signatures) == 1


def test_account_file_signs(tmp_path: Path, password: Path) -> None:
    file = tmp_path / "account.json"
    made = invoke("key", "generate", "--output", file, "--password-file", password, "--json").json

    signature = invoke(
        "key", "sign", "--from-file", file, "--password-file", password, "--message", "hello"
    ).out.strip()

    assert invoke("key", "verify", made["address"], signature, "--message", "hello").code == 0


@pytest.mark.parametrize("purpose", [Purpose.EXTRINSIC_SIGNING, Purpose.VOTE])
def test_what_would_act_on_the_chain_is_not_signed_as_a_message(purpose: bytes) -> None:
    message = "0x" + (purpose + bytes(40)).hex()

    result = invoke("key", "sign", "--from", "//Alice", "--hex", message)

    assert result.code == EXIT_CONFIG


@pytest.mark.parametrize(
    "arguments",
    [
        ("sign", "--message", "hello"),
        ("sign", "--from", "//Alice"),
        ("sign", "--from", "//Alice", "--message", "a", "--hex", "0x61"),
        ("verify", "//Alice", "0x00"),
        ("generate", "--words", "13"),
        ("generate", "--scheme", "sr25519"),
    ],
)
def test_contradictory_options_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert invoke("key", *arguments).code == EXIT_USAGE


@pytest.mark.parametrize("signature", ["0x", "0x00", "00", "0xzz", "0x" + "00" * 64])
def test_signature_that_is_none_is_refused(signature: str) -> None:
    result = invoke("key", "verify", "//Alice", signature, "--message", "hello")

    assert result.code in (EXIT_FAILED, EXIT_CONFIG)


def test_session_keys_are_made_once_and_only_their_public_parts_shown(tmp_path: Path) -> None:
    arguments = ("key", "session", "--base-path", tmp_path, "--chain-id", "test", "--json")

    missing = invoke(*arguments)
    made = invoke(*arguments, "--generate").json
    again = invoke(*arguments, "--generate").json

    assert missing.code == EXIT_CONFIG
    assert "--generate" in missing.out
    assert again == made
    assert set(made) == {"consensus", "vrf", "peer"}
    keystore = tmp_path / "chains" / "test" / "keystore"
    for path in keystore.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["seed"] not in str(made)


def test_session_keys_become_a_validator_of_a_chain_spec(tmp_path: Path) -> None:
    shown = invoke(
        "key", "session", "--base-path", tmp_path, "--chain-id", "test", "--generate",
        "--account", "//Alice",
    )  # fmt: skip
    file, spec = tmp_path / "validators.json", tmp_path / "spec.json"
    file.write_text(f"[{shown.out}]")

    made = invoke("genesis", "build", "--id", "test", "--validators", file, "--output", spec)

    assert made.code == 0, made.err
    validators = invoke("genesis", "inspect", spec, "--json").json["validators"]
    assert validators == [{"account": ALICE, "weight": 10**13}]
