"""System: the height, the nonces, and what every block and extrinsic is measured against.

Invariants: an account's nonce only grows and outlives its balance, so that no extrinsic can be
included twice even if the account empties and comes back.
"""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import ACCOUNT, U64, blob
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import InvalidExtrinsic
from primitives.types import AccountId, Digest, Height, Nonce, Signer, SpecVersion, Weight
from runtime.module import Context, Event, Module, StorageMap, StorageValue, call

REMARK_BYTES_MAX = 1 << 14


@dataclass(frozen=True, slots=True)
class Config:
    spec_version: SpecVersion
    """Version of the rules; part of what every signature covers."""
    block_weight_max: Weight
    """Most that the extrinsics of a block may weigh together."""
    block_length_max: int
    """Most bytes that the extrinsics of a block may have together."""
    extrinsic_length_max: int
    """Most bytes that one extrinsic may have."""
    extrinsic_weight: Weight
    """What any extrinsic weighs before its call: decoding, signature, nonce, fee."""


@dataclass(frozen=True, slots=True)
class Remarked(Event):
    sender: AccountId
    remark_hash: Digest


class NonceTooLow(InvalidExtrinsic):
    """The nonce has been used: the extrinsic, or one that took its place, is in the chain."""


class NonceTooHigh(InvalidExtrinsic):
    """Extrinsics with lower nonces are missing; send those first."""


class Expired(InvalidExtrinsic):
    """The block is above the extrinsic's ``valid_until``; sign it again with a later one."""


def _remark_weight(remark: bytes) -> Weight:
    return Weight(2_000 + 2 * len(remark))


class System(Module):
    """Height and nonces."""

    name = "system"
    index = 0
    events = (Remarked,)

    height = StorageValue(U64, default=0)
    nonces = StorageMap(ACCOUNT, U64, default=0)

    def __init__(self, context: Context, config: Config) -> None:
        super().__init__(context)
        self.config = config

    @call(0, weight=_remark_weight)
    def remark(self, signer: Signer, remark: Annotated[bytes, blob(REMARK_BYTES_MAX)]) -> None:
        """Put bytes into the chain's history, without any other effect.

        Emits: Remarked, with the hash of the bytes.
        """
        self.emit(Remarked(signer, keyed_hash(Purpose.REMARK, remark)))

    def validate_lifetime(self, valid_until: Height) -> None:
        """Refuse an extrinsic whose time is over. Raises: Expired."""
        if valid_until < self.context.block.height:
            raise Expired(f"valid until {valid_until}, this is {self.context.block.height}")

    def validate_nonce(self, account: AccountId, nonce: Nonce) -> None:
        """Refuse any nonce but the next. Raises: NonceTooLow, NonceTooHigh."""
        expected = self.nonces[account]
        if nonce < expected:
            raise NonceTooLow(f"nonce {nonce}, the account's next is {expected}")
        if nonce > expected:
            raise NonceTooHigh(f"nonce {nonce}, the account's next is {expected}")

    def use_nonce(self, account: AccountId, nonce: Nonce) -> None:
        """Let the account go on after ``nonce``, which ``validate_nonce`` has let pass."""
        self.nonces[account] = nonce + 1

    def begin_block(self) -> None:
        self.height.set(self.context.block.height)

    def check_invariants(self) -> None:
        self.require("height_is_the_blocks", self.height.get() == self.context.block.height)
