"""One arena for all threads, seen with the C library's own eyes, in a process of its own."""

import platform
import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from node.allocator import share_one_arena

if sys.argv[1] == "shared":
    assert share_one_arena()
all_there = threading.Barrier(4)

def take():
    all_there.wait()
    taken = [bytes(2000) for _ in range(100)]
    all_there.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, output)
libc.fflush(output)
"""

HOLES = """
import resource
from node.allocator import give_back

def resident():
    with open("/proc/self/statm") as pages:
        return resource.getpagesize() * int(pages.read().split()[1])

held = [bytes(2000) for _ in range(20_000)]
kept = held[::100]
before = resident()
del held
freed = resident()
assert give_back()
print(before - freed, freed - resident())
"""

needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas"
)


def arenas(how: str) -> int:
    """Return how many arenas a process has that took memory in four threads at once."""
    command = [sys.executable, "-c", ARENAS, how]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told.count("<heap nr=")


@needs_glibc
def test_threads_share_one_arena_and_would_not_by_themselves() -> None:
    assert arenas("shared") == 1
    assert arenas("each its own") > 1


@needs_glibc
def test_what_is_free_between_what_is_kept_is_given_back_on_demand() -> None:
    command = [sys.executable, "-c", HOLES]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    by_itself, on_demand = map(int, told.split())

    assert by_itself < 10 << 20 < on_demand
