"""The process that computes: JSON lines in, JSON lines out, and the work in between.

It is a process of its own so that no proof ever holds up the one that talks to the chain. Each
line on standard input is an object with ``do``:

=========  =================================  ===================================================
do         with                               answers
=========  =================================  ===================================================
open       class, provider, folder, devices?  device (refused ones), sealing_speed, ready
seal       units                              sealing, sealed
prove      epoch, challenge, units            progress, proven
respond    epoch, beacon                      response
abandon
=========  =================================  ===================================================

A job that fails answers ``failed`` with a reason. When standard input ends, so does the process, at
once and whatever it computes: its owner is gone.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

from miner.backends.selection import known_devices
from miner.resources import resource_from_plain
from miner.workshop import Order, Tell, Workshop
from primitives.errors import ConfigError
from primitives.types import AccountId, Digest, Epoch

NICENESS = 10
"""Consensus on the same machine goes first."""

Command = dict[str, object]
MakeWorkshop = Callable[[Command, Tell], Workshop]


class BadCommand(ConfigError):
    """The line is no command: the two processes are of different versions."""


def open_workshop(command: Command, tell: Tell) -> Workshop:
    """Return the workshop that an ``open`` describes. Raises: ConfigError."""
    wanted = command.get("devices")
    devices = None
    if wanted is not None:
        devices = [device for device in known_devices() if device.name == wanted]
        if not devices:
            names = ", ".join(device.name for device in known_devices())
            raise BadCommand(f"no device is called {wanted}: there are {names}")
    return Workshop(
        resource_from_plain(command.get("class")),
        AccountId(_octets(command, "provider")),
        Path(_text(command, "folder")),
        tell=tell,
        clock=time.perf_counter,
        devices=devices,
    )


class Worker:
    """Obeys commands; the first one opens the workshop."""

    def __init__(self, tell: Tell, make: MakeWorkshop = open_workshop) -> None:
        self._tell = tell
        self._make = make
        self._workshop: Workshop | None = None

    @property
    def is_idle(self) -> bool:
        return self._workshop is None or self._workshop.is_idle

    def obey(self, command: Command) -> None:
        """Take a command. Raises: ConfigError."""
        what = command.get("do")
        if what == "open":
            self._workshop = self._make(command, self._tell)
            self._workshop.warm_up()
            return
        if self._workshop is None:
            raise BadCommand("the first command is open")
        match what:
            case "seal":
                self._workshop.seal(_number(command, "units"))
            case "prove":
                epoch, challenge = _number(command, "epoch"), _octets(command, "challenge")
                order = Order(Epoch(epoch), Digest(challenge), _number(command, "units"))
                self._workshop.prove(order)
            case "respond":
                beacon = Digest(_octets(command, "beacon"))
                self._workshop.respond(Epoch(_number(command, "epoch")), beacon)
            case "abandon":
                self._workshop.abandon()
            case _:
                raise BadCommand(f"unknown command {what!r:.40}")

    def work(self) -> None:
        """Do a piece of what is to be done."""
        assert self._workshop is not None, "an idle worker is not told to work"
        self._workshop.work()


def serve(lines: TextIO, out: TextIO, make: MakeWorkshop = open_workshop) -> None:
    """Obey the commands of ``lines`` for ever; their end ends the process."""
    commands: SimpleQueue[str] = SimpleQueue()

    def listen() -> None:
        for line in lines:
            commands.put(line)
        os._exit(0)

    def tell(told: dict[str, str | int]) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(tell, make)
    while True:
        while worker.is_idle or not commands.empty():
            _obey(worker, commands.get(), tell)
        worker.work()


def main(make: MakeWorkshop = open_workshop) -> None:
    """Serve the process that started this one, over its standard streams."""
    # Ctrl-C reaches everybody at the terminal; the owner decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    # Libraries print; what they print must not stand between our lines.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        serve(sys.stdin, out, make)
    except BrokenPipeError:
        os._exit(0)


def _obey(worker: Worker, line: str, tell: Tell) -> None:
    try:
        command = json.loads(line)
        if not isinstance(command, dict):
            raise BadCommand("a command is an object")
        worker.obey(command)
    except ValueError as error:
        tell({"event": "failed", "what": "command", "reason": "BadCommand", "message": str(error)})
    except ConfigError as error:
        told: dict[str, str | int] = {"event": "failed", "what": "command"}
        tell({**told, "reason": error.reason, "message": str(error)})


def _text(command: Command, name: str) -> str:
    value = command.get(name)
    if not isinstance(value, str):
        raise BadCommand(f"{name} is a text")
    return value


def _number(command: Command, name: str) -> int:
    value = command.get(name)
    if type(value) is not int or value < 0:
        raise BadCommand(f"{name} is a number")
    return value


def _octets(command: Command, name: str) -> bytes:
    try:
        value = bytes.fromhex(_text(command, name))
    except ValueError:
        raise BadCommand(f"{name} is hexadecimal") from None
    if len(value) != 32:
        raise BadCommand(f"{name} has 32 bytes")
    return value


if __name__ == "__main__":
    main()
