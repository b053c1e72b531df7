"""Connecting to a name: its addresses in turn, a quarter of a second apart, families alternating (RFC 8305, 5)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence

from pigeon.net import frames
from pigeon.net.loop import OUT, Loop, Timer
from pigeon.net.plug import prepare
from pigeon.net.resolve import Found

ATTEMPT_S = 0.25
CONNECT_S = 60.0
"""As long as a patient program waits; the kernel itself would try for two minutes."""

CODES = {
    errno.ECONNREFUSED: frames.CONNECTION_REFUSED,
    errno.EHOSTUNREACH: frames.HOST_UNREACHABLE,
    errno.ENETUNREACH: frames.NET_UNREACHABLE,
    errno.EADDRNOTAVAIL: frames.NET_UNREACHABLE,  # no address of that family here
    errno.EAFNOSUPPORT: frames.NET_UNREACHABLE,
    errno.ETIMEDOUT: frames.TIMED_OUT,
    errno.EACCES: frames.NOT_ALLOWED,
    errno.EPERM: frames.NOT_ALLOWED,
}

ERRNOS = {
    frames.FAILED: errno.ECONNABORTED,
    frames.NOT_ALLOWED: errno.EACCES,
    frames.NET_UNREACHABLE: errno.ENETUNREACH,
    frames.HOST_UNREACHABLE: errno.EHOSTUNREACH,
    frames.CONNECTION_REFUSED: errno.ECONNREFUSED,
    frames.TIMED_OUT: errno.ETIMEDOUT,
}
"""What a program that called connect(2) is told."""

Done = Callable[[socket.socket | None, int, str], None]


def interleaved(found: Sequence[Found]) -> list[Found]:
    """The addresses so that families alternate, beginning with the preferred one."""
    first = [one for one in found if one.family == found[0].family] if found else []
    second = [one for one in found if one.family != found[0].family] if found else []
    mixed: list[Found] = []
    while first or second:
        if first:
            mixed.append(first.pop(0))
        first, second = second, first
    return mixed


class Dial:
    """One attempt at a list of addresses. `done(socket, 0, "")` or `done(None, code, why)`, once, unless cancelled."""

    def __init__(self, loop: Loop, found: Sequence[Found], done: Done) -> None:
        self._loop = loop
        self._left = interleaved(found)
        self._count = len(self._left)
        self._open: dict[int, socket.socket] = {}
        self._done: Done | None = done
        self._failure = frames.FAILED, "no address"
        self._limit = loop.after(CONNECT_S, self._too_long)
        self._pause: Timer | None = None
        self._next()

    def _next(self) -> None:
        while self._done is not None:
            if not self._left:
                if not self._open:
                    self._finish(None, *self._failure)
                return
            one = self._left.pop(0)
            try:
                sock = socket.socket(one.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                self._failed(one.address, error.errno or 0)
                continue
            prepare(sock)
            number = sock.connect_ex(one.sockaddr)
            if number not in (0, errno.EINPROGRESS):
                sock.close()
                self._failed(one.address, number)
                continue
            self._open[sock.fileno()] = sock
            self._loop.watch(sock.fileno(), OUT, lambda _, s=sock, a=one.address: self._ready(s, a))  # type: ignore[misc]  # defaults bind now
            if self._left:
                self._pause = self._loop.after(ATTEMPT_S, self._next)
            return

    def _failed(self, address: str, number: int) -> None:
        self._failure = CODES.get(number, frames.FAILED), f"{address}: {os.strerror(number)}"

    def _ready(self, sock: socket.socket, address: str) -> None:
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._loop.forget(sock.fileno())
        del self._open[sock.fileno()]
        if not number:
            self._finish(sock, frames.OK, "")
            return
        sock.close()
        self._failed(address, number)
        if self._pause is not None:
            self._pause.cancel()
        self._next()

    def _too_long(self) -> None:
        self._finish(None, frames.TIMED_OUT, f"no answer within {CONNECT_S:.0f} s")

    def _finish(self, sock: socket.socket | None, code: int, why: str) -> None:
        done = self._done
        self.cancel()
        if done is not None:
            done(sock, code, why)
        elif sock is not None:
            sock.close()

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._done = None
        self._limit.cancel()
        if self._pause is not None:
            self._pause.cancel()
        for sock in self._open.values():
            self._loop.forget(sock.fileno())
            sock.close()
        self._open.clear()
