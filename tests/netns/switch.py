"""A switch between network namespaces that delays, loses and partitions, in user space.

It forwards Ethernet frames between the host ends of veth pairs through raw sockets, so it needs
root but no traffic-control modules of the kernel. Offloads are switched off on every interface:
a frame that is read here and written there must carry its own checksums and its final size.
"""

import ctypes
import fcntl
import heapq
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from select import select

FRAME_BYTES_MAX = 65_535
ETHERNET_ANY = 0x0003
SIOCETHTOOL = 0x8946
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
"""Setting commands: receive and transmit checksums, scatter-gather, TSO, GSO, GRO."""
LOOK_SECONDS = 0.002


@dataclass(slots=True)
class Weather:
    """What the switch does to frames between two different ports."""

    delay: float = 0.0
    """Seconds, at least."""
    jitter: float = 0.0
    """Seconds on top, at most."""
    loss: float = 0.0
    """Share of frames that vanish."""


class Switch:
    """Forwards frames between interfaces in a thread of its own."""

    def __init__(self, interfaces: Sequence[str], seed: int) -> None:
        self.weather = Weather()
        self.dropped = 0
        self.forwarded = 0
        self._random = Random(seed)
        self._group = dict.fromkeys(range(len(interfaces)), 0)
        self._calm: set[int] = set()
        self._sockets = [_raw_socket(name) for name in interfaces]
        self._places: dict[bytes, int] = {}
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def stop(self) -> None:
        """Stop forwarding and close the sockets."""
        self._stopped.set()
        self._thread.join()
        for each in self._sockets:
            each.close()

    def spare(self, port: int) -> None:
        """Let frames from and to a port pass whatever the weather: it belongs to the observer."""
        self._calm.add(port)

    def partition(self, *groups: Sequence[int]) -> None:
        """Let frames pass only within a group; ports in no group stay as they are."""
        for number, group in enumerate(groups):
            for port in group:
                self._group[port] = number

    def heal(self) -> None:
        """Let all ports reach each other again."""
        self._group = dict.fromkeys(self._group, 0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            ready, _, _ = select(self._sockets, [], [], LOOK_SECONDS)
            for source in ready:
                port = self._sockets.index(source)
                try:
                    frame, address = source.recvfrom(FRAME_BYTES_MAX)
                except OSError:
                    continue
                if address[2] != socket.PACKET_OUTGOING:
                    self._take(port, frame)
            self._deliver(time.monotonic())

    def _take(self, port: int, frame: bytes) -> None:
        destination, origin = frame[:6], frame[6:12]
        self._places[origin] = port
        known = self._places.get(destination)
        targets = range(len(self._sockets)) if known is None else [known]
        for target in targets:
            if target != port:
                self._schedule(port, target, frame)

    def _schedule(self, port: int, target: int, frame: bytes) -> None:
        delay = 0.0
        if not {port, target} & self._calm:
            is_cut = self._group[port] != self._group[target]
            if is_cut or self._random.random() < self.weather.loss:
                self.dropped += 1
                return
            delay = self.weather.delay + self._random.random() * self.weather.jitter
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + delay, self._count, target, frame))

    def _deliver(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, frame = heapq.heappop(self._waiting)
            try:
                self._sockets[target].send(frame)
                self.forwarded += 1
            except OSError:
                self.dropped += 1


def switch_offloads_off(interface: str) -> None:
    """Make an interface of this namespace send plain frames with checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            memory = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(memory))
            # An interface that does not know an offload does not do it either.
            with suppress(OSError):
                fcntl.ioctl(control, SIOCETHTOOL, request)


def _raw_socket(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_ANY))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    raw.bind((interface, 0))
    return raw
