"""What the lease service must know of the chain."""

from dataclasses import dataclass
from typing import Protocol

from primitives.types import AccountId, Digest, Height, PublicKey


@dataclass(frozen=True, slots=True)
class LiveLease:
    """A lease that is not over, as one of its providers sees it."""

    lease_id: int
    client: AccountId
    key: PublicKey
    """Authenticates the client."""
    ends: Height


class LeaseBook(Protocol):
    """The chain as a provider's service sees it."""

    @property
    def genesis(self) -> Digest: ...
    @property
    def provider(self) -> AccountId:
        """The account that serves the leases."""

    async def height(self) -> Height:
        """Return the chain's height."""

    async def find(self, lease_id: int) -> LiveLease | None:
        """Return the lease if it lives and this provider serves a share of it."""
