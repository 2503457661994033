"""As whom a node votes: the validators whose keys it holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.keystore import KeyMissing, Keystore, Role
from primitives.crypto import KeyPair
from primitives.power_table import PowerTable, Validator
from primitives.types import AccountId, PublicKey


@dataclass(frozen=True, slots=True)
class Voter:
    """As whom the node votes."""

    account: AccountId
    consensus: KeyPair
    vrf: KeyPair


class Voters(Protocol):
    """Whose keys the node holds; they change from epoch to epoch."""

    def find(self, table: PowerTable) -> Voter | None:
        """Return as whom the node votes under an epoch's table. Raises: ConfigError."""

    def consensus_keys(self) -> Sequence[PublicKey]:
        """Return every key that the node may vote with, in this epoch or another."""


class KeystoreVoters:
    """Votes as whoever of a table has its keys in the keystore."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def find(self, table: PowerTable) -> Voter | None:
        """Return the validator of ``table`` whose keys are here. Raises: KeyUnreadable."""
        ours = set(self.consensus_keys())
        for member in table.validators:
            if member.consensus_key in ours:
                voter = self._voter_of(member)
                if voter is not None:
                    return voter
        return None

    def consensus_keys(self) -> list[PublicKey]:
        """Return every consensus key that is here."""
        return self._keystore.public_keys(Role.CONSENSUS)

    def _voter_of(self, member: Validator) -> Voter | None:
        consensus = self._keystore.find(Role.CONSENSUS, member.consensus_key)
        vrf = self._keystore.find(Role.VRF, member.vrf_key)
        if consensus is None or vrf is None:
            return None
        return Voter(member.account, consensus, vrf)


def require_keys(keystore: Keystore) -> None:
    """Refuse to start a validator that could never vote. Raises: KeyMissing."""
    if not (keystore.public_keys(Role.CONSENSUS) and keystore.public_keys(Role.VRF)):
        raise KeyMissing(
            f"{keystore.folder} has no consensus and VRF key: copy them there, make them with "
            "`loopin key session --generate`, or run without --validator"
        )
