"""What a provider's program knows of itself, for whoever shows it: a person, a log, the node."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from miner.provider_messages import Fact, Sight, Tell, Windows
from node.client.node_client import Token
from node.rpc.json_types import JsonObject
from primitives.types import Height

FACTS_KEPT = 8

BAD_FACTS = frozenset(
    {Fact.BEHIND, Fact.TOO_LATE, Fact.PROOF_FAILED, Fact.OTHER_ROOT, Fact.REFUSED, Fact.FAULTED}
)


@dataclass
class ClassBoard:
    """One class of the provider."""

    class_id: int
    class_name: str
    windows: Windows
    device: str = ""
    leaves_per_second: int = 0
    done: int = 0
    total: int = 0
    doing: str = "starting"
    sight: Sight | None = None
    facts: deque[Tell] = field(default_factory=lambda: deque(maxlen=FACTS_KEPT))
    counts: dict[Fact, int] = field(default_factory=lambda: dict.fromkeys(Fact, 0))
    fees: int = 0
    worker_restarts: int = 0

    def add(self, told: Tell) -> None:
        """Note what the machine tells."""
        self.facts.append(told)
        self.counts[told.fact] += 1

    @property
    def is_late(self) -> bool:
        """Whether a window of the present epoch was missed."""
        epoch = self.sight.epoch if self.sight else None
        return any(told.fact is Fact.TOO_LATE and told.epoch == epoch for told in self.facts)

    def document(self) -> JsonObject:
        """Return what is now, for machines; amounts are in base units."""
        sight = self.sight
        place = self.windows.place(Height(sight.height + 1)) if sight else None
        return {
            "class": self.class_id,
            "name": self.class_name,
            "doing": self.doing,
            "device": self.device,
            "leavesPerSecond": self.leaves_per_second,
            "leavesDone": self.done,
            "leavesTotal": self.total,
            "height": sight.height if sight else None,
            "epoch": sight.epoch if sight else None,
            "blockOfEpoch": place,
            "staked": sight.staked if sight else 0,
            "due": sight.due if sight else 0,
            "live": sight.live if sight else 0,
            "committed": bool(sight and sight.commitment),
            "responded": bool(sight and sight.has_responded),
            "penalty": str(sight.penalty) if sight else None,
            "workerRestarts": self.worker_restarts,
            "fees": str(self.fees),
            "counts": {fact.value: count for fact, count in self.counts.items() if count},
        }


@dataclass
class Board:
    """All classes of the provider, and the way to the chain."""

    address: str
    url: str
    token: Token | None = None
    """How amounts are written; None until a node has answered."""
    classes: list[ClassBoard] = field(default_factory=list)
    trouble: str = ""
    """Why the chain cannot be followed now; empty if it can."""
    on_tell: list[Callable[[ClassBoard, Tell], None]] = field(default_factory=list)
    on_trouble: list[Callable[[str], None]] = field(default_factory=list)

    def tell(self, of: ClassBoard, told: Tell) -> None:
        """Note a fact and pass it on."""
        of.add(told)
        for listener in self.on_tell:
            listener(of, told)

    def set_trouble(self, trouble: str) -> None:
        """Note that the chain cannot be followed, or with an empty text that it can again."""
        if trouble == self.trouble:
            return
        self.trouble = trouble
        for listener in self.on_trouble:
            listener(trouble)

    def document(self) -> JsonObject:
        """Return what is now, for machines."""
        return {
            "event": "status",
            "address": self.address,
            "url": self.url,
            "trouble": self.trouble or None,
            "classes": [item.document() for item in self.classes],
        }


def fact_document(of: ClassBoard, told: Tell) -> JsonObject:
    """Return a fact for machines."""
    return {
        "event": told.fact.value,
        "class": of.class_id,
        "height": told.height,
        "epoch": told.epoch,
        "detail": told.detail,
        "cost": None if told.cost is None else str(told.cost),
    }
