"""The network over there: one session that carries all connections, the next one when that is lost, full or to end.

Connections that are wanted while there is none wait for `patience_s`. What was open on a session that is lost is reset;
on one that is to end it goes on there, while new ones go to the next.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from pigeon.net import frames
from pigeon.net.dial import Dial
from pigeon.net.loop import Loop, Timer
from pigeon.net.near.forwards import Forward
from pigeon.net.near.outgoing import Outgoing
from pigeon.net.plug import Plug
from pigeon.net.resolve import Found, Resolver
from pigeon.net.stream import Stream

CARRIED_BYTES = 1024 * 1024 * 1024
"""What a session has carried lies on the share until it ends: new connections then go to a new one."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two attempts at a session, doubling; the first one follows at once."""

BIND_AGAIN_S = 0.2
BIND_S = 10.0
"""A port over there may still be held by the session before this one."""

ANSWER_S = 4.0
"""A name that is not answered so soon counts as known: a resolver asks again after 5 s (resolv.conf(5)), in vain."""


class Lane(Protocol):
    """A byte pipe to the far side (near/lane.py is one)."""

    reading: int
    writing: int
    last_words: str

    def close(self, *, has_begun: bool) -> None:
        """The stream has ended; `has_begun`: the far side had spoken."""

    def drain_words(self) -> None:
        """Read what is still to be read of what it says."""


class _Session:
    """One session, from its start to its end."""

    def __init__(self, network: Network, lane: Lane) -> None:
        self.lane = lane
        self.is_ready = False
        self.is_leaving = False
        self.pigeon = ""
        self.stream = Stream(
            network.loop,
            lane.reading,
            lane.writing,
            is_client=True,
            on_frame=lambda kind, number, payload: network.frame(self, kind, number, payload),
            on_hello=lambda pigeon: network.ready(self, pigeon),
            on_end=lambda why: network.lost(self, why),
        )

    @property
    def carried_bytes(self) -> int:
        """Over the stream so far, both ways."""
        return self.stream.received_bytes + self.stream.sent_bytes


