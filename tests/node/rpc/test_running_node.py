"""The RPC of a running node: every method answers as its description says, every refusal why."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chain.mempool import Limits
from chain.state_proof import hash_value, verify_proof
from node.client.endpoint import Endpoint
from node.client.errors import CallRefused
from node.client.node_client import NodeClient, hex_of
from node.client.wallet import Terms, sign
from primitives.block import encode_inherent
from primitives.codec import ACCOUNT, AMOUNT, Plain
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Balance, Height, Nonce
from runtime.session_keys import SET_KEYS_ARGUMENTS
from tests.node.cli.running import quick_spec, running_node

pytestmark = pytest.mark.slow
ALICE, BOB, CHARLIE = (derive_key_pair(f"//{name}") for name in ("Alice", "Bob", "Charlie"))
NOBODY = KeyPair(bytes(32))
FOR_EVER = Height(2**63)
LOOP = 10**9
LIMITS = Limits(count_max=8, account_bytes_max=30_000, future_count_max=3)
UNSUBSCRIBED = "unsubscribe"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node"), quick_spec(), mempool=LIMITS) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[NodeClient]:
    with NodeClient(Endpoint.parse(url)) as client:
        yield client


def transfer(amount: int = LOOP, *, recipient: KeyPair = CHARLIE) -> Plain:
    return ["balances.transfer", bytes(recipient.public), amount]


def signed(
    client: NodeClient, pair: KeyPair, *, ahead: int = 0, tip: int = 0, call: Plain = None
) -> bytes:
    """Return an extrinsic whose nonce is that many beyond the account's next."""
    nonce = client.next_nonce(hex_of(pair.public)) + ahead
    terms = Terms(nonce=Nonce(nonce), valid_until=FOR_EVER, tip=Balance(tip))
    return sign(client, pair, transfer() if call is None else call, terms)


def follow(client: NodeClient, extrinsic: bytes) -> list[Any]:
    """Submit and return every status until the last."""
    seen = []
    with client.subscribe("author_submitAndWatchExtrinsic", hex_of(extrinsic)) as subscription:
        for news in subscription.notifications():
            seen.append(news)
            if isinstance(news, dict) and "inBlock" not in news:
                return seen
    return seen


def assert_matches(schema: Mapping[str, Any], value: Any, where: str) -> None:
    """Assert that ``value`` is one that a JSON schema of the forms made here describes."""
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if _fits(one, value, where)]
        assert len(fitting) == 1, f"{where}: {value!r:.80} fits {len(fitting)} of {schema}"
        return
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "string": str, "integer": int, "boolean": bool, "array": list, "object": dict,
        "null": type(None),
    }  # fmt: skip
    assert isinstance(value, kinds[schema["type"]]), f"{where}: {value!r:.80} is no {schema}"
    if isinstance(value, list):
        for item in value:
            assert_matches(schema["items"], item, where)
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), where
        for name, part in schema.get("properties", {}).items():
            if name in value:
                assert_matches(part, value[name], f"{where}.{name}")


def _fits(schema: Mapping[str, Any], value: Any, where: str) -> bool:
    try:
        assert_matches(schema, value, where)
    except AssertionError:
        return False
    return True


