"""The randomness beacon: what leaders prove in their headers, and how it accumulates.

Every header carries the leader's ECVRF proof (RFC 9381) over one input that it cannot choose, so
a leader can withhold its block, and forgo it, but it cannot choose the beacon's next value.

Source: docs/consensus.md, "Beacon".
"""

from primitives.crypto import Purpose, keyed_hash
from primitives.types import Digest, Epoch, View


def vrf_input(randomness: Digest, epoch: Epoch, view: View) -> bytes:
    """Return the alpha string over which the leader of ``view`` proves.

    ``randomness`` is that of the epoch: the beacon at the boundary block before it.
    """
    return keyed_hash(
        Purpose.BEACON_INPUT, randomness + epoch.to_bytes(8, "big") + view.to_bytes(8, "big")
    )


def next_beacon(beacon: Digest, vrf_output: bytes) -> Digest:
    """Return the beacon after a block whose header's proof gives ``vrf_output``."""
    return keyed_hash(Purpose.BEACON, beacon + vrf_output)
