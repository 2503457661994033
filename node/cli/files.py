"""Writing files for people: whole or not at all, and never over another without being told."""

import os
from pathlib import Path

from node.cli.keys_given import FileUnreadable
from primitives.errors import ConfigError

PUBLIC_MODE = 0o644
SECRET_MODE = 0o600


class FileExists(ConfigError):
    """There is a file of that name: choose another name, or give ``--force``."""


def write_new(path: Path, text: str, *, force: bool, mode: int = PUBLIC_MODE) -> None:
    """Write a file durably. Raises: FileExists unless ``force``; FileUnreadable."""
    if path.exists() and not force:
        raise FileExists(f"{path} is there already: choose another name, or give --force")
    # Made aside with its final mode, so that no moment shows a half or to the wrong people.
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if force:
            aside.replace(path)
        else:
            # A link, unlike a rename, fails if the name was taken in the meantime.
            os.link(aside, path)
    except FileExistsError as error:
        raise FileExists(f"{path} is there already: choose another name") from error
    except OSError as error:
        raise FileUnreadable(f"cannot write {path}: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)