def test_every_method_answers_what_its_description_says(client: NodeClient) -> None:
    follow(client, signed(client, BOB, call=["pocps.register", 1, 1000]))
    done = follow(client, signed(client, BOB))
    block = done[-1]["finalized"]
    whole: Any = client.call("chain_getBlock", block)
    known = client.call("author_submitExtrinsic", hex_of(signed(client, BOB)))
    bob, key = hex_of(BOB.public), "0x" + b"balances.total_issuance".hex()
    arguments: dict[str, list[Any] | None] = {
        "system_accountNextIndex": [bob],
        "chain_getHandover": [10**6],
        "state_getStorage": [key],
        "state_getStorageHash": [key],
        "state_getStorageSize": [key],
        "state_getKeysPaged": ["0x", 5],
        "state_queryStorageAt": [[key], block],
        "state_getReadProof": [[key], block],
        "state_call": ["balances.spendable", hex_of(ACCOUNT.encode(AccountId(BOB.public)))],
        "state_subscribeStorage": [[key]],
        "author_submitExtrinsic": [hex_of(signed(client, ALICE))],
        "author_submitAndWatchExtrinsic": [hex_of(signed(client, ALICE, ahead=1))],
        "author_hasKey": [bob, "consensus"],
        "author_rotateKeys": [bob],
        "payment_queryInfo": [whole["extrinsics"][-1]],
        "chain_getBlock": [block],
        "chain_getReceipts": [block],
        "chain_getFinalization": [block],
        "chain_getExtrinsic": [known],
        "chain_getAccountHistory": [bob, 10],
        "chain_getBlockHash": [1],
        **{
            f"staking_{name}": [hex_of(ALICE.public)]
            for name in ("validator", "ledger", "pendingRewards", "sessionKeys", "estimateSlash")
        },
        "staking_nominations": [bob],
        "pocps_provider": [bob],
        "pocps_providers": [1],
        "pocps_challenge": [1],
        "pocps_faults": [bob, 1],
        "pocps_estimatePenalty": [bob, 1],
        "pocps_estimateReward": [1, 1000],
        "pools_get": [0],
        "pools_quote": None,
        "pools_quoteExtension": None,
        "pools_lease": [0],
        "pools_leases": [bob],
        "pools_history": [0],
        "pools_memberships": [bob],
    }
    document: Any = client.call("rpc_discover")
    answered = set()
    for method in document["methods"]:
        name, schema = method["name"], method["result"]["schema"]
        given = arguments.get(name, [])
        if given is None:
            continue  # a pool sells nothing before somebody has proven for an epoch
        if UNSUBSCRIBED in name.lower() or "unwatch" in name:
            continue  # tests/interop/rpc ends what it began
        if "subscribe" in name or "AndWatch" in name:
            with client.subscribe(name, *given) as subscription:
                sent = method["x-notification"]["schema"]
                assert_matches(sent, next(subscription.notifications()), name)
        else:
            assert_matches(schema, client.call(name, *given), name)
        answered.add(name)

    assert {name for name, given in arguments.items() if given is not None} <= answered
    assert len(answered) >= 40
    names: Any = client.call("rpc_methods")
    assert answered < set(names["methods"])


def test_new_keys_of_a_node_are_taken_by_the_chain_from_their_owner_alone(
    client: NodeClient,
) -> None:
    answer = str(client.call("author_rotateKeys", hex_of(ALICE.public)))
    keys, proofs = SET_KEYS_ARGUMENTS.decode(bytes.fromhex(answer[2:]))
    call: Plain = ["session.set_keys", list(keys.each()), list(proofs.each())]

    errors = []
    for pair in (CHARLIE, ALICE):
        done = follow(client, signed(client, pair, call=call))
        receipts: Any = client.call("chain_getReceipts", done[-1]["finalized"])
        errors.append([receipt["error"] for receipt in receipts if receipt["fee"] != "0"])

    assert client.call("author_hasKey", hex_of(keys.consensus), "consensus") is True
    assert errors == [["session.InvalidKeyProof"], [None]]


