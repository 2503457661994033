"""What a node that stopped has to tell its operator."""

from primitives.errors import LoopinError


def only_reason(group: BaseExceptionGroup[BaseException]) -> LoopinError | None:
    """Return the first expected failure of a node's tasks, None if one of them is our own bug."""
    reasons: list[LoopinError] = []
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting[:0] = error.exceptions
        elif isinstance(error, LoopinError):
            reasons.append(error)
        else:
            return None
    return reasons[0]
