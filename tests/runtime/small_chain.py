"""A chain in a dictionary: blocks of calls, executed as every node does, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from chain.equivocation import JUDGE
from genesis.build import build_genesis
from genesis.presets import DEV_NAMES, dev_account, dev_spec
from primitives.block import IMMORTAL, Receipt, encode_inherent, encode_signed
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    View,
)
from runtime.executive import BlockExecution, ReadyExtrinsic
from runtime.invariants import check_invariants
from runtime.module import BlockInfo, Call, Context
from runtime.overlay import DictState, Overlay
from runtime.runtime import CALLS, Config, Runtime
from runtime.session import epoch_of

ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE = (dev_account(name) for name in DEV_NAMES)
AUTHOR = AccountId(bytes([0xAA]) * 32)
NOBODY = AccountId(bytes([0xBB]) * 32)
LOOP = 10**9
DEPOSIT = LOOP // 1000
"""The existential deposit of the development parameters."""

PlainCall = Sequence[Any]
"""``["module.call", argument, ...]``; ``Any`` as tests also send what is wrong."""

SPEC = dev_spec()
GENESIS = Digest(bytes([0xCC]) * 32)
"""What the chain takes for its genesis block's hash: the parent of all its blocks."""


@cache
def genesis_state(config: Config) -> dict[bytes, bytes]:
    """Return the state at the start of a chain with these parameters; never changed by anybody."""
    return build_genesis(replace(SPEC, runtime=config)).state


def extrinsic(
    signer: AccountId,
    call: PlainCall,
    nonce: int,
    *,
    tip: int = 0,
    valid_until: int = IMMORTAL,
) -> ReadyExtrinsic:
    """Return a signed extrinsic; the executive never looks at the signature."""
    return ReadyExtrinsic.decode(
        encode_signed(
            signer=signer,
            nonce=Nonce(nonce),
            valid_until=Height(valid_until),
            tip=Balance(tip),
            call=list(call),
            signature=Signature(bytes(64)),
        )
    )


def decode_call(call: PlainCall) -> Call:
    return CALLS.from_plain(list(call))


def inherent(call: PlainCall) -> ReadyExtrinsic:
    return ReadyExtrinsic.decode(encode_inherent(list(call)))


class SmallChain:
    """A state and the blocks that made it; every block ends with a check of all invariants."""

    def __init__(self, **changes: Any) -> None:
        """``changes`` replace whole module configurations, by the module's name."""
        self.config = replace(SPEC.runtime, **changes)
        self.state = DictState(genesis_state(self.config))
        self.height = Height(0)
        self.now = SPEC.genesis_time
        self.parent = GENESIS
        self.author = AUTHOR

    def next_info(self) -> BlockInfo:
        height = Height(self.height + 1)
        return BlockInfo(
            height=height,
            parent_hash=self.parent,
            view=View(height),
            epoch=Epoch(epoch_of(height, self.config.session.epoch_length)),
            timestamp=Millis(self.now + 1000),
            author=self.author,
            vrf_output=height.to_bytes(64, "big"),
        )

    def start(self) -> BlockExecution:
        """Return the next block, begun and with its inherent."""
        execution = BlockExecution(self.state, self.config, self.next_info(), JUDGE)
        execution.begin()
        execution.apply(inherent(["timestamp.set", self.now + 1000]))
        return execution

    def finish(self, execution: BlockExecution) -> tuple[Receipt, ...]:
        executed = execution.end()
        check_invariants(execution.runtime.modules)
        self.state.apply(executed.writes)
        self.height, self.now = Height(self.height + 1), Millis(self.now + 1000)
        return executed.receipts

    def block(self, *calls: tuple[AccountId, PlainCall]) -> tuple[Receipt, ...]:
        """Make a block of ``(signer, call)`` and return the receipts of the calls."""
        execution = self.start()
        for signer, call in calls:
            execution.apply(extrinsic(signer, call, execution.runtime.system.nonces[signer]))
        return self.finish(execution)[2:-1]

    def call(self, signer: AccountId, *call: Any) -> Receipt:
        """Make a block of one call and return its receipt."""
        (receipt,) = self.block((signer, list(call)))
        return receipt

    def skip_to(self, height: int) -> None:
        """Make empty blocks until ``height`` is the last one."""
        while self.height < height:
            self.block()

    @property
    def runtime(self) -> Runtime:
        """The runtime over the state after the last block; what it writes is lost."""
        return Runtime(Context(Overlay(self.state), self.next_info()), self.config, JUDGE)

    def free(self, account: AccountId) -> int:
        return self.runtime.balances.free[account]

    def held(self, account: AccountId, reason: str) -> int:
        return self.runtime.balances.held[account, reason]


def event_names(receipt: Receipt) -> list[str]:
    return [str(event[0]) for event in receipt.events if isinstance(event, list)]


def find_event(receipts: Sequence[Receipt], name: str) -> list[Any]:
    """Return the fields of the only event of that name."""
    (found,) = [
        event[1:]
        for receipt in receipts
        for event in receipt.events
        if isinstance(event, list) and event[0] == name
    ]
    return found