def test_each_refusal_of_an_extrinsic_has_its_code_and_reason(client: NodeClient) -> None:
    waiting = signed(client, CHARLIE, ahead=5, tip=100)
    client.call("author_submitExtrinsic", hex_of(waiting))
    follow(client, signed(client, ALICE))
    used = sign(client, ALICE, transfer(), Terms(Nonce(0), FOR_EVER, Balance(0)))
    next_nonce = client.next_nonce(hex_of(ALICE.public))
    late = sign(client, ALICE, transfer(), Terms(next_nonce, Height(0), Balance(0)))
    remark: Plain = ["system.remark", bytes(16_000)]
    refusals = {
        "AlreadyKnown": (1013, waiting),
        "TipTooLow": (1014, signed(client, CHARLIE, ahead=5, tip=109)),
        "TooFarAhead": (1016, signed(client, CHARLIE, ahead=600)),
        "NonceTooLow": (1010, used),
        "Expired": (1010, late),
        "CannotPayFee": (1010, signed(client, NOBODY)),
        "BadSignature": (1010, waiting[:-1] + bytes([waiting[-1] ^ 1])),
        "UnsignedExtrinsic": (1010, encode_inherent(["timestamp.set", 10**13])),
        "TooLarge": (1001, waiting[:-1]),
        "WrongType": (1001, signed(client, ALICE, call=["balances.transfer", b"short", 1])),
    }
    for reason, (code, extrinsic) in refusals.items():
        with pytest.raises(CallRefused, match=reason) as refused:
            client.call("author_submitExtrinsic", hex_of(extrinsic))
        assert refused.value.code == code, reason

    client.call("author_submitExtrinsic", hex_of(signed(client, CHARLIE, ahead=6, call=remark)))
    with pytest.raises(CallRefused, match="AccountFull"):
        client.call("author_submitExtrinsic", hex_of(signed(client, CHARLIE, ahead=7, call=remark)))
    client.call("author_submitExtrinsic", hex_of(signed(client, CHARLIE, ahead=7)))
    with pytest.raises(CallRefused, match=r"MempoolFull.*wait for earlier nonces") as full:
        client.call("author_submitExtrinsic", hex_of(signed(client, BOB, ahead=3)))
    assert full.value.code == 1016


def test_a_watcher_is_told_of_every_step(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, quick_spec()) as url,
        NodeClient(Endpoint.parse(url)) as client,
        client.subscribe(
            "author_submitAndWatchExtrinsic", hex_of(signed(client, BOB, ahead=1))
        ) as subscription,
    ):
        news = subscription.notifications()
        assert next(news) == "future"

        client.call("author_submitExtrinsic", hex_of(signed(client, BOB)))

        ready, in_block, finalized = [next(news) for _ in range(3)]
        assert ready == "ready"
        assert isinstance(in_block, dict)
        assert finalized == {"finalized": in_block["inBlock"]}


def test_a_watcher_is_told_why_an_extrinsic_is_gone(tmp_path: Path) -> None:
    limits = Limits(count_max=2)
    with (
        running_node(tmp_path, quick_spec(), mempool=limits) as url,
        NodeClient(Endpoint.parse(url)) as client,
    ):
        watch = "author_submitAndWatchExtrinsic"
        soon = Height(client.header().header.height + 60)
        late = sign(client, BOB, transfer(), Terms(Nonce(9), soon, Balance(0)))
        replaced, replacing = (signed(client, BOB, ahead=1, tip=tip) for tip in (0, 1))

        with (
            client.subscribe(watch, hex_of(late)) as expiring,
            client.subscribe(watch, hex_of(replaced)) as usurped,
        ):
            by = client.call("author_submitExtrinsic", hex_of(replacing))
            assert list(until_last(usurped.notifications())) == ["future", {"usurped": by}]
            ((state, reason),) = list(until_last(expiring.notifications()))[-1].items()
            assert state == "invalid"
            assert reason.startswith("Expired: ")

        with client.subscribe(watch, hex_of(signed(client, CHARLIE, ahead=3))) as evicted:
            assert next(evicted.notifications()) == "future"
            client.call("author_submitExtrinsic", hex_of(signed(client, ALICE)))
            last = next(evicted.notifications())
            assert last == {"dropped": "MempoolFull: others pay more"}


def until_last(news: Iterator[Any]) -> Iterator[Any]:
    """Yield statuses up to the one that ends the watch."""
    for status in news:
        yield status
        if isinstance(status, dict) and "inBlock" not in status:
            return


