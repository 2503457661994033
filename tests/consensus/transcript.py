"""Golden transcripts: a scenario as text, each input with the actions that it brought about.

A file holds a title, the machine, and inputs behind ``>``; what stands indented under an input is
what the machine answered. After a wanted change of the rules, write the answers anew with
``python -m tests.consensus.transcript`` and read the difference.
"""

import sys
from pathlib import Path

from consensus.simplex import events
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
)
from consensus.simplex.pledges import Floor, Record
from primitives.types import Digest, Height, View
from tests.consensus.bench_of_four import (
    EPOCH,
    ROOT,
    config,
    finalization,
    finalize,
    notarization,
    notarize,
    nullification,
    nullify,
    proposal,
)

FOLDER = Path(__file__).parent / "transcripts"


def block_of(name: str) -> Digest:
    """Return the digest that a letter, or ``root``, stands for."""
    return ROOT if name == "root" else Digest(name.encode() * 32)


def name_of(block: Digest | None) -> str:
    """Return what a transcript calls a block."""
    if block is None:
        return "nothing"
    return "root" if block == ROOT else block[:1].decode()


class Transcript:
    """One scenario being played."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        self.title = lines[0]
        words = lines[1].split()
        assert words[0] == "machine"
        self.own = None if words[1] == "follower" else int(words[1])
        self.settings = lines[1]
        options = dict(word.split("=") for word in words[2:])
        self.last = int(options.get("last", "103"))
        self.size = int(options.get("size", "4"))
        self.journal: list[Record] = []
        self.machine = self.begin()
        self.inputs = [line for line in lines[2:] if line.startswith((">", "#"))]

    def begin(self) -> Simplex:
        return Simplex(config(self.own, last=self.last, size=self.size), tuple(self.journal))

    def play(self) -> str:
        """Return the transcript with the answers of the machine as it is."""
        lines = [self.title, self.settings]
        for line in self.inputs:
            lines += ["", line]
            if line.startswith(">"):
                lines += [f"  {word}" for word in self.answer(line[1:].split())]
        return "\n".join(lines) + "\n"

    def answer(self, words: list[str]) -> list[str]:
        if words[0] == "restart":
            self.machine = self.begin()
        is_beginning = words[0] in {"start", "restart"}
        actions = self.machine.start() if is_beginning else self.machine.step(parse(words))
        self.journal += [a.record for a in actions if isinstance(a, events.Persist)]
        return [render(action) for action in actions] or ["nothing"]


def parse(words: list[str]) -> events.Input:
    """Return the input that a line names."""
    match words:
        case ["timer", view]:
            return events.TimerFired(View(int(view)))
        case ["built", view, block]:
            return events.Proposed(View(int(view)), block_of(block))
        case [("valid" | "invalid") as verdict, view, block]:
            return events.Verified(View(int(view)), block_of(block), verdict == "valid")
        case ["fetched", block, height]:
            return events.Fetched(block_of(block), Height(int(height)))
        case [*said, "from", peer]:
            return events.Received(events.Peer(peer.encode()), parse_message(said))
        case _:
            raise ValueError(words)


def parse_message(words: list[str]) -> Message:
    """Return the message that a line names."""
    match words:
        case ["proposal", view, block, "on", parent, parent_view, "by", signer]:
            return proposal(
                int(signer),
                int(view),
                block_of(block),
                parent=block_of(parent),
                parent_view=int(parent_view),
            )
        case ["notarize", view, block, "by", signer]:
            return notarize(int(signer), int(view), block_of(block))
        case ["nullify", view, "by", signer]:
            return nullify(int(signer), int(view))
        case ["finalize", view, block, "by", signer]:
            return finalize(int(signer), int(view), block_of(block))
        case ["notarization", view, block]:
            return notarization(int(view), block_of(block))
        case ["nullification", view]:
            return nullification(int(view))
        case ["finalization", view, block]:
            return finalization(int(view), block_of(block))
        case ["request", first, last]:
            return Request(EPOCH, View(int(first)), View(int(last)))
        case _:
            raise ValueError(words)


def render(action: events.Action) -> str:
    """Return an action as a transcript shows it."""
    match action:
        case events.Persist(record):
            return f"persist {show(record)}"
        case events.Broadcast(message):
            return f"broadcast {show(message)}"
        case events.Send(recipient, message):
            return f"send {show(message)} to {recipient.decode()}"
        case events.SetTimer(view, delay):
            return f"set timer of view {view} to {delay} ms"
        case events.RequestProposal(view, parent, height):
            return f"request proposal of view {view} on {name_of(parent)} at height {height}"
        case events.RequestVerification(offer, height):
            return f"request verification of {name_of(offer.block)} at height {height}"
        case events.Fetch(block):
            return f"fetch {name_of(block)}"
        case events.Deliver(certificate):
            return f"deliver {name_of(certificate.block)}"
        case events.Report(evidence):
            return f"report {show(evidence.first)} and {show(evidence.second)}"


def show(message: Message | Record) -> str:
    """Return a message or a record as a transcript shows it."""
    match message:
        case Proposal():
            parent = f"{name_of(message.parent)} {message.parent_view}"
            return (
                f"proposal {message.view} {name_of(message.block)} on {parent} by {message.signer}"
            )
        case Notarize() | Finalize():
            kind = type(message).__name__.lower()
            return f"{kind} {message.view} {name_of(message.block)} by {message.signer}"
        case Nullify():
            return f"nullify {message.view} by {message.signer}"
        case Certificate():
            kind = {1: "notarization", 2: "nullification", 3: "finalization"}[message.kind]
            block = "" if message.block is None else f" {name_of(message.block)}"
            by = ",".join(str(position) for position in message.positions())
            return f"{kind} {message.view}{block} by {by}"
        case Request():
            return f"request {message.first} {message.last}"
        case Floor():
            return f"floor {message.view}"


def main() -> None:
    """Write every transcript anew from its inputs."""
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(Transcript(path.read_text()).play())
        sys.stdout.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
