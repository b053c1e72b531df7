"""A listening socket on the loop. Who may connect is settled before a byte is read."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from pigeon.net.loop import IN, Loop
from pigeon.net.owner import is_ours
from pigeon.net.plug import close, prepare
from pigeon.net.policy import GROUPS, is_in, parse_address

ACCEPTS = 64
"""In one go; then the others have their turn."""

PAUSE_S = 0.1
"""Without a descriptor left the one who waits is reported for ever."""

_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


def is_loopback(host: str) -> bool:
    """Whether only this host's processes can come in there."""
    address = parse_address(host)
    return host == "localhost" or (
        address is not None and is_in(address, GROUPS["loopback"]) and not address.is_unspecified
    )


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=1024)
    sock.setblocking(False)
    prepare(sock)
    return sock


def listen_unix(path: str) -> socket.socket:
    """A Unix socket that listens, for this user alone; one that a dead process has left is replaced. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or _is_alive(path):
                raise
            os.unlink(path)
            sock.bind(path)
        os.chmod(path, 0o600)
        sock.listen(1024)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED


class Listener:
    """Accepts; `arrived` gets the socket and the port of the peer, which may have gone again.

    `open_to_all`: whoever can reach it may come in; else only this user, and others are reset.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        arrived: Callable[[socket.socket, int], None],
        *,
        open_to_all: bool = False,
    ) -> None:
        self.sock = sock
        self.turned_away = 0
        self._loop = loop
        self._arrived = arrived
        self._open_to_all = open_to_all
        loop.watch(sock.fileno(), IN, self._ready)

    @property
    def port(self) -> int:
        """On which it listens."""
        return int(self.sock.getsockname()[1])

    def _ready(self, _events: int) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._loop.change(self.sock.fileno(), 0)
                    self._loop.after(PAUSE_S, self._resume)
                    return
                continue  # it has gone again
            if not self._open_to_all and not is_ours(sock):
                self.turned_away += 1
                close(sock, broken=True)
                continue
            sock.setblocking(False)
            self._arrived(sock, address[1] if isinstance(address, tuple) else 0)

    def _resume(self) -> None:
        if self._loop.watches(self.sock.fileno()):
            self._loop.change(self.sock.fileno(), IN)

    def close(self) -> None:
        """Nobody can connect any more."""
        self._loop.forget(self.sock.fileno())
        self.sock.close()
