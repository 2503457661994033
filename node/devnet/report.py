"""What a devnet is like now, for programs and for logs."""

from node.devnet.devnet import Devnet
from node.devnet.provider_screen import provider_documents, provider_words
from node.devnet.watch import Sight
from node.rpc.json_types import JsonObject


def shown_millis(seconds: float | None) -> str:
    """Return seconds as whole milliseconds for people."""
    return "-" if seconds is None else f"{1000 * seconds:.0f}"


def begin_document(devnet: Devnet, join: str) -> JsonObject:
    """Return what is fixed from the start."""
    return {
        "event": "started",
        "chain": devnet.plan.spec.id,
        "spec": str(devnet.plan.spec_file),
        "join": join,
        "nodes": [
            {
                "name": node.name,
                "isValidator": node.is_validator,
                "port": node.port,
                "rpcPort": node.rpc_port,
                "prometheusPort": node.prometheus_port,
                "log": str(node.log),
            }
            for node in devnet.plan.nodes
        ],
    }


def status_document(devnet: Devnet, seconds: float) -> JsonObject:
    """Return what is now."""
    watch = devnet.watch
    return {
        "event": "status",
        "seconds": round(seconds, 1),
        "phase": devnet.phase,
        "final": watch.final,
        "extrinsics": watch.chain.extrinsics,
        "extrinsicsPerSecond": round(watch.extrinsics_per_second, 1),
        "finalityP50": _millis(watch.finality(0.5)),
        "finalityP99": _millis(watch.finality(0.99)),
        "longestGapSeconds": round(watch.longest_gap, 1),
        "disagreements": len(watch.chain.disagreements),
        "stalls": watch.stalls,
        "chaos": devnet.chaos.status if devnet.chaos else None,
        "troubles": devnet.chaos.troubles if devnet.chaos else 0,
        "accepted": devnet.load.accepted if devnet.load else 0,
        "refused": devnet.load.refused if devnet.load else 0,
        "nodes": {name: _node(sight) for name, sight in watch.sights.items()},
        "providers": provider_documents(devnet.providers),
    }


def end_document(devnet: Devnet, seconds: float) -> JsonObject:
    """Return how it went."""
    status = {**status_document(devnet, seconds), "event": "ended"}
    return {**status, "problems": list(devnet.problems())}


def status_line(devnet: Devnet, seconds: float) -> str:
    """Return what is now, in a line for a log."""
    watch = devnet.watch
    finals = ",".join(str(sight.final) for sight in watch.sights.values())
    running = sum(sight.is_answering for sight in watch.sights.values())
    parts = [
        f"final={watch.final}",
        f"seconds={seconds:.0f}",
        f"phase={devnet.phase!r}",
        f"answering={running}/{len(devnet.nodes)}",
        f"finals={finals}",
        f"tx/s={watch.extrinsics_per_second:.0f}",
        f"finality_ms={shown_millis(watch.finality(0.5))}/{shown_millis(watch.finality(0.99))}",
        f"disagreements={len(watch.chain.disagreements)}",
    ]
    if devnet.load:
        parts.append(f"accepted={devnet.load.accepted} refused={devnet.load.refused}")
    if devnet.providers:
        parts.append(f"caught={provider_words(devnet.providers)}")
    if devnet.chaos:
        parts.append(f"chaos={devnet.chaos.status!r}")
    return " ".join(parts)


def _node(sight: Sight) -> JsonObject:
    return {
        "process": sight.condition.value,
        "isAnswering": sight.is_answering,
        "best": sight.best,
        "final": sight.final,
        "epoch": sight.epoch,
        "view": sight.view,
        "peers": sight.peers,
        "extrinsicsPerSecond": round(sight.extrinsics_per_second, 1),
        "finalityP50": _millis(sight.finality_p50),
        "finalityP99": _millis(sight.finality_p99),
        "cpuPercent": round(sight.cpu_percent, 1),
        "residentBytes": sight.resident_bytes,
    }


def _millis(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
