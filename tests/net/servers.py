"""Small servers for tests, each with one manner that a network lent by pigeon must pass on exactly."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from tests.helpers.waiting import patient

Manner = Callable[[socket.socket], None]


def read_all(sock: socket.socket) -> bytes:
    """Until its end. Raises ConnectionResetError."""
    data = b""
    while piece := sock.recv(1 << 20):
        data += piece
    return data


def reset(sock: socket.socket) -> None:
    """Close it so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def echo(sock: socket.socket) -> None:
    """Everything back, and its end after the peer's."""
    with sock:
        while piece := sock.recv(65536):
            sock.sendall(piece)


def digest(sock: socket.socket) -> None:
    """Reads to the end of what it is sent, then answers with its checksum: needs a half-close."""
    with sock:
        sock.sendall(hashlib.sha256(read_all(sock)).hexdigest().encode())


def says_and_resets(sock: socket.socket) -> None:
    """An answer, then a reset, with what it was sent unread."""
    sock.sendall(b"413")
    sock.recv(1)
    reset(sock)


def empty_page(sock: socket.socket) -> None:
    """An HTTP server with nothing to show."""
    with sock:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")


def ends_first(sock: socket.socket) -> None:
    """Ends its own side at once, and goes on reading."""
    with sock:
        sock.shutdown(socket.SHUT_WR)
        read_all(sock)


def never_reads(sock: socket.socket) -> None:
    """Keeps it open until the test is over."""
    KEPT.append(sock)


KEPT: list[socket.socket] = []


class Server:
    """Accepts in a thread; each connection has the manner in one of its own. `broken` counts those that were reset."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self.sock.getsockname()[1])
        self.accepted = 0
        self.broken = 0
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, does: Callable[..., None], *what: socket.socket) -> None:
        self._threads.append(threading.Thread(target=does, args=what, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                self.accepted += 1
                self._connections.append(sock)
                self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            self.manner(sock)
        except (ConnectionResetError, BrokenPipeError):
            self.broken += 1
            sock.close()
        except OSError:
            sock.close()

    def close(self) -> None:
        """End everything; no thread is left, which would wake up in another test."""
        for sock in (self.sock, *self._connections):
            with contextlib.suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)  # wakes who waits for it, as closing does not
        for thread in list(self._threads):
            thread.join(patient(10))
            assert not thread.is_alive(), f"{thread} goes on"
        self.sock.close()


@contextlib.contextmanager
def served(manner: Manner) -> Iterator[Server]:
    """A server for the length of a test."""
    server = Server(manner)
    try:
        yield server
    finally:
        server.close()
        while KEPT:
            KEPT.pop().close()
