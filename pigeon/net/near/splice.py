"""stdin and stdout joined with a socket, as a ProxyCommand of ssh is: each way ends by itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from pigeon.net.loop import IN, OUT, Loop

PIECE_BYTES = 64 * 1024


class _Way:
    """Bytes one way, one piece at a time. Ordinary files cannot be waited for (epoll_ctl(2)), and never need to be."""

    def __init__(
        self,
        loop: Loop,
        reading: int,
        writing: int,
        *,
        ended: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._loop, self._reading, self._writing = loop, reading, writing
        self._ended, self._failed = ended, failed
        self._piece = b""
        self._wait(self._reading, IN)

    def _wait(self, fd: int, mask: int) -> None:
        try:
            self._loop.watch(fd, mask, self._ready)
        except PermissionError:
            self._loop.soon(lambda: self._ready(mask))

    def _ready(self, _events: int) -> None:
        fd = self._writing if self._piece else self._reading
        self._loop.forget(fd)
        try:
            if self._piece:
                self._piece = self._piece[os.write(self._writing, self._piece) :]
            else:
                self._piece = os.read(self._reading, PIECE_BYTES)
                if not self._piece:
                    self._ended()
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._failed()
            return
        if self._piece:
            self._wait(self._writing, OUT)
        else:
            self._wait(self._reading, IN)


def splice(loop: Loop, sock: socket.socket, over: Callable[[bool], None]) -> None:
    """Until the socket has ended: `over(True)`; `over(False)` if it broke, or nobody reads stdout any more."""
    sock.setblocking(False)
    up, down = os.dup(sock.fileno()), os.dup(sock.fileno())  # epoll knows a descriptor once

    def stdin_ended() -> None:
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            over(False)

    _Way(loop, 0, up, ended=stdin_ended, failed=lambda: over(False))
    _Way(loop, down, 1, ended=lambda: over(True), failed=lambda: over(False))
