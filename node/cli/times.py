"""Timestamps as people read them."""

from datetime import UTC, datetime

from primitives.types import Millis


def shown_time(timestamp: Millis) -> str:
    """Return a timestamp as people read it, or the number if it is beyond the calendar."""
    try:
        moment = datetime.fromtimestamp(timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
