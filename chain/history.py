"""Which accounts a block concerns: for the mempool, and for the accounts' histories."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from primitives.block import Receipt
from primitives.types import AccountId
from runtime.annotations import field_codecs
from runtime.balances import Balances
from runtime.runtime import MODULES
from runtime.system import System

HISTORY_ACCOUNTS_MAX = 64
"""Accounts in whose histories one extrinsic stands, at most; the signer always among them."""

_NONCE_PREFIX = f"{System.name}.nonces:".encode()
_FREE_PREFIX = f"{Balances.name}.free:".encode()


def touched_accounts(keys: Iterable[bytes]) -> frozenset[AccountId]:
    """Return the accounts whose nonce or free balance is among the storage keys."""
    return frozenset(
        AccountId(key[-32:]) for key in keys if key.startswith((_NONCE_PREFIX, _FREE_PREFIX))
    )


def accounts_in_history(signer: AccountId | None, receipt: Receipt) -> tuple[AccountId, ...]:
    """Return the accounts in whose histories an extrinsic stands: its signer's and its events'."""
    found = dict.fromkeys([] if signer is None else [signer])
    places = _account_places()
    for event in receipt.events:
        assert isinstance(event, list)
        name = event[0]
        assert isinstance(name, str)
        for place in places.get(name, ()):
            account = event[place]
            if isinstance(account, bytes) and len(found) < HISTORY_ACCOUNTS_MAX:
                found[AccountId(account)] = None
    return tuple(found)


@lru_cache(maxsize=1)
def _account_places() -> Mapping[str, tuple[int, ...]]:
    """For each event: where in its array accounts stand."""
    return {
        f"{module.name}.{event.__name__}": tuple(
            place
            for place, codec in enumerate(field_codecs(event).values(), start=1)
            if codec.description["type"] == "account"
        )
        for module in MODULES
        for event in module.events
    }
