"""What lends the network on this side: listeners for programs, and the connections that they have asked for."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence

from pigeon import clock
from pigeon.net import frames
from pigeon.net.listener import Listener, is_loopback
from pigeon.net.loop import Loop
from pigeon.net.near.forwards import Forward
from pigeon.net.near.guest import Guest
from pigeon.net.near.http import response
from pigeon.net.near.network import Lane, Network
from pigeon.net.near.outgoing import Answered, Outgoing
from pigeon.net.near.wish import Wish


class Front:
    """`title`: what it serves, for people. `password`: of the port, where the kernel cannot tell who comes."""

    def __init__(
        self,
        loop: Loop,
        start: Callable[[], Lane],
        *,
        title: str,
        patience_s: float,
        say: Callable[[str], None],
        password: str | None = None,
        remote: Sequence[Forward] = (),
    ) -> None:
        self.loop = loop
        self.network = Network(loop, start, patience_s=patience_s, say=say, forwards=tuple(remote))
        self.outgoing: set[Outgoing] = set()
        self._title = title
        self._password = password
        self._born = clock.monotonic()
        self._listeners: list[Listener] = []
        self._paths: list[str] = []
        self._totals = {"connections": 0, "sent": 0, "received": 0}

    # Listening

    def serve(self, sock: socket.socket, *, to_all: bool = False) -> Listener:
        """Speak HTTP and SOCKS on a listening socket. `to_all`: other hosts may use it."""
        is_unix = sock.family == socket.AF_UNIX
        password = None if is_unix else self._password
        if is_unix:
            self._paths.append(str(sock.getsockname()))

        def arrived(came: socket.socket, _port: int) -> None:
            Guest(
                self.loop,
                came,
                self._wanted,
                password=password,
                status=self._status if is_unix else None,
            )

        return self._listen(sock, arrived, to_all=to_all)

    def forward(self, sock: socket.socket, forward: Forward) -> Listener:
        """`-L`: whoever connects to the listening socket is connected with `forward.host`."""

        def arrived(came: socket.socket, _port: int) -> None:
            wish = Wish(forward.host, forward.to, "-L", b"", lambda *_: b"")
            self.connect(wish, came, by=frames.BY_USER)

        return self._listen(sock, arrived, to_all=not is_loopback(forward.bind))

    def _listen(
        self, sock: socket.socket, arrived: Callable[[socket.socket, int], None], *, to_all: bool
    ) -> Listener:
        listener = Listener(self.loop, sock, arrived, open_to_all=to_all)
        self._listeners.append(listener)
        return listener

    def close(self) -> None:
        """Stop listening, and end the sessions."""
        for listener in self._listeners:
            listener.close()
        for path in self._paths:
            try:
                os.unlink(path)
            except OSError:
                pass
        self.network.close()

    # Connections

    def connect(
        self,
        wish: Wish,
        program: socket.socket | None,
        *,
        by: int = frames.BY_PROGRAM,
        answered: Answered | None = None,
    ) -> Outgoing:
        """Ask for a connection; see Outgoing."""
        plug = Outgoing(self.loop, wish, program, self._over, by=by, answered=answered)
        self.outgoing.add(plug)
        self.network.connect(plug)
        return plug

    def _wanted(self, wish: Wish, program: socket.socket) -> None:
        self.connect(wish, program)

    def _over(self, plug: Outgoing) -> None:
        self.outgoing.discard(plug)
        self._totals["connections"] += 1
        if plug.has_begun:
            self._totals["sent"] += plug.channel.sent
            self._totals["received"] += plug.channel.got
        self.network.over(plug)

    # Who is connected where

    def describe(self) -> dict[str, object]:
        """For `pigeon net --status`. Ages in seconds, sizes in bytes."""
        now = clock.monotonic()
        return {
            "title": self._title,
            "pid": os.getpid(),
            "age_s": round(now - self._born, 1),
            "ports": [one.port for one in self._listeners if one.sock.family != socket.AF_UNIX],
            "turned_away": sum(one.turned_away for one in self._listeners),
            "trouble": "" if self.network.has_session else self.network.trouble,
            "sessions": self.network.sessions,
            "ended": self._totals,
            "open": [
                {
                    "host": one.wish.host,
                    "port": one.wish.port,
                    "how": one.wish.how,
                    "age_s": round(now - one.since, 1),
                    "leads_to": one.leads_to,
                    "sent": one.channel.sent if one.has_begun else 0,
                    "received": one.channel.got if one.has_begun else 0,
                }
                for one in sorted(self.outgoing, key=lambda one: one.since)
            ],
        }

    def _status(self) -> bytes:
        return response("200 OK", json.dumps(self.describe()).encode())
