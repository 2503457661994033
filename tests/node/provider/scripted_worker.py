"""A worker that answers at once, for tests of those who order work from it.

Arguments: a file in which each command it gets is written down, then the failures to play:
``die`` ends the process once, when the first proof is ordered; ``nonsense`` says no JSON;
``fail`` fails proofs.
"""

import json
import sys
from pathlib import Path


def tell(event: str, **told: object) -> None:
    print(json.dumps({"event": event, **told}), flush=True)  # noqa: T201 - its protocol


def main() -> None:
    diary, plays = Path(sys.argv[1]), sys.argv[2:]
    for line in sys.stdin:
        command = json.loads(line)
        before = diary.read_text() if diary.exists() else ""
        diary.write_text(before + command["do"] + "\n")
        match command["do"]:
            case "open":
                tell("ready", device="paper", leaves_per_second=1000)
                if "nonsense" in plays:
                    print("no json", flush=True)  # noqa: T201 - what it is to say
            case "seal":
                tell("sealing", done=1, total=2)
                tell("sealed", units=command["units"])
            case "prove" if "die" in plays and "prove" not in before:
                sys.exit(7)
            case "prove" if "fail" in plays:
                told = {"what": "prove", "reason": "DiskFull", "message": "no room"}
                tell("failed", epoch=command["epoch"], **told)
            case "prove":
                epoch, units = command["epoch"], command["units"]
                tell("progress", epoch=epoch, done=1, total=4, resumed=0, millis=1)
                root = bytes([epoch + 1, units % 256]) * 16
                tell("proven", epoch=epoch, units=units, leaves=4, root=root.hex(), millis=2)
            case "respond":
                tell("response", epoch=command["epoch"], siblings="aa" * 64)


main()
