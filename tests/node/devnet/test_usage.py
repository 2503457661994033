import os
import subprocess
import sys

from node.devnet.usage import Usage, read_usage

EAT = "import sys; held = bytearray(b'x' * (40 << 20)); print(1, flush=True); sys.stdin.read()"


def test_own_process_uses_time_and_memory() -> None:
    usage = read_usage(os.getpid())

    assert usage.cpu_seconds > 0
    assert usage.resident_bytes > usage.private_bytes > 1 << 20
    assert usage.mapped_bytes > 1 << 20


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

        assert read_usage(process.pid) == Usage(0.0, 0)


def test_children_are_counted_with_their_parent() -> None:
    command = [sys.executable, "-c", EAT]
    before = read_usage(os.getpid())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()

        grown = read_usage(os.getpid()).private_bytes - before.private_bytes

        child.kill()
    assert grown > 30 << 20
