"""How the C library keeps the memory of what is not a small Python object.

glibc gives the threads of a process up to eight heaps a core, "arenas", and an arena keeps the
size that it once had. A node's blocks are written by one thread after the other of a pool, and
what the database buffers for a write is taken by the thread that writes: so each arena in turn
would grow to the size of all buffers, for hours, though only one of them is in use. With one
arena the next buffer takes the place of the one before. Threads hardly wait for each other there:
small objects of Python, nearly all there are, come from the interpreter's own allocator.
"""

import ctypes

M_ARENA_MAX = -8
"""As in glibc's ``malloc.h``."""


def share_one_arena() -> bool:
    """Let all threads that start from now on use one arena; return whether the C library can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # another C library, with habits of its own
    return bool(mallopt(M_ARENA_MAX, 1))
