"""What a seed decides: the validators, their weights, the faults of the network and the lies.

Everything comes from one ``random.Random(seed)``; the fault rates themselves are drawn, so that
some histories lose half of everything and others lose nothing but crash often.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from primitives.crypto import KeyPair, Purpose, keyed_hash
from primitives.power_table import PowerTable, Validator
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View, VotingPower

SIZES = (1, 4, 4, 4, 7, 10)
ORIGIN_STATE = Digest(bytes(32))


@cache
def key_of(index: int) -> KeyPair:
    """Return the consensus key of a simulated validator."""
    return KeyPair(index.to_bytes(32, "big"))


@cache
def _vrf_key_of(index: int) -> KeyPair:
    return KeyPair(index.to_bytes(32, "little") if index else b"v" * 32)


def account_of(index: int) -> AccountId:
    """Return the account of a simulated validator; ascending with the index."""
    return AccountId(index.to_bytes(32, "big"))


@dataclass(frozen=True, slots=True)
class Block:
    """The application's block: a payload and the state it leads to."""

    parent: Digest
    height: Height
    epoch: Epoch
    view: View
    author: AccountId
    payload: bytes
    state_root: Digest

    @property
    def digest(self) -> Digest:
        """The block's hash, which covers every field."""
        numbers = b"".join(n.to_bytes(8, "big") for n in (self.height, self.epoch, self.view))
        body = self.parent + numbers + self.author + self.state_root + self.payload
        return keyed_hash(Purpose.HEADER, body)


def execute(state_root: Digest, payload: bytes) -> Digest:
    """Return the state after ``payload``: a stand-in for the runtime."""
    return keyed_hash(Purpose.STATE_NODE, state_root + payload)


def randomness_of(root: Digest) -> Digest:
    """Return the randomness of the epoch that builds on ``root``: a stand-in for the beacon."""
    return keyed_hash(Purpose.BEACON, root)


GENESIS = Block(
    Digest(bytes(32)), Height(0), Epoch(0), View(0), AccountId(bytes(32)), b"", ORIGIN_STATE
)


@dataclass(frozen=True, slots=True)
class Faults:
    """Rates drawn for one history. Probabilities are per message or per action."""

    loss: float
    duplication: float
    delay_max: Millis
    outlier: float
    """Share of messages that take ten times as long."""
    crash: float
    downtime_max: Millis
    partition: float
    """Share of the time in which the network is split."""
    blackout: bool
    """Whether everybody crashes at once, once."""
    compaction: float
    """Share of restarts that begin with a rewritten journal."""

    @classmethod
    def draw(cls, rng: Random) -> "Faults":
        """Return rates in which each kind of fault is absent, rare or frequent."""

        def rate(*choices: float) -> float:
            return rng.choice(choices)

        return cls(
            loss=rate(0, 0, 0.02, 0.1, 0.3),
            duplication=rate(0, 0, 0.05, 0.3),
            delay_max=Millis(rng.choice((3, 10, 20, 60))),
            outlier=rate(0, 0, 0.02, 0.1),
            crash=rate(0, 0, 0.0005, 0.003, 0.01),
            downtime_max=Millis(rng.choice((20, 200, 800))),
            partition=rate(0, 0, 0.3, 0.6),
            blackout=rng.random() < 0.15,
            compaction=rate(0, 0.5),
        )

    @classmethod
    def none(cls) -> "Faults":
        """Return the faults of a network that behaves."""
        return cls(0, 0, Millis(10), 0, 0, Millis(1), 0, blackout=False, compaction=0)


class Chain:
    """The chain spec of one history: how long epochs are and who votes in them."""

    def __init__(self, rng: Random, size: int, liars: frozenset[int]) -> None:
        self.size = size
        self.liars = liars
        self.genesis = Digest(rng.randbytes(32))
        self.epoch_length = rng.choice((2, 3, 5, 8))
        self._weight_seed = rng.randbytes(8)
        self._tables: dict[int, tuple[PowerTable, tuple[int, ...]]] = {}
        self.table_class = PowerTable
        self.are_liars_many = False
        """Whether the liars may weigh a third and more: for testing the checkers."""

    def members(self, epoch: int) -> tuple[int, ...]:
        """Return the indices of the epoch's validators in table order."""
        return self._of(epoch)[1]

    def table(self, epoch: int) -> PowerTable:
        """Return the epoch's power table; weights, and at times members, change with the epoch."""
        return self._of(epoch)[0]

    def last_height(self, epoch: int) -> Height:
        """Return the height of the epoch's boundary block."""
        return Height((epoch + 1) * self.epoch_length)

    def _of(self, epoch: int) -> tuple[PowerTable, tuple[int, ...]]:
        if epoch not in self._tables:
            self._tables[epoch] = self._draw(Random(self._weight_seed + bytes([epoch % 256])))
        return self._tables[epoch]

    def _draw(self, rng: Random) -> tuple[PowerTable, tuple[int, ...]]:
        members = list(range(self.size))
        honest = [index for index in members if index not in self.liars]
        if len(honest) > 3 and rng.random() < 0.3:
            members.remove(rng.choice(honest))
        weights = {index: rng.choice((10, 100, 100, 100, 110, 150, 200)) for index in members}
        if self.are_liars_many:
            weights = dict.fromkeys(members, 100)
        else:
            self._tame(weights)
        validators = tuple(
            Validator(
                account_of(index),
                key_of(index).public,
                _vrf_key_of(index).public,
                VotingPower(weights[index]),
            )
            for index in members
        )
        return self.table_class(validators), tuple(members)

    def _tame(self, weights: dict[int, int]) -> None:
        """Make the liars weigh less than a third, and as close to it as whole numbers go."""
        lying = [index for index in sorted(weights) if index in self.liars]
        honest = sum(weight for index, weight in weights.items() if index not in self.liars)
        if lying:
            share = (honest - 1) // 2 // len(lying)
            weights.update(dict.fromkeys(lying, max(1, share)))
