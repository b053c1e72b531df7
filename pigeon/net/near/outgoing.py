"""A connection that somebody here has asked for, from its wish to its end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from pigeon import clock
from pigeon.net import frames
from pigeon.net.loop import ERR, HUP, Loop
from pigeon.net.mux import Mux
from pigeon.net.near.wish import Wish
from pigeon.net.plug import Plug, close, dismiss


class Answered(Protocol):
    """Told once what became of a wish."""

    def __call__(self, code: int, text: str, /) -> None:
        """`code` is frames.OK, or why not; `text` where it leads, or why not in words."""


class Outgoing(Plug):
    """`sock` is the program's connection; None where it comes later (`attach`), after `answered`."""

    def __init__(
        self,
        loop: Loop,
        wish: Wish,
        sock: socket.socket | None,
        over: Callable[[Outgoing], None],
        *,
        by: int = frames.BY_PROGRAM,
        answered: Answered | None = None,
    ) -> None:
        super().__init__(loop, None, lambda _: over(self))  # type: ignore[arg-type]  # known once there is a session
        self.wish = wish
        self.by = by
        self.since = clock.monotonic()
        self.leads_to: str | None = None
        self._program = sock
        self._answered = answered
        self.is_answered = False
        if sock is not None:
            loop.watch(sock.fileno(), 0, self._left)

    def go(self, mux: Mux) -> None:
        """There is a session: ask for the connection, and let what the program has sent already go along."""
        self.mux = mux
        self.channel = mux.open(self.by, self.wish.host, self.wish.port, self)
        self.send_first(self.wish.first)

    @property
    def has_begun(self) -> bool:
        """It has a channel."""
        return self.mux is not None

    def _left(self, events: int) -> None:
        """The program has gone before there was an answer."""
        if events & (ERR | HUP):
            self.give_up()

    def opened(self, text: str) -> None:
        """See mux.Owner."""
        self.leads_to = text
        self.is_answered = True
        if self._answered is not None:
            self._answered(frames.OK, text)
        if self._program is not None:
            sock, self._program = self._program, None
            self.loop.forget(sock.fileno())
            if self.wish.yes:
                _say(sock, self.wish.yes)
            self.attach(sock)

    def refused(self, code: int, text: str) -> None:
        """See mux.Owner. Also called where no session came."""
        self.is_answered = True
        if self._answered is not None:
            self._answered(code, text)
        words = self.wish.no(code, text)
        if self._program is not None and words:
            sock, self._program = self._program, None
            self.loop.forget(sock.fileno())
            dismiss(self.loop, sock, words)
        self._close(broken=True)

    def give_up(self) -> None:
        """Nobody wants it any more."""
        if self.has_begun:
            self.break_off()
        else:
            self._close(broken=True)

    def _close(self, *, broken: bool) -> None:
        if not self.is_answered:
            self.is_answered = True
            if self._answered is not None:
                self._answered(frames.FAILED, "the session with the worker was lost")
        if self._program is not None:
            self.loop.forget(self._program.fileno())
            close(self._program, broken=broken)
            self._program = None
        super()._close(broken=broken)


def _say(sock: socket.socket, words: bytes) -> None:
    try:
        sock.send(words)  # a few hundred bytes, the first on this connection: they fit
    except OSError:
        pass  # it has gone, which the next look tells
