"""The far side of one stream: what the peer wants opened is resolved, checked, connected to; `-R` listens here.

It runs as an ordinary command of a session, stdin and stdout being the stream, and ends with either.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from pigeon import clock
from pigeon.net import frames
from pigeon.net.dial import Dial
from pigeon.net.far.ledger import Ledger
from pigeon.net.listener import Listener, is_loopback, listen
from pigeon.net.loop import IN, Loop
from pigeon.net.plug import Plug
from pigeon.net.policy import Policy
from pigeon.net.resolve import Found, Resolver
from pigeon.net.stream import Stream

LEAVING_S = 60.0
"""After GOAWAY, what is still open may go on for so long; a worker that is to stop does not wait for ever."""


class _Wanted(Plug):
    """A connection that the peer wants: it is answered once there is one."""

    def __init__(self, far: Far, host: str, port: int, *, named: bool) -> None:
        super().__init__(far.loop, far.stream.mux, self._over)
        self._far = far
        self._host, self._port, self._named = host, port, named
        self._dial: Dial | None = None
        self._is_asked, self._is_open = True, False
        far.ledger.asked(host, port, clock.wall())

    def begin(self) -> None:
        """Once the channel is known."""
        self._far.resolver.ask(self._host, self._port, self._resolved)

    def _resolved(self, found: list[Found], why: str) -> None:
        if not self._is_asked:
            return
        if not found:
            self.refuse(frames.HOST_UNREACHABLE, why or f"{self._host} has no address")
            return
        refusals = [self._refusal(one.address) for one in found]
        allowed = [one for one, refusal in zip(found, refusals, strict=True) if refusal is None]
        if not allowed:
            self.refuse(frames.NOT_ALLOWED, str(refusals[0]))
            return
        self._dial = Dial(self._far.loop, allowed, self._dialled)

    def _refusal(self, address: str) -> str | None:
        return self._far.policy.refusal(self._host, address, self._port, named=self._named)

    def _dialled(self, sock: socket.socket | None, code: int, why: str) -> None:
        if sock is None:
            self.refuse(code, f"cannot connect to {self._host}:{self._port}: {why}")
            return
        try:
            place = _place(sock.getpeername())
        except OSError as error:  # it has been reset at once
            sock.close()
            self.refuse(frames.FAILED, f"cannot connect to {self._host}:{self._port}: {error.strerror}")
            return
        self._is_asked, self._is_open = False, True
        self._far.ledger.opened(self._host, self._port, clock.wall())
        self.mux.confirm(self.channel, place)
        self.attach(sock)

    def refuse(self, code: int, text: str) -> None:
        """It cannot be had; `code` is one of frames', `text` for the one who asked."""
        self._is_asked = False
        self._far.ledger.refused(self._host, self._port, clock.wall())
        self.mux.refuse(self.channel, code, text)
        self._close(broken=True)

    def _over(self, _: Plug) -> None:
        now = clock.wall()
        if self._is_asked:
            self._is_asked = False
            self._far.ledger.given_up(self._host, self._port, now)
            if self._dial is not None:
                self._dial.cancel()
        elif self._is_open:
            self._far.ledger.closed(self._host, self._port, self.channel.got, self.channel.sent, now)
        self._far.plugs.discard(self)
        self._far.consider_end()


def _place(sockaddr: tuple[object, ...]) -> str:
    host = str(sockaddr[0])
    return f"[{host}]:{sockaddr[1]}" if ":" in host else f"{host}:{sockaddr[1]}"


