"""A server of prepared bytes: what a broken or hostile node might answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[socket.socket], None]
TIMEOUT = 20.0


@contextmanager
def serving(handler: Handler, connections: int = 1) -> Iterator[str]:
    """Give each of so many connections to ``handler``, one after the other; give the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(TIMEOUT)

    def run() -> None:
        for _ in range(connections):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(TIMEOUT)
                handler(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(TIMEOUT)


def read_request(connection: socket.socket) -> bytes:
    """Return the body of one HTTP request, or its head if it has no body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += _received(connection)
            return body
    return head


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionAbortedError("the client hung up")
    return data


def answering(body: bytes, status: bytes = b"200 OK") -> Handler:
    """Return a handler that answers one request with ``body``."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        connection.sendall(head + body)

    return handle