class Network:
    """`start` makes a lane; `say` tells the user something; `forwards` are those with `-R`."""

    def __init__(
        self,
        loop: Loop,
        start: Callable[[], Lane],
        *,
        patience_s: float,
        say: Callable[[str], None],
        forwards: tuple[Forward, ...] = (),
    ) -> None:
        self.loop = loop
        self.trouble = "no worker has answered yet"
        self._start = start
        self._patience_s = patience_s
        self._say = say
        self._forwards = forwards
        self._bound_ports: dict[int, int] = {}
        self._bind_left_s: dict[int, float] = {}
        self._resolver = Resolver(loop)
        self._current: _Session | None = None
        self._coming: _Session | None = None
        self._leaving: list[_Session] = []
        self._waiting: dict[Outgoing, Timer] = {}
        self._names: dict[int, Callable[[bool], None]] = {}
        self._unasked: dict[int, str] = {}
        """Names for the next session, of those in `_names`."""
        self._next_name = 1
        self._pause_s = 0.0
        self._is_closed = False
        self._call_next()

    # Sessions

    def _call_next(self) -> None:
        if self._coming is not None or self._is_closed:
            return
        try:
            self._coming = _Session(self, self._start())
        except OSError as error:
            self.trouble = f"no process for the session: {error.strerror}"
            self._call_later()

    def _call_later(self) -> None:
        self.loop.after(self._pause_s, self._call_next)
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._pause_s * 2))

    def ready(self, session: _Session, pigeon: str) -> None:
        """The far side speaks: from now on connections go there."""
        session.is_ready, session.pigeon = True, pigeon
        self._coming, self._pause_s = None, 0.0
        before, self._current = self._current, session
        if before is not None:
            self._retire(before)
        for number, forward in enumerate(self._forwards):
            self._bind_left_s[number] = BIND_S
            self._bind(session, number, forward)
        unasked, self._unasked = self._unasked, {}
        for number, name in unasked.items():
            session.stream.mux.control(frames.RESOLVE, number, name.encode("utf-8", "replace"))
        waiting, self._waiting = self._waiting, {}
        for plug, timer in waiting.items():
            timer.cancel()
            plug.go(session.stream.mux)

    def _retire(self, session: _Session) -> None:
        """No new connections there; it ends with its last one."""
        session.is_leaving = True
        if session is self._current:
            self._current = None
        self._leaving.append(session)
        session.stream.mux.control(frames.GOAWAY, 0, b"another session has taken over")
        self._end_if_idle(session)

    def _end_if_idle(self, session: _Session) -> None:
        if session.is_leaving and not session.stream.mux.channels:
            if session.stream.mux.has_output:
                self.loop.after(0.1, lambda: self._end_if_idle(session))
            else:
                session.stream.end("")

    def lost(self, session: _Session, why: str) -> None:
        """Its stream has ended; what was open on it has been reset."""
        session.lane.drain_words()
        session.lane.close(has_begun=session.is_ready)
        if session in self._leaving:
            self._leaving.remove(session)
            return
        if not session.is_ready:
            self.trouble = (
                session.lane.last_words
                or why
                or (
                    "the worker's pigeon does not lend its network; it may be too old, or `net = false` is set there"
                )
            )
        elif not self._is_closed:
            self.trouble = session.lane.last_words or why or "the worker's side has ended"
            self._say(f"the session with the worker was lost ({self.trouble}); its connections were reset")
        if session is self._coming:
            self._coming = None
        elif session is self._current:
            self._current = None
        if not self._is_closed:
            self._call_later()

    def close(self) -> None:
        """End all sessions, and start none."""
        self._is_closed = True
        for session in filter(None, (self._current, self._coming, *self._leaving)):
            session.stream.end("")

    @property
    def has_session(self) -> bool:
        """Connections can be made now."""
        return self._current is not None

    @property
    def sessions(self) -> list[dict[str, object]]:
        """For people: those that there are."""
        return [
            {
                "state": "leaving" if s.is_leaving else "ready" if s.is_ready else "starting",
                "pigeon": s.pigeon,
                "connections": len(s.stream.mux.channels),
                "bytes": s.carried_bytes,
                "delay_s": round(s.stream.mux.round_trip_s, 4),
            }
            for s in filter(None, (self._current, self._coming, *self._leaving))
        ]

    # Connections

    def connect(self, plug: Outgoing) -> None:
        """Ask for it now, or as soon as there is a session."""
        current = self._current
        if current is None:
            self._waiting[plug] = self.loop.after(self._patience_s, lambda: self._refuse(plug))
            return
        if current.carried_bytes > CARRIED_BYTES:
            self._call_next()
        plug.go(current.stream.mux)

    def _refuse(self, plug: Outgoing) -> None:
        del self._waiting[plug]
        plug.refused(frames.TIMED_OUT, f"no session with a worker: {self.trouble}")

    def over(self, plug: Outgoing) -> None:
        """The connection has ended, or is not wanted any more."""
        timer = self._waiting.pop(plug, None)
        if timer is not None:
            timer.cancel()
        for session in self._leaving[:]:
            self._end_if_idle(session)

    # Names

    def knows(self, name: str, answered: Callable[[bool], None]) -> None:
        """Whether the worker can resolve `name`; True where it does not say so in time, since connecting will tell."""
        number, self._next_name = self._next_name, self._next_name % 0xFFFFFFFF + 1

        def late() -> None:
            self._unasked.pop(number, None)
            if self._names.pop(number, None) is not None:
                answered(True)

        timer = self.loop.after(ANSWER_S, late)

        def heard(known: bool) -> None:
            timer.cancel()
            answered(known)

        self._names[number] = heard
        if self._current is None:
            self._unasked[number] = name
        else:
            self._current.stream.mux.control(frames.RESOLVE, number, name.encode("utf-8", "replace"))

    # Frames of no channel

    def frame(self, session: _Session, kind: int, number: int, payload: bytes) -> None:
        """What the far side says of itself."""
        if kind == frames.GOAWAY:
            if session is self._current:
                self.trouble = payload.decode("utf-8", "replace") or "the worker is stopping"
                self._retire(session)
                self._call_next()
        elif kind == frames.RESOLVED:
            heard = self._names.pop(number, None)
            if heard is not None:
                heard(frames.parse_answer(payload)[0] == frames.OK)
        elif kind == frames.BOUND:
            self._bound(session, number, *frames.parse_answer(payload))
        elif kind == frames.OPEN:
            self._arrived(session, number, *frames.parse_target(payload))

    # -R

    def _bind(self, session: _Session, number: int, forward: Forward) -> None:
        if session is not self._current:
            return
        port = self._bound_ports.get(number, forward.port)
        session.stream.mux.control(frames.BIND, number, frames.target(frames.BY_USER, forward.bind, port))

    def _bound(self, session: _Session, number: int, code: int, text: str) -> None:
        if not 0 <= number < len(self._forwards):
            raise frames.BadFrame("a listener that nobody wanted")
        forward = self._forwards[number]
        if code == frames.OK:
            if not text.isdecimal():
                raise frames.BadFrame("a listener without a port")
            if number not in self._bound_ports:
                self._bound_ports[number] = int(text)
                if not forward.port:
                    self._say(f"`{forward}` listens on port {text} of the worker's host")
        elif number in self._bound_ports and self._bind_left_s[number] > 0:
            self._bind_left_s[number] -= BIND_AGAIN_S
            self.loop.after(BIND_AGAIN_S, lambda: self._bind(session, number, forward))
        else:
            self._say(f"`{forward}`: {text}")

    def _arrived(self, session: _Session, number: int, by: int, host: str, _port: int) -> None:
        mux = session.stream.mux
        if by != frames.BY_ARRIVAL or number % 2 or number in mux.channels:
            raise frames.BadFrame("an arrival that is none")
        forward = self._forwards[int(host)] if host.isdecimal() and int(host) < len(self._forwards) else None
        plug = Arrival(self.loop, session, self._end_if_idle)
        plug.channel = mux.accept(number, plug)
        if forward is None:
            plug.fail(frames.FAILED, "no such listener")
            return
        plug.begin(self._resolver, forward.host, forward.to)


class Arrival(Plug):
    """Somebody has connected to a listener over there (`-R`): connected to what it stands for here."""

    def __init__(self, loop: Loop, session: _Session, idle: Callable[[_Session], None]) -> None:
        def over(_: Plug) -> None:
            if self._dial is not None:
                self._dial.cancel()
            idle(session)

        super().__init__(loop, session.stream.mux, over)
        self._dial: Dial | None = None

    def begin(self, resolver: Resolver, host: str, port: int) -> None:
        """Once the channel is known."""
        resolver.ask(host, port, self._resolved)

    def _resolved(self, found: list[Found], why: str) -> None:
        if self.channel.is_closed:
            return
        if not found:
            self.fail(frames.HOST_UNREACHABLE, why)
            return
        self._dial = Dial(self.loop, found, self._dialled)

    def _dialled(self, sock: socket.socket | None, code: int, why: str) -> None:
        if sock is None:
            self.fail(code, why)
            return
        self.mux.confirm(self.channel, "")
        self.attach(sock)

    def fail(self, code: int, text: str) -> None:
        """Nobody is there."""
        self.mux.refuse(self.channel, code, text)
        self._close(broken=True)
