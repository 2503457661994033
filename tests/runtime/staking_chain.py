"""A small chain with short epochs and few places, on which staking can be watched."""

from dataclasses import replace
from typing import Any

from consensus.simplex.evidence import EVIDENCE, evidence_of
from consensus.simplex.messages import Finalize, Nullify, Signed, message_bytes
from genesis.presets import dev_session_seeds, small_runtime_config
from primitives.crypto import KeyPair
from primitives.types import AccountId, Digest, Epoch, Signature, View
from runtime.session import Config as SessionConfig
from runtime.session_keys import KeyProofs, SessionKeys, possession_message
from runtime.staking.ledger import Backing, Ledger
from runtime.staking.module import HOLD
from tests.runtime.small_chain import GENESIS, LOOP, SmallChain

LENGTH = 3
"""Heights in an epoch."""
BOND_MIN = 1000 * LOOP
NOMINATION_MIN = 10 * LOOP
UNBONDING = 2
STAKING = replace(
    small_runtime_config().staking,
    validators_max=3,
    nominators_max=2,
    chunks_max=3,
    unbonding_epochs=UNBONDING,
    vesting_epochs=4,
)


class StakingChain(SmallChain):
    """Epochs of three blocks; //Alice validates from genesis with ``DEV_BOND``."""

    def __init__(self, **changes: Any) -> None:
        settings = {"session": SessionConfig(epoch_length=LENGTH), "staking": STAKING, **changes}
        super().__init__(**settings)

    @property
    def epoch(self) -> Epoch:
        """The epoch of the next block."""
        return self.next_info().epoch

    def skip_epochs(self, count: int) -> None:
        """Make blocks until the next one is in the epoch ``count`` later."""
        self.skip_to((self.epoch + count) * LENGTH)

    def do(self, signer: AccountId, *call: Any) -> None:
        """Make a block of one call, which must succeed."""
        assert self.call(signer, *call).error == ""

    def error(self, signer: AccountId, *call: Any) -> str:
        """Make a block of one call and return the error's name."""
        return self.call(signer, *call).error

    def ledger(self, account: AccountId) -> Ledger:
        return self.runtime.staking.ledgers[account]

    def backing(self, validator: AccountId, epoch: int | None = None) -> Backing:
        staking = self.runtime.staking
        return staking.backing(validator, Epoch(self.epoch if epoch is None else epoch))

    def bonded(self, account: AccountId) -> int:
        return self.held(account, HOLD)


def seeds_of(name: str) -> tuple[KeyPair, KeyPair, KeyPair]:
    """Return the session key pairs of a dev name, or of any text."""
    seeds = dev_session_seeds(name)
    return KeyPair(seeds.consensus), KeyPair(seeds.vrf), KeyPair(seeds.peer)


def keys_call(account: AccountId, name: str, genesis: Digest = GENESIS) -> list[Any]:
    """Return the call by which ``account`` registers the session keys of ``name``."""
    pairs = seeds_of(name)
    message = possession_message(genesis, account)
    keys = SessionKeys(*(pair.public for pair in pairs))
    proofs = KeyProofs(*(pair.sign(message) for pair in pairs))
    return ["session.set_keys", list(keys.each()), list(proofs.each())]


def evidence(name: str, epoch: int, position: int, view: int = 1) -> bytes:
    """Return evidence that the holder of a name's keys nullified and finalized one view."""
    pair, place = seeds_of(name)[0], (Epoch(epoch), View(view))
    blank = Signature(bytes(64))
    signed: list[Signed] = [
        Nullify(*place, position, blank),
        Finalize(*place, Digest(bytes(32)), position, blank),
    ]
    both = [replace(each, signature=pair.sign(message_bytes(GENESIS, each))) for each in signed]
    return EVIDENCE.encode(evidence_of(both[0], both[1]))
