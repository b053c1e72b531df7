"""Answers the questions of the filter: each connect(2) of a command and its children, one at a time, and each sendto(2)
that may ask a name server.

A connection that is lent is made on the caller's own socket, to a port of ours; by its port we know it again. A caller
that waits (a blocking socket) is answered when the other side has answered, with its very error; one that does not wait
is told of success at once, and sees a refusal as a reset.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from pigeon.net import frames
from pigeon.net.catch import kernel
from pigeon.net.catch.decide import (
    DNS_PORT,
    GO_ON,
    LEND,
    NAMES,
    REFUSE,
    Place,
    decide,
    on_link_networks,
    packed,
    parse,
)
from pigeon.net.catch.dns import Inventions
from pigeon.net.catch.elsewhere import Elsewhere
from pigeon.net.catch.kernel import Question
from pigeon.net.catch.machine import Machine
from pigeon.net.catch.name_server import Knows, NameServer, own_servers
from pigeon.net.dial import ERRNOS
from pigeon.net.listener import Listener, listen
from pigeon.net.loop import HUP, IN, Loop
from pigeon.net.near.outgoing import Answered, Outgoing
from pigeon.net.near.wish import Wish
from pigeon.net.plug import close
from pigeon.net.policy import Network, Rule

MAX_ADDRESS_BYTES = 128
ROUTES_S = 10.0
"""So old may be what is known of this host's networks."""

Connect = Callable[[Wish, socket.socket | None, Answered | None], Outgoing]


