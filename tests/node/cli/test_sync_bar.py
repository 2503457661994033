"""The bar of a node that catches up: on a terminal only, and the log above it."""

import io
import logging
import sys

import pytest
from rich.console import Console

from node.cli.sync_bar import SyncBar, find_view
from node.progress import NoView


def test_without_a_terminal_there_is_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert isinstance(find_view(), NoView)


def test_bar_shows_how_far_it_is_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    bar = SyncBar(Console(file=shown, force_terminal=True, width=100))

    bar.show("blocks, 7/s", 5, 20)
    bar.show("blocks, 8/s", 10, 20)
    assert bar._bars is not None
    bar._bars.refresh()
    bar.hide()
    bar.hide()

    assert "blocks, 8/s" in shown.getvalue()
    assert "10/20" in shown.getvalue()


def test_log_goes_above_the_bar_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    bar = SyncBar(Console(file=terminal, force_terminal=True))

    bar.show("blocks", 1, 2)
    while_shown = handler.stream
    bar.hide()

    assert while_shown is not terminal
    assert handler.stream is terminal
