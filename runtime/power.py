"""Voting power: proven compute times bonded stake.

``weight = isqrt(stake * operations)``. It takes both; it is homogeneous of degree one, so that
whoever splits their holdings over many identities gains nothing (rounding down takes a little).

Invariant: weights over a stake of at most 64 bits and operations of at most 64 bits in total fit
into 64 bits together, since the sum of geometric means is at most that of the sums.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Protocol

from primitives.types import AccountId, Balance, Epoch, Operations, VotingPower


class ComputePower(Protocol):
    """Who has proven how much compute."""

    def proven_operations(self, account: AccountId, epoch: Epoch) -> Operations:
        """Return what ``account`` proved in ``epoch``, in operations per window."""

    def total_operations(self, epoch: Epoch) -> Operations:
        """Return what everybody proved in ``epoch``; less than 2**64."""

    def proving_since(self, account: AccountId, epoch: Epoch) -> Epoch:
        """Return the epoch from which ``account`` has proven without a break, up to ``epoch``."""


class Stakes(Protocol):
    """Who may vote, with which stake."""

    def standing(self, epoch: Epoch) -> list[tuple[AccountId, Balance]]:
        """Return whom the table of ``epoch`` may name, in the order of their accounts."""


@dataclass(frozen=True, slots=True)
class ComputeGrant:
    """Operations per window that count as proven from genesis on."""

    account: AccountId
    operations: Operations


class GenesisCompute:
    """The compute that the chain spec names, for a chain whose providers prove nothing yet."""

    def __init__(self, grants: Iterable[ComputeGrant], epochs: int) -> None:
        """``epochs`` from genesis on it counts."""
        self._operations = {grant.account: grant.operations for grant in grants}
        self._total = Operations(sum(self._operations.values()))
        self._epochs = epochs

    def proven_operations(self, account: AccountId, epoch: Epoch) -> Operations:
        """Return what the spec grants ``account`` in ``epoch``."""
        granted = self._operations.get(account, Operations(0))
        return granted if epoch < self._epochs else Operations(0)

    def total_operations(self, epoch: Epoch) -> Operations:
        """Return the sum of all grants that count in ``epoch``."""
        return self._total if epoch < self._epochs else Operations(0)

    def proving_since(self, _account: AccountId, _epoch: Epoch) -> Epoch:
        """Return the first epoch: nobody in the spec is a newcomer."""
        return Epoch(0)


class ProvenStake:
    """The source of the power table's weights."""

    def __init__(self, stakes: Stakes, compute: ComputePower) -> None:
        self._stakes, self._compute = stakes, compute

    def weights(self, ending: Epoch) -> list[tuple[AccountId, VotingPower]]:
        """Return what everybody weighs after ``ending``, in the order of the accounts."""
        return [
            (account, voting_power(stake, self._compute.proven_operations(account, ending)))
            for account, stake in self._stakes.standing(Epoch(ending + 1))
        ]


def voting_power(stake: Balance, operations: Operations) -> VotingPower:
    """Return the weight of a stake and proven operations per window, rounded down."""
    return VotingPower(isqrt(stake * operations))
