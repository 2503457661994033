"""What can be wrong with the disk of a provider."""

import errno
from pathlib import Path

from primitives.errors import LoopinError


class DiskFull(LoopinError):
    """There is no room left: free some, or stake fewer units."""


class DiskUnusable(LoopinError):
    """A file cannot be read or written; the message says which and why."""


def disk_error(path: Path, error: OSError) -> LoopinError:
    """Return our error for the system's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no room for {path}")
    return DiskUnusable(f"{path}: {error.strerror or error}")