class Far:
    """One stream's far side. `write_down` is given the ledger now and then, and when it ends."""

    def __init__(
        self,
        reading: int,
        writing: int,
        policy: Policy,
        write_down: Callable[[Ledger], None],
        *,
        every_s: float = 2.0,
    ) -> None:
        self.loop = Loop()
        self.policy = policy
        self.ledger = Ledger()
        self.resolver = Resolver(self.loop)
        self.plugs: set[Plug] = set()
        self._bound: dict[int, Listener] = {}
        self._write_down = write_down
        self._every_s = every_s
        self._leaves = False
        self.stream = Stream(
            self.loop,
            reading,
            writing,
            is_client=False,
            on_frame=self._frame,
            on_hello=lambda _: None,
            on_end=lambda _: self.loop.stop(),
        )

    def run(self) -> None:
        """Until the stream ends."""
        wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.loop.watch(wakeup, IN, lambda _: self._signalled(os.read(wakeup, 512)))
        self._tick()
        self.loop.run()
        self._write_down(self.ledger)

    def _tick(self) -> None:
        self._write_down(self.ledger)
        self.loop.after(self._every_s, self._tick)

    def _signalled(self, numbers: bytes) -> None:
        if any(number != signal.SIGUSR1 for number in numbers):
            self.loop.stop()
        elif not self._leaves:
            self.leave("the worker is stopping")

    def leave(self, why: str) -> None:
        """Let nothing new begin, and end with the last connection, or when patience has an end."""
        self._leaves = True
        self.stream.mux.control(frames.GOAWAY, 0, why.encode())
        self.loop.after(LEAVING_S, self.loop.stop)
        self.loop.after(1.0, self.consider_end)  # what was asked for meanwhile is on its way here

    def consider_end(self) -> None:
        """After GOAWAY: the last connection ends the stream, once all has been passed on."""
        if self._leaves and not self.plugs and not self.stream.mux.has_output:
            self.loop.after(1.0, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.plugs:
            self.loop.stop()

    # What the peer wants

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.OPEN:
            self._open(number, *frames.parse_target(payload))
        elif kind == frames.BIND:
            self._bind(number, *frames.parse_target(payload))
        elif kind == frames.RESOLVE:
            self._resolve(number, payload.decode("utf-8", "replace"))
        elif kind == frames.GOAWAY:  # another session has taken over, and wants these ports
            for bound in self._bound.values():
                bound.close()
            self._bound.clear()

    def _open(self, number: int, by: int, host: str, port: int) -> None:
        if number % 2 == 0 or number in self.stream.mux.channels:
            raise frames.BadFrame(f"channel {number} cannot be opened")
        wanted = _Wanted(self, host, port, named=by == frames.BY_USER)
        wanted.channel = self.stream.mux.accept(number, wanted)
        self.plugs.add(wanted)
        if self.stream.mux.is_full:
            wanted.refuse(frames.FAILED, "too many connections at a time")
            return
        wanted.begin()

    def _resolve(self, number: int, name: str) -> None:
        def answered(found: list[Found], why: str) -> None:
            code = frames.OK if found else frames.HOST_UNREACHABLE
            text = " ".join(one.address for one in found) or why
            self.stream.mux.control(frames.RESOLVED, number, frames.answer(code, text))

        self.resolver.ask(name, 0, answered)

    # -R

    def _bind(self, number: int, _by: int, host: str, port: int) -> None:
        try:
            sock = listen(host, port)
        except (OSError, OverflowError) as error:
            why = f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}"
            self.stream.mux.control(frames.BOUND, number, frames.answer(frames.FAILED, why))
            return
        if number in self._bound:
            self._bound[number].close()
        self._bound[number] = bound = Listener(
            self.loop,
            sock,
            lambda came, port: self._arrived(number, came, port),
            open_to_all=not is_loopback(host),
        )
        self.stream.mux.control(frames.BOUND, number, frames.answer(frames.OK, str(bound.port)))

    def _arrived(self, number: int, sock: socket.socket, port: int) -> None:
        plug = _Arrival(self, sock)
        plug.channel = self.stream.mux.open(frames.BY_ARRIVAL, str(number), port, plug)
        self.plugs.add(plug)


class _Arrival(Plug):
    """Somebody has connected to a listener of the peer's: joined once the peer has reached what it stands for."""

    def __init__(self, far: Far, sock: socket.socket) -> None:
        def over(plug: Plug) -> None:
            far.plugs.discard(plug)
            if self._arrived is not None:
                self._arrived.close()
            far.consider_end()

        super().__init__(far.loop, far.stream.mux, over)
        self._arrived: socket.socket | None = sock

    def opened(self, _text: str) -> None:
        """The peer's side is there."""
        sock, self._arrived = self._arrived, None
        if sock is not None:
            self.attach(sock)

    def _close(self, *, broken: bool) -> None:
        if self._arrived is not None and self.sock is None:
            self.sock, self._arrived = self._arrived, None  # closed as the others are: by a reset
        super()._close(broken=broken)