class _Pending:
    """A blocking caller that waits, and the connection that is being made for it."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.plug: Outgoing | None = None


class Catcher:
    """`listener`: where the questions come from. `connect` asks for a connection over there, `knows` about a name.

    `over`: nobody is left who could ask.
    """

    def __init__(
        self,
        loop: Loop,
        numbers: Machine,
        listener: int,
        *,
        connect: Connect,
        knows: Knows,
        direct: Sequence[Rule],
        over: Callable[[], None],
    ) -> None:
        self._loop, self._numbers, self._listener = loop, numbers, listener
        self._connect, self._direct, self._over = connect, direct, over
        self._inventions = Inventions()
        self._names = NameServer(
            loop, self._inventions, own_servers(_text("/etc/resolv.conf")), knows, self._stays
        )
        self._elsewhere: Elsewhere | None = None
        """From the first question for a name on."""
        self._on_link: list[Network] = []
        self._routes_at: float | None = None
        self._inner: dict[int, Listener] = {}
        self._expected: dict[tuple[int, int], Callable[[socket.socket], None]] = {}
        """(family, port of the caller's socket) -> what to do with our end."""
        self._pending: dict[tuple[int, int, Place], _Pending] = {}
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                self._inner[family] = Listener(loop, listen(host, 0), self._accepted)
            except OSError:
                continue
        loop.watch(listener, IN, self._ready)

    def _ready(self, events: int) -> None:
        if events & IN:
            question = kernel.receive(self._listener, self._numbers)
            if question is not None:
                self._take(question)
        elif events & HUP:
            self._loop.forget(self._listener)
            self._over()

    def _take(self, question: Question) -> None:
        try:
            place = parse(
                kernel.memory_of(question.tid, question.address, min(question.length, MAX_ADDRESS_BYTES))
            )
            if place is None:
                kernel.go_on(self._listener, question)
            elif question.sent is not None:
                self._redirect(question, question.sent, place)
            else:
                self._judge(question, place)
        except (OSError, ValueError):
            # It cannot be looked into (a setuid program, another container), or has gone: it is not ours to stop.
            kernel.go_on(self._listener, question)

    def _judge(self, question: Question, place: Place) -> None:
        if place.family == socket.AF_UNIX:
            verdict = decide(place, 0, (), ())
        elif (
            place.port == DNS_PORT
            or decide(place, socket.SOCK_STREAM, self._networks(), self._direct) == LEND
        ):
            fd = kernel.copy_of(self._numbers, question.tid, question.descriptor)
            with socket.socket(fileno=fd) as sock:
                if not kernel.is_valid(self._listener, question):
                    return
                verdict = decide(place, sock.type & 0xF, self._networks(), self._direct)
                if verdict == NAMES:
                    self._lead_to_names(question, sock, place)
                    return
                if verdict == LEND:
                    self._lend(question, sock, place)
                    return
        else:
            verdict = GO_ON
        if verdict == REFUSE:
            kernel.say(self._listener, question, errno.ECONNREFUSED)
        else:
            kernel.go_on(self._listener, question)

    def _lead_to_names(self, question: Question, sock: socket.socket, place: Place) -> None:
        """The socket becomes one by which our name server answers as the one that was meant, if it can."""
        if self._replaced(question, sock, place):
            kernel.say(self._listener, question, 0)
            return
        ours = self._names.places.get(sock.family)
        if ours is None:
            kernel.go_on(self._listener, question)
        else:
            kernel.say(self._listener, question, sock.connect_ex((ours.host, ours.port)))

    def _replaced(self, question: Question, sock: socket.socket, place: Place) -> bool:
        if sock.family != socket.AF_INET:
            return False
        try:
            if not kernel.may_be_replaced(question.tid, question.descriptor):
                return False
            if self._elsewhere is None:
                self._elsewhere = Elsewhere()
                if self._elsewhere.server is not None:
                    self._names.listen(self._elsewhere.server)
            made = self._elsewhere.new()
            if made is None:
                return False
            with made:
                os.set_blocking(made.fileno(), os.get_blocking(sock.fileno()))
                made.connect((place.host, place.port))
                kernel.replace(self._listener, question, made.fileno())
            return True
        except OSError:
            return False

    def _redirect(self, question: Question, sent: tuple[int, int], place: Place) -> None:
        """A question that is sent without a connect(2), as musl does: to our name server, whose address takes the place
        of the one that the program has put there. There musl looks, too, to know whose answer it has got. Who compares
        with another copy goes on hearing the name server he meant, which is asked, too."""
        names = self._names.places.get(place.family)
        if place.port == DNS_PORT and names is not None:
            data = kernel.memory_of(question.tid, *sent)
            fd = kernel.copy_of(self._numbers, question.tid, question.descriptor)
            with socket.socket(fileno=fd) as sock:
                if not kernel.is_valid(self._listener, question):
                    return
                if decide(place, sock.type & 0xF, (), ()) == NAMES:
                    kernel.overwrite(question.tid, question.address, packed(names))
                    with contextlib.suppress(OSError):  # this host may not reach it
                        sock.sendto(data, socket.MSG_DONTWAIT, (place.host, place.port))
        kernel.go_on(self._listener, question)

    # Connections

    def _lend(self, question: Question, sock: socket.socket, place: Place) -> None:
        wish = Wish(
            self._inventions.name_of(place.host) or place.host, place.port, "connect(2)", b"", lambda *_: b""
        )
        if not os.get_blocking(sock.fileno()):
            kernel.say(self._listener, question, self._join(sock, wish))
            return
        key = question.tid, question.descriptor, place
        pending = self._pending.get(key)
        if pending is not None and not kernel.is_valid(self._listener, pending.question):
            pending.question = question  # a signal has interrupted the call, and it was made again
            return
        pending = self._pending[key] = _Pending(question)

        def answered(code: int, _text: str) -> None:
            self._pending.pop(key, None)
            if code != frames.OK:
                kernel.say(self._listener, pending.question, ERRNOS.get(code, errno.ECONNABORTED))
            elif not self._hand_over(pending):
                self._loop.soon(lambda: pending.plug.give_up() if pending.plug else None)

        pending.plug = self._connect(wish, None, answered)

    def _hand_over(self, pending: _Pending) -> bool:
        """The other side is there: join the caller's socket with the plug. False: the caller has gone."""
        question, plug = pending.question, pending.plug
        if plug is None or not kernel.is_valid(self._listener, question):
            return False
        try:
            fd = kernel.copy_of(self._numbers, question.tid, question.descriptor)
        except OSError:
            return False
        with socket.socket(fileno=fd) as sock:
            number = self._join_with(sock, plug.attach)
        kernel.say(self._listener, question, number)
        return number == 0

    def _join(self, sock: socket.socket, wish: Wish) -> int:
        """Join the caller's socket with a connection that is still to be made. The errno for the caller."""

        def accepted(ours: socket.socket) -> None:
            self._connect(wish, ours, None)

        return self._join_with(sock, accepted)

    def _join_with(self, sock: socket.socket, accepted: Callable[[socket.socket], None]) -> int:
        inner = self._inner.get(sock.family)
        if inner is None:
            return errno.ENETUNREACH
        waits = os.get_blocking(sock.fileno())
        os.set_blocking(sock.fileno(), False)  # should our queue be full: nobody but us empties it
        try:
            number = sock.connect_ex(inner.sock.getsockname()[:2])
        finally:
            os.set_blocking(sock.fileno(), waits)
        if waits and number == errno.EINPROGRESS:
            number = 0
        if number in (0, errno.EINPROGRESS):
            self._expected[sock.family, sock.getsockname()[1]] = accepted
        return number

    def _accepted(self, ours: socket.socket, port: int) -> None:
        wanted = self._expected.pop((ours.family, port), None)
        if wanted is None:
            close(ours, broken=True)  # somebody who has found the port
        else:
            wanted(ours)

    # What this host reaches by itself

    def _networks(self) -> list[Network]:
        if self._routes_at is None:
            self._routes_at = 0.0
            self._on_link = on_link_networks(_text("/proc/net/route"), _text("/proc/net/ipv6_route"))
            self._loop.after(ROUTES_S, self._forget_routes)
        return self._on_link

    def _forget_routes(self) -> None:
        self._routes_at = None

    def _stays(self, address: str) -> bool:
        place = Place(socket.AF_INET6 if ":" in address else socket.AF_INET, address, 0)
        return decide(place, socket.SOCK_STREAM, self._networks(), self._direct) == GO_ON


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
