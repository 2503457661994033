"""Addresses of one network, for the functions that show the chain's values as JSON."""

from dataclasses import dataclass

from primitives.ss58 import decode_account, encode_address
from primitives.types import AccountId


@dataclass(frozen=True, slots=True)
class Ss58Addresses:
    """Addresses with the prefix of one network."""

    prefix: int

    def encode(self, account: AccountId) -> str:
        """Return the address of ``account``."""
        return encode_address(account, self.prefix)

    def decode(self, address: str) -> AccountId:
        """Return the account of an address. Raises: InvalidAddress, WrongNetwork."""
        return decode_account(address, self.prefix)
