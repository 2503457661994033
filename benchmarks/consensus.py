"""CPU microseconds of a vote and of a certificate: ``python -m benchmarks.consensus``.

Votes: a whole happy-path view by n validators of equal weight, as one of them sees it, divided by
the votes in it. Certificates: the smallest quorum of n validators.
"""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial

from consensus.simplex.config import Config, Timing
from consensus.simplex.events import Peer, Received, Verified
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Message,
    Notarize,
    Proposal,
    bitmap,
    proposal_bytes,
    signed_bytes,
)
from consensus.simplex.verification import verify_certificate, verify_message
from primitives.crypto import KeyPair
from primitives.power_table import PowerTable, Validator
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View, VotingPower

ROUNDS = 30
SIZES = (4, 10, 100)
GENESIS = Digest(b"g" * 32)
ROOT = Digest(b"r" * 32)
PEER = Peer(b"peer")


def key_of(place: int) -> KeyPair:
    return KeyPair((place + 1).to_bytes(32, "big"))


def table_of(size: int) -> PowerTable:
    return PowerTable(
        tuple(
            Validator(
                AccountId(place.to_bytes(32, "big")),
                key_of(place).public,
                KeyPair((place + 10_000).to_bytes(32, "big")).public,
                VotingPower(1),
            )
            for place in range(size)
        )
    )


def machine_of(table: PowerTable, own: int) -> Simplex:
    delay = Millis(1000)
    config = Config(
        genesis=GENESIS,
        epoch=Epoch(0),
        table=table,
        randomness=ROOT,
        root=ROOT,
        root_height=Height(0),
        last_height=Height(1000),
        key=key_of(own),
        timing=Timing(leader=delay, advance=Millis(1500), retry=delay, delay_max=delay),
    )
    return Simplex(config)


def messages_of_a_view(size: int, leader: int, own: int) -> tuple[Proposal, list[Message]]:
    """Return the proposal of view 1, and everybody else's notarize and finalize votes."""
    epoch, view, block = Epoch(0), View(1), Digest(b"b" * 32)
    offer = proposal_bytes(GENESIS, epoch, view, View(0), ROOT, block)
    proposal = Proposal(epoch, view, View(0), ROOT, block, leader, key_of(leader).sign(offer))
    texts = {
        kind: signed_bytes(GENESIS, kind, epoch, view, block)
        for kind in (Kind.NOTARIZE, Kind.FINALIZE)
    }
    others = [place for place in range(size) if place != own]
    votes: list[Message] = [
        Notarize(epoch, view, block, place, key_of(place).sign(texts[Kind.NOTARIZE]))
        for place in others
    ]
    votes += [
        Finalize(epoch, view, block, place, key_of(place).sign(texts[Kind.FINALIZE]))
        for place in others
    ]
    return proposal, votes


def micros_per_vote(size: int, *, with_signatures: bool) -> float:
    """Return the median over rounds of one view's time, divided by its votes."""
    table = table_of(size)
    leader = machine_of(table, 0).elector.leader(View(1))
    own = (leader + 1) % size
    proposal, votes = messages_of_a_view(size, leader, own)
    taken = []
    for _ in range(ROUNDS):
        machine = machine_of(table, own)
        machine.start()
        machine.step(Received(PEER, proposal))
        machine.step(Verified(View(1), proposal.block, is_valid=True))
        started = time.process_time_ns()
        for vote in votes:
            if machine.is_wanted(vote):
                if with_signatures:
                    verify_message(table, GENESIS, vote)
                machine.step(Received(PEER, vote))
        taken.append((time.process_time_ns() - started) / 1000 / len(votes))
        assert machine.views.final_view == 1
    return statistics.median(taken)


def certificate_of(size: int) -> Certificate:
    """Return the smallest quorum of finalize votes."""
    signers = list(range(2 * size // 3 + 1))
    block = Digest(b"b" * 32)
    text = signed_bytes(GENESIS, Kind.FINALIZE, Epoch(0), View(1), block)
    signatures = tuple(key_of(place).sign(text) for place in signers)
    return Certificate(Kind.FINALIZE, Epoch(0), View(1), block, bitmap(signers, size), signatures)


def median_micros(operation: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        operation()
        taken.append((time.process_time_ns() - started) / 1000)
    return statistics.median(taken)


def main() -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"{platform.processor() or platform.machine()} python={platform.python_version()} {commit=}"
    )
    for size in SIZES:
        table, certificate = table_of(size), certificate_of(size)
        bare = micros_per_vote(size, with_signatures=False)
        whole = micros_per_vote(size, with_signatures=True)
        verified = median_micros(partial(verify_certificate, table, GENESIS, certificate))
        print(
            f"{size:>4} validators: vote {bare:6.1f} us, with its signature {whole:6.1f} us;"
            f" certificate {verified:8.1f} us"
        )


if __name__ == "__main__":
    main()
