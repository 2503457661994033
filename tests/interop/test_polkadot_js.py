"""Both ways with the wallets' own library, where Node and ``npm install`` in this folder are.

The frozen results of the same script are in ``tests/vectors/polkadot_js.json`` and are checked by
every run; this asks the library itself.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from primitives.account_file import (
    STRONG,
    WIDELY_READABLE,
    ScryptCost,
    decode_account_file,
    encode_account_file,
    open_account_file,
)
from primitives.crypto import is_valid_signature
from primitives.derivation import derive_key_pair
from primitives.ss58 import encode_address
from primitives.types import AccountId, Signature

HERE = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NODE is None, reason="Node.js is not installed"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "@polkadot" / "keyring").is_dir(),
        reason="@polkadot/keyring is not installed: run 'npm install' in tests/interop",
    ),
]
URI = "//Alice//stash"
META = {"name": "LooPIN ✓", "whenCreated": 1_700_000_000_000}


def polkadot_js(command: str, request: object) -> Any:  # whatever JSON the script prints
    assert NODE is not None
    done = subprocess.run(
        [NODE, "polkadot.mjs", command],
        cwd=HERE,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("cost", [STRONG, WIDELY_READABLE], ids=["strong", "widely-readable"])
@pytest.mark.parametrize("password", ["correct horse", "пароль", "0x1234", "0x123"])
def test_a_file_of_ours_opens_in_polkadot_js_and_signs(password: str, cost: ScryptCost) -> None:
    pair = derive_key_pair(URI)
    file = encode_account_file(
        pair, password, salt=bytes(range(32)), nonce=bytes(range(24)), meta=META, cost=cost
    )

    answer = polkadot_js("open", {"file": file, "password": password, "message": "hello"})

    assert answer["address"] == encode_address(AccountId(pair.public))
    assert answer["public"] == pair.public.hex()
    assert answer["meta"] == META
    signature = Signature(bytes.fromhex(answer["signature"]))
    assert signature == pair.sign(b"hello")
    assert is_valid_signature(pair.public, b"hello", signature)


@pytest.mark.parametrize("password", ["correct horse", "пароль", "0x1234", "0x123"])
def test_a_file_of_polkadot_js_opens_here(password: str) -> None:
    created = polkadot_js("create", {"uri": URI, "password": password, "meta": META})

    file = decode_account_file(json.dumps(created))

    assert file.meta == META
    assert open_account_file(file, password).public == derive_key_pair(URI).public


def test_the_frozen_vectors_are_what_the_library_says_today() -> None:
    frozen = json.loads((HERE.parent / "vectors" / "polkadot_js.json").read_text(encoding="utf-8"))
    today = polkadot_js("vectors", None)

    for part in ("addresses", "uris", "mnemonics"):
        assert today[part] == frozen[part]
