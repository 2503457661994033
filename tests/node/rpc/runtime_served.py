"""The RPC over the real rules of a small chain, as a node serves it after its last block."""

from dataclasses import replace

from chain.equivocation import JUDGE
from node.rpc.addresses import Ss58Addresses
from node.rpc.assembly import build_dispatcher
from node.rpc.dispatcher import Dispatcher
from primitives.types import AccountId, Epoch, Height
from runtime.module import Context
from runtime.overlay import Overlay
from runtime.runtime import Runtime
from runtime.session import epoch_of
from tests.node.rpc.fake_node import FakeNode
from tests.runtime.small_chain import SmallChain

_ADDRESSES = Ss58Addresses(42)


def address(account: AccountId) -> str:
    return _ADDRESSES.encode(account)


def served(chain: SmallChain) -> Dispatcher:
    """Return the RPC over the state after the chain's last block."""

    def runtime() -> Runtime:
        height = Height(chain.height)
        epoch = Epoch(max(0, epoch_of(height, chain.config.session.epoch_length)))
        info = replace(chain.next_info(), height=height, epoch=epoch)
        return Runtime(Context(Overlay(chain.state), info), chain.config, JUDGE)

    return build_dispatcher(FakeNode(runtime=runtime))
