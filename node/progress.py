"""How far long work of a node is, for whoever shows it to people."""

from typing import Protocol


class ProgressView(Protocol):
    """Where progress is shown; nothing here may wait."""

    def show(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done."""

    def hide(self) -> None:
        """Show nothing any more, until the next ``show``."""


class NoView:
    """Shows nothing: the log tells enough."""

    def show(self, what: str, done: int, total: int) -> None:
        """Do nothing."""

    def hide(self) -> None:
        """Do nothing."""
