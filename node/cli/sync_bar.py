"""The progress bar of a node that catches up, under the lines of its log."""

import logging
import sys
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from node.progress import NoView, ProgressView

REFRESHES_PER_SECOND = 4


class SyncBar:
    """A bar on stderr, while there is something to show."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars: Progress | None = None
        self._task = TaskID(0)

    def show(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done."""
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                refresh_per_second=REFRESHES_PER_SECOND,
            )
            before = sys.stderr
            self._bars.start()
            self._task = self._bars.add_task(what, total=total)
            # The log goes where rich puts it above the bar.
            _redirect(before, sys.stderr)
        self._bars.update(self._task, description=what, completed=done, total=total)

    def hide(self) -> None:
        """Take the bar away, until the next ``show``."""
        if self._bars is not None:
            before = sys.stderr
            self._bars.stop()
            self._bars = None
            _redirect(before, sys.stderr)


def _redirect(before: TextIO, after: TextIO) -> None:
    """Let what the log writes to one stream go to another."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(after)


def find_view() -> ProgressView:
    """Return a bar on a terminal, and nothing elsewhere, where the log has to do."""
    return SyncBar() if sys.stderr.isatty() else NoView()
