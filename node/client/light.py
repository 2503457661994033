"""Following a chain through one node that nobody has to trust.

What the node says is handed to a ``LightClient``, which believes what is proven.
"""

from collections.abc import Callable

from chain.light_client import EpochSkipped, LightClient
from chain.light_proof import ReadProof
from consensus.simplex.messages import CERTIFICATE
from node.client.errors import BadAnswer
from node.client.node_client import KnownHeader, NodeClient, hex_of
from primitives.block import Header
from primitives.codec import ACCOUNT
from primitives.types import AccountId, Balance, Digest, Epoch, StorageKey

HANDOVERS_PER_CALL = 32
ATTEMPTS_MAX = 5
"""How often the head is asked for anew while the chain grows past what was just answered."""


class OtherChain(BadAnswer):
    """The node is on another chain than the chain spec describes."""


def follow(
    client: NodeClient, light: LightClient, on_epoch: Callable[[Epoch, Header], None]
) -> Header:
    """Bring ``light`` to the newest final block that the node proves, and return its header.

    Raises: OtherChain, BadAnswer, ConnectionLost, NodeUnreachable; every refusal of LightClient.
    """
    genesis = light.tables.genesis
    if client.genesis_hash != genesis:
        raise OtherChain(f"its genesis is {hex_of(client.genesis_hash)}, not {hex_of(genesis)}")
    for attempt in range(ATTEMPTS_MAX):
        _follow_epochs(client, light, on_epoch)
        known, certificate = _certified_head(client)
        try:
            return light.take_head(known.header.encode(), certificate)
        except EpochSkipped:
            # An epoch may have ended between the two questions; a liar's never arrives.
            if attempt == ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def fetch_balance(client: NodeClient, light: LightClient, account: AccountId) -> Balance:
    """Return an account's free balance after the head of ``light``, proven.

    Raises: BadAnswer, ConnectionLost, NodeUnreachable; every refusal of ``LightClient.read``.
    """
    assert light.final is not None, "a head comes before what is read under it"
    block = light.final.hash
    key = StorageKey(b"balances.free:" + ACCOUNT.encode(account))
    value, proof = client.storage(key, block), client.read_proof(key, block)
    return light.read_balance(ReadProof(light.final.encode(), key, value, proof))


def _follow_epochs(
    client: NodeClient, light: LightClient, on_epoch: Callable[[Epoch, Header], None]
) -> None:
    while True:
        handovers = client.handovers(light.tables.epoch, HANDOVERS_PER_CALL)
        for encoded in handovers:
            header = light.take_handover(encoded)
            on_epoch(light.tables.epoch, header)
        if len(handovers) < HANDOVERS_PER_CALL:
            return


def _certified_head(client: NodeClient) -> tuple[KnownHeader, bytes]:
    """Return the newest final header with its certificate.

    A certificate may be that of a descendant, whose header is then taken instead.
    """
    head: Digest = client.final_hash()
    for _ in range(ATTEMPTS_MAX):
        encoded = client.find_certificate(head)
        if encoded:
            named = CERTIFICATE.decode(encoded).block
            return client.header(head if named is None else named), encoded
        if head == client.genesis_hash:
            raise BadAnswer("no block above genesis is final yet")
        head = client.final_hash()
    raise BadAnswer(f"the node has no certificate of {hex_of(head)}, which it calls final")
