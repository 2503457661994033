"""What a header must be, given its parent and the power table of its epoch."""

from dataclasses import dataclass

from consensus.simplex.elector import Elector
from primitives.beacon import vrf_input
from primitives.block import Header
from primitives.errors import DecodeError, InvalidBlock
from primitives.power_table import PowerTable
from primitives.types import AccountId, Digest, Epoch, Height, Millis, PublicKey, View
from primitives.vrf import VrfProof, verify


class WrongParent(InvalidBlock):
    """The header does not follow the block that it was checked against."""


class WrongEpoch(InvalidBlock):
    """The height belongs to another epoch."""


class WrongView(InvalidBlock):
    """The view is not above the parent's in the same epoch."""


class TooEarly(InvalidBlock):
    """The timestamp is less than the block interval after the parent's."""


class NotLeader(InvalidBlock):
    """The author is not the leader of the view."""


class BadBeaconProof(InvalidBlock):
    """The VRF proof is not the author's over the epoch's randomness and this view."""


@dataclass(frozen=True, slots=True)
class EpochRules:
    """What the headers of one epoch are checked against."""

    epoch: Epoch
    first_height: Height
    last_height: Height
    table: PowerTable
    randomness: Digest

    def leader(self, view: View) -> tuple[AccountId, PublicKey]:
        """Return the account and VRF key of the leader of ``view``."""
        validator = self.table[Elector(self.table, self.randomness).leader(view)]
        return validator.account, validator.vrf_key


def validate_header(
    header: Header, parent: Header, parent_hash: Digest, rules: EpochRules, interval: Millis
) -> bytes:
    """Check all that needs no execution, and return the output of the VRF proof.

    Raises: InvalidBlock.
    """
    if header.parent_hash != parent_hash or header.height != parent.height + 1:
        raise WrongParent(f"height {header.height} on {parent.height}")
    if header.epoch != rules.epoch or not rules.first_height <= header.height <= rules.last_height:
        raise WrongEpoch(f"epoch {header.epoch} at height {header.height}")
    if header.view < 1 or (header.epoch == parent.epoch and header.view <= parent.view):
        # Genesis counts to epoch 0 with view 0, so its child needs no case of its own.
        raise WrongView(f"view {header.view} after {parent.view}")
    if header.timestamp < parent.timestamp + interval:
        raise TooEarly(f"{header.timestamp} is within {interval} ms of {parent.timestamp}")
    account, vrf_key = rules.leader(header.view)
    if header.author != account:
        raise NotLeader(f"{header.author.hex()} in view {header.view}")
    alpha = vrf_input(rules.randomness, header.epoch, header.view)
    try:
        return verify(vrf_key, alpha, VrfProof(header.vrf_proof))
    except DecodeError as error:
        raise BadBeaconProof(f"view {header.view}: {error.reason}") from error
