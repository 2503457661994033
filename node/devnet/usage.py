"""What a process and those that it started use of this machine, read from ``/proc``."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time since the start, and memory now."""

    cpu_seconds: float
    resident_bytes: int
    mapped_bytes: int = 0
    """Of them, pages of files (programs, the database): given up when others need the memory."""

    @property
    def private_bytes(self) -> int:
        """What nobody else can have."""
        return self.resident_bytes - self.mapped_bytes


def read_usage(process_id: int) -> Usage:
    """Return what a process and its descendants use; nothing if it is gone."""
    found = [usage for each in _family(process_id) if (usage := _usage_of(each))]
    return Usage(
        sum(usage.cpu_seconds for usage in found),
        sum(usage.resident_bytes for usage in found),
        sum(usage.mapped_bytes for usage in found),
    )


def _family(process_id: int) -> Iterator[int]:
    yield process_id
    try:
        tasks = list(Path(f"/proc/{process_id}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return  # it ended meanwhile
    for child in children:
        yield from _family(int(child))


def _usage_of(process_id: int) -> Usage | None:
    try:
        text = Path(f"/proc/{process_id}/stat").read_text()
        pages = Path(f"/proc/{process_id}/statm").read_text().split()
    except OSError:
        return None
    # The name, in brackets, may hold anything; what follows it is numbers (proc(5)).
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    resident, mapped = (_PAGE_BYTES * int(count) for count in pages[1:3])
    return Usage(ticks / _TICKS_PER_SECOND, resident, mapped)
