"""A gate on peer ids at the earliest moment at which the peer id is proven.

*No gate on peer ids*: libp2p filters by network address only. Here the Noise handshake itself ends
with the question whether this peer may enter through this listener, before any multiplexer or
stream exists for it. No upstream issue asks for such a gate yet.
"""

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.peer.id import ID
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport

from p2p.identity import PeerId
from p2p.libp2p_fixes.pipe import Pipe, remember_pipe


class GatedNoise(Transport):
    """Noise XX with a fresh static key, for connections that run over a ``Pipe``."""

    def __init__(self, key_pair: KeyPair) -> None:
        super().__init__(key_pair, noise_privkey=create_x25519_key_pair().private_key)

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        secured = await super().secure_inbound(conn)
        return self._admit(conn, secured)

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        secured = await super().secure_outbound(conn, peer_id)
        return self._admit(conn, secured)

    @staticmethod
    def _admit(conn: IRawConnection, secured: ISecureConn) -> ISecureConn:
        assert isinstance(conn, Pipe)
        peer = PeerId(secured.get_remote_peer().to_base58())
        if not conn.is_allowed(peer):
            conn.abort("peer not allowed")
            raise HandshakeFailure(f"peer {peer} is not allowed here")
        remember_pipe(secured, conn)
        return secured
