"""A process that runs one job: ``python -m node.lease.worker NETWORK INPUTS OUTPUTS BYTES_MAX``.

It reads the network and the rows, appends output rows to OUTPUTS and says on stdout, one JSON
object a line, how many rows are there; the last line names what the provider signs. It limits its
own memory first, and ends when its parent kills it.
"""

import json
import resource
import sys
from pathlib import Path
from typing import TextIO

import numpy as np

from node.lease.engine import Engine
from primitives.errors import DecodeError
from runtime.jobs.commitment import ROWS_MAX, rows_tree
from runtime.jobs.network import IntegerNetwork, InvalidNetwork, rows_of

ROWS_AT_ONCE = 256


def run_job(network_file: Path, inputs_file: Path, outputs_file: Path, told: TextIO) -> None:
    """Run a job and tell its progress. Raises: DecodeError, OSError, MemoryError."""
    network = IntegerNetwork.decode(network_file.read_bytes())
    rows = rows_of(inputs_file.read_bytes(), network.shape.inputs)
    if len(rows) > ROWS_MAX:
        raise InvalidNetwork(f"{len(rows)} rows, at most {ROWS_MAX} are passed at once")
    engine = Engine(network)
    outputs = []
    with outputs_file.open("wb") as file:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            outputs.append(engine.run(rows[start : start + ROWS_AT_ONCE]))
            file.write(outputs[-1].tobytes())
            file.flush()
            done = start + len(outputs[-1])
            _tell(told, {"rows": done, "bytes": done * network.shape.outputs})
    result = {
        "network": network.identity.hex(),
        "inputs": rows_tree(rows).root.hex(),
        "outputs": rows_tree(np.concatenate(outputs)).root.hex(),
        "count": len(rows),
    }
    _tell(told, {"done": result})


def _tell(told: TextIO, what: dict[str, object]) -> None:
    told.write(json.dumps(what) + "\n")
    told.flush()


def main() -> int:
    """Run the job that the command line names; return the exit code."""
    *files, bytes_max = sys.argv[1:]
    network, inputs, outputs = map(Path, files)
    resource.setrlimit(resource.RLIMIT_AS, (int(bytes_max), int(bytes_max)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        run_job(network, inputs, outputs, sys.stdout)
    except (DecodeError, OSError, MemoryError) as error:
        _tell(sys.stdout, {"failed": f"{type(error).__name__}: {error}"[:150]})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
