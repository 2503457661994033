"""Names for plain values, so that two values of one Python type are never mixed up."""

from typing import NewType

AccountId = NewType("AccountId", bytes)
"""32 bytes: an ed25519 public key, or the hash of a multisig's members."""
Signer = NewType("Signer", AccountId)
"""The account that authorised a call: by its signature, or through multisig or proxy."""
PublicKey = NewType("PublicKey", bytes)
"""32 bytes, ed25519."""
Signature = NewType("Signature", bytes)
"""64 bytes, ed25519."""
Digest = NewType("Digest", bytes)
"""32 bytes, BLAKE3."""
StorageKey = NewType("StorageKey", bytes)
"""``module.item`` or ``module.item:`` followed by the encoded map key."""

Balance = NewType("Balance", int)
"""Base units of the native token; 0 to 2**64 - 1."""
Height = NewType("Height", int)
"""Number of blocks since genesis, which is height 0."""
View = NewType("View", int)
"""A numbered attempt to add one block; starts at 1 in each epoch."""
Epoch = NewType("Epoch", int)
Nonce = NewType("Nonce", int)
"""How many signed extrinsics of an account have been included before this one."""
Millis = NewType("Millis", int)
"""Milliseconds; a duration, or the time since 1970-01-01T00:00Z."""
Weight = NewType("Weight", int)
"""Cost of executing something, in nanoseconds on the reference machine."""
VotingPower = NewType("VotingPower", int)
"""Weight of a validator's vote; only its ratio to the table's total means anything."""
Operations = NewType("Operations", int)
"""Arithmetic operations per proof window that somebody has shown to be capable of."""
SpecVersion = NewType("SpecVersion", int)
"""Version of the rules; part of what an extrinsic's signature covers."""

UINT64_MAX = 2**64 - 1

GENESIS_HEIGHT = Height(0)
GENESIS_EPOCH = Epoch(0)
EMPTY_DIGEST = Digest(bytes(32))
"""Stands for "nothing": the parent of genesis, the root of an empty tree."""