def test_an_archive_answers_for_every_height_and_a_pruned_node_says_that_it_does_not(
    tmp_path: Path,
) -> None:
    spec = quick_spec()
    key = hex_of(b"balances.free:" + ACCOUNT.encode(AccountId(BOB.public)))
    with running_node(tmp_path, spec) as url, NodeClient(Endpoint.parse(url)) as client:
        genesis = client.call("chain_getBlockHash", 0)
        first = client.call("state_getStorage", key, genesis)
        paid = follow(client, signed(client, BOB))[-1]["finalized"]
        header: Any = client.call("chain_getHeader", paid)
        height = header["number"]
        parent = client.call("chain_getBlockHash", height - 1)
        wait_for_height(client, height + 40)
        assert client.call("state_getStorage", key, parent) == first
        after = client.call("state_getStorage", key, paid)
        assert first != after

    with (
        running_node(tmp_path, spec, keep_blocks=16) as url,
        NodeClient(Endpoint.parse(url)) as client,
    ):
        wait_for_height(client, height + 50)
        for method, arguments in (
            ("state_getStorage", [key, parent]),
            ("state_getKeysPaged", ["0x", 1, None, parent]),
            ("state_call", ["balances.total_issuance", "0x90", parent]),
        ):
            with pytest.raises(CallRefused, match="StatePruned") as refused:
                client.call(method, *arguments)
            assert refused.value.code == -32000
        assert client.call("chain_getBlock", parent) is None
        assert client.call("chain_getHeader", parent) is not None
        assert client.call("state_getStorage", key) == after


def wait_for_height(client: NodeClient, height: int) -> None:
    with client.subscribe("chain_subscribeFinalizedHeads") as heads:
        for head in heads.notifications():
            assert isinstance(head, dict)
            number = head["number"]
            assert isinstance(number, int)
            if number >= height:
                return


def test_a_proof_of_a_running_node_holds_under_the_header_alone(client: NodeClient) -> None:
    final = client.header(client.final_hash())
    key = b"balances.free:" + ACCOUNT.encode(AccountId(BOB.public))
    block = hex_of(final.hash)
    value = client.call("state_getStorage", hex_of(key), block)
    answer: Any = client.call("state_getReadProof", [hex_of(key)], block)
    (proof,) = [bytes.fromhex(item[2:]) for item in answer["proof"]]

    proven = verify_proof(final.header.state_root, key, proof)

    assert isinstance(value, str)
    assert proven == hash_value(bytes.fromhex(value[2:]))
    assert proven != hash_value(AMOUNT.encode(Balance(1)))


def post(url: str, method: str, **headers: str) -> tuple[int, Any, Any]:
    """Call over HTTP with headers of one's own; return status, headers and answer."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **names}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_unsafe_methods_answer_this_machine_only(url: str) -> None:
    near = post(url, "system_peers")
    proxied = post(url, "system_peers", X_Forwarded_For="203.0.113.5")

    assert near[2]["result"] == []
    assert proxied[2]["error"]["code"] == -32601
    assert "unsafe" in json.dumps(proxied[2]["error"])


def test_pages_of_other_origins_and_other_hosts_are_refused(url: str) -> None:
    allowed = post(url, "system_name", Origin="http://localhost:3000")
    stranger = post(url, "system_name", Origin="https://evil.example")
    rebound = post(url, "system_name", Host="evil.example")
    form = post(url, "system_name", Content_Type="text/plain")

    assert allowed[1]["access-control-allow-origin"] == "http://localhost:3000"
    assert (stranger[0], rebound[0], form[0]) == (403, 403, 415)


def test_what_is_too_large_is_refused_and_the_node_goes_on(url: str, client: NodeClient) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": []}
    request = urllib.request.Request(
        url, json.dumps([call] * 10_001).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        refused = json.load(answer)

    assert refused["error"]["code"] == -32010
    assert client.call("system_name") == "LooPIN"
