"""Turns a process into a limited command: ``python -m node.lease.limited LIMITS COMMAND ...``.

LIMITS is a JSON object of ``seconds``, ``memory_bytes``, ``file_bytes`` and ``processes``. They are
set here, in a process of its own, because between a fork and an exec in the provider's program
nothing may run. The limits are the kernel's: they hold for the command and all its children.
"""

import json
import os
import resource
import sys

FILES_MAX = 64


def main() -> None:
    """Limit this process and become the command."""
    limits: dict[str, int] = json.loads(sys.argv[1])
    for kind, value in (
        (resource.RLIMIT_CPU, limits["seconds"]),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, FILES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        # What is less already stays: a limit is never raised.
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
    command = sys.argv[2:]
    os.execvp(command[0], command)  # noqa: S606 - the provider's own configuration names it


if __name__ == "__main__":
    main()
