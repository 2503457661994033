"""How the C library keeps the memory of what is not a small Python object.

glibc gives the threads of a process up to eight heaps a core, "arenas", and an arena keeps the
size that it once had. A node's blocks are written by one thread after the other of a pool, and
what the database buffers for a write is taken by the thread that writes: so each arena in turn
would grow to the size of all buffers, for hours, though only one of them is in use. With one
arena the next buffer takes the place of the one before. Threads hardly wait for each other there:
small objects of Python, nearly all there are, come from the interpreter's own allocator.

What is freed in the middle of an arena stays with the process, until it is given back on demand:
otherwise a node would for ever be as large as it was at its busiest moment.
"""

import ctypes
from collections.abc import Callable

M_ARENA_MAX = -8
"""As in glibc's ``malloc.h``."""


def share_one_arena() -> bool:
    """Let all threads that start from now on use one arena; return whether the C library can."""
    mallopt = _found("mallopt")
    return mallopt is not None and bool(mallopt(M_ARENA_MAX, 1))


def give_back() -> bool:
    """Give every whole free page back to the system; return whether there was one.

    Takes one or two milliseconds for ten megabytes that are free in small pieces.
    """
    malloc_trim = _found("malloc_trim")
    return malloc_trim is not None and bool(malloc_trim(ctypes.c_size_t(0)))


def _found(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None if it is another, with habits of its own."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return function
