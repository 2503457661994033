"""Hashing with one domain per purpose, and ed25519 signatures.

Every hash is BLAKE3 in keyed mode and the key names the purpose, so that bytes hashed for one
purpose can never be passed off as bytes hashed for another, at no cost per hash.

Invariant: a signature is valid exactly when libsodium's ``crypto_sign_verify_detached`` accepts
it (canonical ``s``, canonical points, no small-order key). This is consensus: a library that
differs on one edge case would fork the chain; ``tests/vectors/ed25519.json`` freezes the edges.
"""

from blake3 import blake3
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from primitives.types import Digest, PublicKey, Signature

SIGNATURE_BYTES = crypto_sign_BYTES
SEED_BYTES = 32


def _purpose(name: str) -> bytes:
    return blake3(f"loopin/{name}/1".encode()).digest()


class Purpose:
    """The 32-byte BLAKE3 key of every purpose for which this chain hashes."""

    GENESIS = _purpose("genesis")
    HEADER = _purpose("header")
    EXTRINSIC = _purpose("extrinsic")
    EXTRINSIC_SIGNING = _purpose("extrinsic signing")
    ACCOUNT_MULTISIG = _purpose("multisig account")
    ACCOUNT_POOL = _purpose("pool account")
    LEASE_DRAW = _purpose("lease draw")
    CALL = _purpose("call")
    REMARK = _purpose("remark")
    STATE_KEY = _purpose("state key")
    STATE_VALUE = _purpose("state value")
    STATE_LEAF = _purpose("state leaf")
    STATE_NODE = _purpose("state node")
    MERKLE_LEAF = _purpose("merkle leaf")
    MERKLE_NODE = _purpose("merkle node")
    MERKLE_ROOT = _purpose("merkle root")
    VOTE = _purpose("vote")
    KEY_POSSESSION = _purpose("key possession")
    POWER_TABLE = _purpose("power table")
    BEACON = _purpose("beacon")
    BEACON_INPUT = _purpose("beacon input")
    LEADER = _purpose("leader")
    JOURNAL = _purpose("consensus journal")
    POCPS_CHALLENGE = _purpose("pocps challenge")
    POCPS_SAMPLE = _purpose("pocps sample")
    FORWARD_PASS_WEIGHTS = _purpose("forward pass weights")
    FORWARD_PASS_INPUT = _purpose("forward pass input")
    FORWARD_PASS_LEAF = _purpose("forward pass leaf")
    STORAGE_SEAL = _purpose("storage seal")
    STORAGE_LABEL = _purpose("storage label")
    STORAGE_LEAF = _purpose("storage leaf")
    JOB_NETWORK = _purpose("job network")
    JOB_ACTIVATIONS = _purpose("job activations")
    JOB_COMMITMENT = _purpose("job commitment")
    LEASE_ACCESS = _purpose("lease access")
    LEASE_BLOB = _purpose("lease blob")


def keyed_hash(purpose: bytes, data: bytes) -> Digest:
    """Return the 32-byte BLAKE3 hash of ``data`` for one ``Purpose``."""
    return Digest(blake3(data, key=purpose).digest())


def expand(purpose: bytes, data: bytes, length: int, offset: int = 0) -> bytes:
    """Return ``length`` bytes of BLAKE3's output stream for ``data``, from ``offset`` on."""
    return blake3(data, key=purpose).digest(length=length, seek=offset)


class KeyPair:
    """An ed25519 key pair made from a 32-byte seed. Its ``repr`` never shows the seed."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        public, secret = crypto_sign_seed_keypair(seed)
        self.public = PublicKey(public)
        self._secret: bytes = secret

    @classmethod
    def from_seed(cls, seed: bytes) -> "KeyPair":
        """Return the key pair of a 32-byte seed."""
        return cls(seed)

    @property
    def seed(self) -> bytes:
        return self._secret[:SEED_BYTES]

    def sign(self, message: bytes) -> Signature:
        """Return the detached signature of ``message``."""
        return Signature(crypto_sign(message, self._secret)[:SIGNATURE_BYTES])

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"


def is_valid_signature(public: PublicKey, message: bytes, signature: Signature) -> bool:
    """Return whether libsodium accepts the detached ``signature`` of ``message``."""
    if len(public) != 32 or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True
