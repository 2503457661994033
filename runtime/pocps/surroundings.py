"""What PoCPS needs of the modules around it."""

from typing import Protocol

from primitives.types import AccountId, Balance, Digest, Epoch
from runtime.currency import Holder
from runtime.pocps.standings import Slasher


class Tokens(Holder, Slasher, Protocol):
    """What PoCPS needs of the ledger of tokens."""

    def mint_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Create tokens that are held from the start. Raises: DispatchError."""


class Beacons(Protocol):
    """Randomness that nobody chose."""

    def challenge_seed(self, epoch: Epoch) -> Digest:
        """Return the beacon at the start of ``epoch``, the present one or the one before."""

    def latest_beacon(self) -> Digest:
        """Return the beacon of the present block."""


class Chain(Protocol):
    """The runtime, of which the session is a part that is made later than this module."""

    @property
    def session(self) -> Beacons: ...
