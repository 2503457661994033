"""Blocks for the consensus machine: built, fetched and judged on its behalf.

Invariants: what is handed out survives a crash (it is in the pending blocks on disk, or final); a
block of a peer is executed before it is called valid, and only on a parent that is held.
"""

import logging
from collections.abc import Callable

import trio

from chain.blockchain import Imported
from chain.builder import Assignment
from chain.header_checks import EpochRules
from consensus.simplex.events import RequestProposal, RequestVerification
from consensus.simplex.messages import Proposal
from node.chain_service import NOT_TAKEN, ChainService
from node.consensus_network import Network
from node.voters import Voter
from primitives.beacon import vrf_input
from primitives.block import Block
from primitives.errors import InvalidBlock
from primitives.types import Digest, Height, Millis
from primitives.vrf import prove, verify

FETCHED_AHEAD_MAX = 64
"""Missing ancestors of one block that are fetched one by one; more is a matter for sync."""
PROPOSAL_WAIT = Millis(30_000)
"""How long a proposed block is asked for; longer than any view that could still use it."""
MILLIS = 1000

_log = logging.getLogger(__name__)


class BlockDesk:
    """What one node builds and checks while it takes part in consensus."""

    def __init__(
        self,
        service: ChainService,
        network: Network,
        *,
        wall_clock: Callable[[], Millis],
        clock_drift_max: Millis,
    ) -> None:
        self._service = service
        self._network = network
        self._wall_clock = wall_clock
        self._clock_drift_max = clock_drift_max

    async def build(
        self, rules: EpochRules, voter: Voter, request: RequestProposal
    ) -> Digest | None:
        """Return the block that ``voter`` proposes in its view, or None if it cannot be built."""
        try:
            imported = await self._build(rules, voter, request)
        except NOT_TAKEN as error:
            _log.warning(
                "view=%d event=not_proposed reason=%s detail=%r",
                request.view,
                error.reason,
                str(error),
            )
            return None
        await self._service.save_pending(imported.hash)
        return imported.hash

    async def _build(self, rules: EpochRules, voter: Voter, request: RequestProposal) -> Imported:
        chain = self._service.chain
        earliest = Millis(chain.header(request.parent).timestamp + chain.interval)
        await trio.sleep(max(0, earliest - self._wall_clock()) / MILLIS)
        alpha = vrf_input(rules.randomness, rules.epoch, request.view)
        proof = prove(voter.vrf, alpha)
        return await self._service.build(
            Assignment(
                parent=request.parent,
                view=request.view,
                timestamp=max(earliest, self._wall_clock()),
                author=voter.account,
                vrf_proof=proof,
                vrf_output=verify(voter.vrf.public, alpha, proof),
            )
        )

    async def judge(self, rules: EpochRules, request: RequestVerification) -> bool:
        """Return whether a proposed block is here, valid, and what its proposal says."""
        imported = await self._get_proposed(request.proposal)
        if imported is None or not self._is_as_proposed(rules, request, imported):
            return False
        # Perhaps it was held already, but only in memory.
        await self._service.save_pending(imported.hash)
        return True

    async def _get_proposed(self, proposal: Proposal) -> Imported | None:
        """Return a proposed block, held, or None if it is invalid or cannot be had."""
        block: Block | None = None
        imported = self._service.chain.find_imported(proposal.block)
        if imported is None:
            # A liar may propose what it sends to nobody, view after view.
            with trio.move_on_after(PROPOSAL_WAIT / MILLIS):
                block = await self._network.fetch(proposal.block)
        # The parent is held, so a block on another one is a lie, and its ancestors need no asking.
        if block is not None and block.header.parent_hash == proposal.parent:
            imported = await self._take(block)
        return imported

    def _is_as_proposed(
        self, rules: EpochRules, request: RequestVerification, imported: Imported
    ) -> bool:
        header, proposal = imported.header, request.proposal
        leader = rules.table[proposal.signer].account
        latest = self._wall_clock() + self._clock_drift_max
        return (
            header.parent_hash == proposal.parent
            and (header.epoch, header.view) == (proposal.epoch, proposal.view)
            and header.height == request.height
            and header.author == leader
            and header.timestamp <= latest
        )

    async def find(self, block_hash: Digest) -> Height | None:
        """Return a block's height once it and its ancestors are here; None if it is of no use."""
        imported = await self._find(block_hash)
        if imported is not None:
            await self._service.save_pending(block_hash)
            return imported.header.height
        chain = self._service.chain
        return chain.header(block_hash).height if chain.is_final(block_hash) else None

    async def _find(self, block_hash: Digest) -> Imported | None:
        """Return a block with its ancestors held, fetching what is missing; None if invalid.

        Also None if it is final already, and so no longer among the unfinalized ones.
        """
        chain = self._service.chain
        missing: list[Block] = []
        while not chain.has_block(block_hash):
            block = await self._network.fetch(block_hash)
            missing.append(block)
            if len(missing) > FETCHED_AHEAD_MAX:
                _log.warning("event=left_to_sync ancestors_missing=%d", FETCHED_AHEAD_MAX)
                return None
            block_hash = block.header.parent_hash
        imported = chain.find_imported(block_hash)
        for block in reversed(missing):
            imported = await self._take(block)
            if imported is None:
                return None
        return imported

    async def _take(self, block: Block) -> Imported | None:
        """Hold a block whose parent is held, in memory and on disk; return None if that fails."""
        height = block.header.height
        try:
            imported = await self._service.take(block)
        except InvalidBlock as error:
            _log.warning(
                "height=%d event=invalid_block reason=%s detail=%r",
                height,
                error.reason,
                str(error),
            )
            return None
        except NOT_TAKEN as error:
            _log.info("height=%d event=block_not_taken reason=%s", height, error.reason)
            return None
        await self._service.save_pending(imported.hash)
        return imported
