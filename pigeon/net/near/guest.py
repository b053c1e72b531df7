"""A program's connection to the proxy's port until it is known where it wants to go."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pigeon.net.loop import IN, Loop
from pigeon.net.near.http import Http
from pigeon.net.near.socks import Socks4, Socks5
from pigeon.net.near.wish import Greeter, Wish
from pigeon.net.plug import close, dismiss

GREETING_S = 120.0
"""Who has not said by then what he wants has forgotten the connection; afterwards nothing has a limit."""


class Guest:
    """Reads the greeting; `wishes(wish, socket)` takes the socket over. `status()` answers who is connected where."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        wishes: Callable[[Wish, socket.socket], None],
        *,
        password: str | None,
        status: Callable[[], bytes] | None = None,
    ) -> None:
        self._loop, self._sock, self._wishes = loop, sock, wishes
        self._password, self._status = password, status
        self._greeter: Greeter | None = None
        self._limit = loop.after(GREETING_S, lambda: self._leave(broken=True))
        loop.watch(sock.fileno(), IN, self._ready)

    def _ready(self, _events: int) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave(broken=False)
            return
        if self._greeter is None:
            self._greeter = self._greeter_for(data[0])
        greeter = self._greeter
        greeter.feed(data)
        reply = greeter.reply
        if greeter.asks_status and self._status is not None:
            reply = self._status()
        if greeter.is_over:
            self._release()
            dismiss(self._loop, self._sock, reply)
            return
        try:
            if reply:
                self._sock.send(reply)
        except OSError:
            self._leave(broken=True)
            return
        if greeter.wish is not None:
            self._release()
            self._wishes(greeter.wish, self._sock)

    def _greeter_for(self, first: int) -> Greeter:
        if first == 5:
            return Socks5(self._password)
        if first == 4:
            return Socks4(self._password)
        return Http(self._password, tells_status=self._status is not None)

    def _release(self) -> None:
        self._limit.cancel()
        self._loop.forget(self._sock.fileno())

    def _leave(self, *, broken: bool) -> None:
        self._release()
        close(self._sock, broken=broken)
