"""One epoch as the driver runs it: the machine, its inbox, and the tasks that belong to it."""

from collections.abc import Iterable

import trio

from chain.blockchain import Blockchain
from chain.header_checks import EpochRules
from consensus.simplex.config import Config, Timing
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import CERTIFICATE, Certificate
from consensus.simplex.pledges import Record
from node.inbox import Inbox
from primitives.crypto import KeyPair
from primitives.types import Digest, Height, View

DELIVERED_MAX = 256
"""Finalizations that wait to be written; the machine waits when there are more."""


class EpochRun:
    """The machine of one epoch, and what belongs to it alone."""

    def __init__(self, machine: Simplex, rules: EpochRules) -> None:
        self.machine = machine
        self.rules = rules
        self.inbox = Inbox()
        self.delivered_send, self.delivered = trio.open_memory_channel[Certificate](DELIVERED_MAX)
        self.is_final = trio.Event()
        """Set when every delivered block is final on disk and no more will come."""
        self.alarm = trio.CancelScope()
        self.proposing = trio.CancelScope()
        self.fetching: dict[Digest, trio.CancelScope] = {}
        self.verifying: dict[View, trio.CancelScope] = {}


def machine_of(
    rules: EpochRules,
    chain: Blockchain,
    records: Iterable[Record],
    genesis: Digest,
    timing: Timing,
    key: KeyPair | None,
) -> Simplex:
    """Return the machine of the epoch above the last final block, as ``records`` bind it.

    Without ``key`` it follows.
    """
    root_height = Height(rules.first_height - 1)
    config = Config(
        genesis=genesis,
        epoch=rules.epoch,
        table=rules.table,
        randomness=rules.randomness,
        root=chain.final_header_at(root_height).hash,
        root_height=root_height,
        last_height=rules.last_height,
        key=key,
        timing=timing,
    )
    kept = [record for record in records if record.epoch >= rules.epoch]
    if chain.final.height > 0 and chain.final.epoch == rules.epoch:
        encoded = chain.store.reads.certificate_at(chain.final.height)
        kept += [CERTIFICATE.load(encoded)] if encoded else []
    return Simplex(config, tuple(kept))
