"""Session keys: what a validator signs with, and the proof that it holds them.

Invariant: a proof of possession names the chain and the account, so that nobody can register
another's keys, or use a proof again elsewhere.
"""

from dataclasses import dataclass
from typing import Annotated, cast

from primitives.codec import U64, Codec, fixed, optional, pair, struct
from primitives.crypto import Purpose, is_valid_signature
from primitives.errors import DispatchError
from primitives.power_table import KEY
from primitives.types import AccountId, Digest, Epoch, PublicKey, Signature

_SIGNATURE = cast("Codec[Signature]", fixed(64, "signature"))


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The public keys of one validator."""

    consensus: PublicKey
    """Signs votes and proposals."""
    vrf: PublicKey
    """Draws the beacon."""
    peer: PublicKey
    """Its identity on the network."""

    def each(self) -> tuple[PublicKey, PublicKey, PublicKey]:
        """Return the keys in their order."""
        return self.consensus, self.vrf, self.peer


@dataclass(frozen=True, slots=True)
class KeyProofs:
    """A signature by each of the keys over ``possession_message``."""

    consensus: Signature
    vrf: Signature
    peer: Signature

    def each(self) -> tuple[Signature, Signature, Signature]:
        """Return the signatures in the order of the keys."""
        return self.consensus, self.vrf, self.peer


SESSION_KEYS = struct(SessionKeys, consensus=KEY, vrf=KEY, peer=KEY)
KEY_PROOFS = struct(KeyProofs, consensus=_SIGNATURE, vrf=_SIGNATURE, peer=_SIGNATURE)
SET_KEYS_ARGUMENTS = pair(SESSION_KEYS, KEY_PROOFS)
"""What a node hands its operator: the arguments of ``session.set_keys``."""
Keys = Annotated[SessionKeys, SESSION_KEYS]
Proofs = Annotated[KeyProofs, KEY_PROOFS]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An account's keys, and those that still count until the end of an epoch."""

    keys: SessionKeys
    registered: Epoch
    previous: SessionKeys | None
    """What was registered before that epoch began."""

    def registered_before(self, epoch: Epoch) -> SessionKeys | None:
        """Return the keys that were registered when ``epoch``, this one or later, began."""
        return self.keys if self.registered < epoch else self.previous


KEY_RECORD = struct(KeyRecord, keys=SESSION_KEYS, registered=U64, previous=optional(SESSION_KEYS))


class InvalidKeyProof(DispatchError):
    """A key's holder did not sign this chain's hash and this account."""


def possession_message(genesis: Digest, account: AccountId) -> bytes:
    """Return what each key signs so that ``account`` may register it on a chain.

    Longer than any input of the VRF's hash to the curve, so that no signature and no proof of one
    key ever use one nonce.
    """
    return Purpose.KEY_POSSESSION + genesis + account


def validate_possession(
    genesis: Digest, account: AccountId, keys: SessionKeys, proofs: KeyProofs
) -> None:
    """Check that whoever wrote ``proofs`` holds all ``keys``. Raises: InvalidKeyProof."""
    message = possession_message(genesis, account)
    for key, proof in zip(keys.each(), proofs.each(), strict=True):
        # No key of small order, and none in another encoding, has a signature that is accepted.
        if not is_valid_signature(key, message, proof):
            raise InvalidKeyProof(f"no valid signature by {key.hex()}")
