"""The weight of a vote: it takes stake and compute, and no split of either gains any."""

from hypothesis import given
from hypothesis import strategies as st

from primitives.types import UINT64_MAX, AccountId, Balance, Epoch, Operations
from runtime.power import ComputeGrant, GenesisCompute, ProvenStake, voting_power

A, B = AccountId(b"a" * 32), AccountId(b"b" * 32)
stakes = st.integers(0, UINT64_MAX).map(Balance)
proven = st.integers(0, UINT64_MAX).map(Operations)
small = st.integers(0, 2**40)


@given(small, small, st.integers(1, 1000))
def test_the_weight_is_homogeneous_of_degree_one(stake: int, proof: int, factor: int) -> None:
    once = voting_power(Balance(stake), Operations(proof))
    scaled = voting_power(Balance(factor * stake), Operations(factor * proof))

    # Rounding down loses less than one vote for each part.
    assert factor * once <= scaled < factor * (once + 1)


@given(st.lists(st.tuples(small, small), min_size=1, max_size=8))
def test_splitting_never_gains(parts: list[tuple[int, int]]) -> None:
    whole = voting_power(
        Balance(sum(stake for stake, _ in parts)), Operations(sum(proof for _, proof in parts))
    )

    assert sum(voting_power(Balance(s), Operations(p)) for s, p in parts) <= whole


@given(stakes, stakes, proven, proven)
def test_more_of_either_never_weighs_less(a: Balance, b: Balance, c: int, d: int) -> None:
    low, high = sorted((a, b))
    less, more = (Operations(each) for each in sorted((c, d)))

    assert voting_power(low, less) <= voting_power(high, more)


@given(stakes, proven)
def test_a_weight_fits_64_bits_and_needs_both(stake: Balance, proof: Operations) -> None:
    assert 0 <= voting_power(stake, proof) <= UINT64_MAX
    assert voting_power(stake, Operations(0)) == voting_power(Balance(0), proof) == 0
    assert voting_power(Balance(UINT64_MAX), Operations(UINT64_MAX)) == UINT64_MAX


def test_weights_are_made_of_the_stakes_that_may_vote_next() -> None:
    class Stakes:
        def standing(self, epoch: Epoch) -> list[tuple[AccountId, Balance]]:
            assert epoch == 8
            return [(A, Balance(4)), (B, Balance(9))]

    compute = GenesisCompute([ComputeGrant(A, Operations(25))], 8)

    assert ProvenStake(Stakes(), compute).weights(Epoch(7)) == [(A, 10), (B, 0)]


def test_what_the_spec_grants_is_proven_as_long_as_it_says() -> None:
    grants = [ComputeGrant(A, Operations(25)), ComputeGrant(B, Operations(5))]
    compute = GenesisCompute(grants, 100)

    assert compute.proven_operations(A, Epoch(99)) == 25
    assert compute.proven_operations(AccountId(bytes(32)), Epoch(0)) == 0
    assert compute.proven_operations(A, Epoch(100)) == compute.total_operations(Epoch(100)) == 0
    assert compute.total_operations(Epoch(3)) == 30
    assert compute.proving_since(B, Epoch(9)) == 0
