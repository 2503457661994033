"""A provider's program that says what it is told to say, for tests of its supervisor.

Arguments: a diary, then what ``loopin provider run`` gets. It ends by itself when the diary says
that this is its first run, else with its input.
"""

import json
import os
import sys
from pathlib import Path

STATUS = {
    "event": "status",
    "trouble": None,
    "classes": [
        {
            "class": 1, "staked": 30, "due": 20, "live": 10, "leavesDone": 5, "leavesTotal": 9,
            "leavesPerSecond": 77, "penalty": "18446744073709551615",
        },
        "no class",
    ],
}  # fmt: skip


def main() -> None:
    diary = Path(sys.argv[1])
    before = diary.read_text() if diary.exists() else ""
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "any")
    diary.write_text(f"{before}{' '.join(sys.argv[2:])} threads={threads}\n")
    print("no json", flush=True)  # noqa: T201 - its protocol
    fact = {"class": 1, "epoch": 3, "event": "too_late", "cost": "5", "detail": "why"}
    for document in (STATUS, fact, {"error": "NothingToProve", "message": "no units"}):
        print(json.dumps(document), flush=True)  # noqa: T201 - its protocol
    if not before:
        sys.exit(3)
    sys.stdin.read()


main()
