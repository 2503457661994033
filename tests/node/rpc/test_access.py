"""Who may connect and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.transport.access import (
    ADDRESSES_MAX,
    Access,
    Bucket,
    Buckets,
    ByteBudget,
    Doors,
    MethodPolicy,
    is_loopback,
    rate_key,
)
from primitives.errors import ConfigError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "origin, answer",
    [
        ("http://localhost:3000", True),
        ("http://localhost", True),
        ("http://127.0.0.1:80", True),
        ("https://polkadot.js.org", True),
        ("https://polkadot.js.org:444", False),
        ("http://polkadot.js.org", False),
        ("https://localhost:3000", False),
        ("http://localhost.evil.org", False),
        ("http://localhost:3000.evil.org", False),
        ("null", False),
        ("", False),
    ],
)
def test_default_origins_are_local_pages_and_the_known_wallet(origin: str, answer: bool) -> None:
    assert Access().allows_origin(origin) is answer


def test_any_origin_may_call_if_the_operator_says_all() -> None:
    assert Access(origins=None).allows_origin("https://example.org")


@pytest.mark.parametrize("origin", ["example.org", "ftp://example.org", "https://", "https://a/b"])
def test_origin_that_is_none_is_a_config_error(origin: str) -> None:
    with pytest.raises(ConfigError, match="--rpc-cors"):
        Access(origins=(origin,))


@pytest.mark.parametrize(
    "host, answer",
    [
        ("localhost:9944", True),
        ("LOCALHOST", True),
        ("127.0.0.1:1", True),
        ("[::1]:9944", True),
        ("[::1]", True),
        ("evil.org", False),
        ("localhost.evil.org:9944", False),
        ("127.0.0.1.evil.org", False),
        ("", False),
    ],
)
def test_host_must_name_this_machine(host: str, answer: bool) -> None:
    assert Access().allows_host(host) is answer
    assert Access(hosts=None).allows_host(host)


@pytest.mark.parametrize(
    "policy, address, is_forwarded, answer",
    [
        (MethodPolicy.AUTO, "127.0.0.1", False, True),
        (MethodPolicy.AUTO, "127.8.8.8", False, True),
        (MethodPolicy.AUTO, "::1", False, True),
        (MethodPolicy.AUTO, "::ffff:127.0.0.1", False, True),
        (MethodPolicy.AUTO, "127.0.0.1", True, False),
        (MethodPolicy.AUTO, "192.168.0.2", False, False),
        (MethodPolicy.AUTO, "fe80::1%eth0", False, False),
        (MethodPolicy.AUTO, "", False, False),
        (MethodPolicy.SAFE, "127.0.0.1", False, False),
        (MethodPolicy.UNSAFE, "192.168.0.2", True, True),
    ],
)
def test_unsafe_methods_are_for_callers_on_this_machine_by_default(
    policy: MethodPolicy, address: str, is_forwarded: bool, answer: bool
) -> None:
    assert Access(methods=policy).trusts(address, is_forwarded=is_forwarded) is answer


@given(st.text())
def test_any_text_as_address_is_not_this_machine_unless_it_says_so(address: str) -> None:
    assert not is_loopback("x" + address)
    assert rate_key("x" + address) == "x" + address


def test_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(rate=2, burst=4, clock=clock)

    assert bucket.take(4)
    assert not bucket.take(1)
    clock.now = 1.0
    assert bucket.take(2)
    assert not bucket.take(1)
    clock.now = 100.0
    assert not bucket.take(5)
    assert bucket.take(4)


def test_addresses_of_one_ipv6_network_share_a_bucket() -> None:
    buckets = Buckets(1, 1, Clock())

    assert buckets.of("2001:db8::1") is buckets.of("2001:db8::ffff")
    assert buckets.of("2001:db8::1") is not buckets.of("2001:db8:0:1::1")
    assert buckets.of("10.0.0.1") is buckets.of("::ffff:10.0.0.1")
    assert buckets.of("10.0.0.1") is not buckets.of("10.0.0.2")


def test_buckets_forget_the_address_seen_longest_ago() -> None:
    buckets = Buckets(1, 1, Clock())
    first = buckets.of("host0")
    for number in range(1, ADDRESSES_MAX):
        buckets.of(f"host{number}")
    assert buckets.of("host0") is first

    buckets.of("one more")

    assert len(buckets) == ADDRESSES_MAX
    assert buckets.of("host0") is first


def test_without_a_rate_there_are_no_buckets() -> None:
    assert Buckets(0, 1, Clock()).of("10.0.0.1") is None


def test_doors_count_in_all_and_per_address() -> None:
    doors = Doors(3, 2)
    with doors.enter("a") as first, doors.enter("a") as second:
        with doors.enter("a") as third, doors.enter("b") as fourth, doors.enter("c") as fifth:
            assert (first, second, third, fourth, fifth) == (True, True, False, True, False)
        assert doors.count == 2
        with doors.enter("c") as again:
            assert again
    assert doors.count == 0


@given(st.lists(st.integers(0, 50)))
def test_budget_never_holds_more_than_it_has(takes: list[int]) -> None:
    budget = ByteBudget(100)
    held = 0
    for count in takes:
        if budget.take(count):
            held += count
        assert held <= 100
    budget.give_back(held)
    assert budget.take(100)
