"""A socket plugged into a channel: bytes both ways, ends and resets exactly as they came."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable

from pigeon.net import channel as steps
from pigeon.net.channel import Channel
from pigeon.net.frames import MAX_DATA_BYTES
from pigeon.net.loop import ERR, HUP, IN, OUT, Loop
from pigeon.net.mux import Mux

_BREAK = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing then resets (socket(7))."""

PIECES = 4
"""Read from a socket in one go, if they lie there: then they go over the stream in one write, too."""

KEEPALIVE_S = 60
"""A peer whose host has gone is found out by TCP itself; nothing is ever ended for being silent."""


class Plug:
    """One connection. Data that comes before `attach` waits; `on_end` is called once, when nothing is left of it."""

    def __init__(self, loop: Loop, mux: Mux, on_end: Callable[[Plug], None]) -> None:
        self.loop = loop
        self.mux = mux
        self.channel: Channel
        self.sock: socket.socket | None = None
        self._on_end = on_end
        self._pending: deque[bytes] = deque()
        self._got_end = False
        self._gave_end = False
        self._waits = False
        """For its turn on the stream."""
        self._hung = False
        self._done = False

    # What the mux says (mux.Owner)

    def opened(self, _text: str) -> None:
        """See mux.Owner; who asks for connections has more to do here."""

    def refused(self, _code: int, _text: str) -> None:
        """See mux.Owner; who asks for connections has more to do here."""
        self._close(broken=True)

    def deliver(self, data: memoryview) -> None:
        """See mux.Owner."""
        if self.sock is None or self._pending:
            self._pending.append(bytes(data))
            return
        try:
            count = self.sock.send(data)
        except BlockingIOError:
            count = 0
        except OSError:
            self.break_off()
            return
        if count:
            self.mux.took(self.channel, count)
        if count < len(data):
            self._pending.append(bytes(data[count:]))
            self._arm()

    def ended(self) -> None:
        """See mux.Owner."""
        self._got_end = True
        self._settle()

    def was_reset(self) -> None:
        """See mux.Owner. What came before the reset is still given to the socket, as far as that takes it at once."""
        if self.sock is not None:
            try:
                while self._pending:
                    self._pending[0] = self._pending[0][self.sock.send(self._pending[0]) :]
                    if not self._pending[0]:
                        self._pending.popleft()
            except OSError:
                pass
        self._close(broken=True)

    def has_credit(self) -> None:
        """See mux.Owner."""
        self._arm()

    def turn(self) -> None:
        """See mux.Owner."""
        self._waits = False
        if self.sock is not None and self.channel.may_send:
            self._read()
        self._arm()

    # The socket

    def attach(self, sock: socket.socket) -> None:
        """This is the socket; it is non-blocking and connected, and has been prepared."""
        self.sock = sock
        self._flush()

    def send_first(self, data: bytes) -> None:
        """What was read from the socket before it was plugged in; less than a window."""
        for start in range(0, len(data), MAX_DATA_BYTES):
            self.mux.send(self.channel, data[start : start + MAX_DATA_BYTES])

    def _arm(self) -> None:
        """Wait for what can be done now. With nothing to do a break is still noticed (ERR and HUP always are)."""
        if self.sock is None:
            return
        fd = self.sock.fileno()
        mask = OUT if self._pending else 0
        if self.channel.may_send and not self._waits:
            mask |= IN
        if self.loop.watches(fd):
            self.loop.change(fd, mask)
        elif mask or not self._hung:
            self.loop.watch(fd, mask, self._ready)
            self._hung = False

    def _ready(self, events: int) -> None:
        if events & ERR:
            self._read_rest()
            self.break_off()
            return
        if events & OUT:
            self._flush()
        if self.sock is None or not events & (IN | HUP):
            return
        if self.channel.may_send and not self._waits:
            for _ in range(PIECES):
                if not self.mux.has_room(self.channel, self):
                    self._waits = True
                    break
                if not self._read():
                    break
            self._arm()
        elif events & HUP:
            self._hung = True  # it would be reported for ever: looked at again when it can be read
            self.loop.forget(self.sock.fileno())

    def _read_rest(self) -> None:
        """It broke: what it has sent before goes along, as far as the peer has room."""
        while self.sock is not None and self.channel.may_send:
            try:
                data = self.sock.recv(min(MAX_DATA_BYTES, self.channel.credit))
            except OSError:
                return
            if not data:
                return
            self.mux.send(self.channel, data)

    def _read(self) -> bool:
        """Send one piece. Whether there may be another now: it was a whole one, and the peer has room."""
        assert self.sock is not None
        try:
            data = self.sock.recv(min(MAX_DATA_BYTES, self.channel.credit))
        except BlockingIOError:
            return False
        except OSError:
            self.break_off()
            return False
        if data:
            self.mux.send(self.channel, data)
            return len(data) == MAX_DATA_BYTES and self.channel.may_send
        self.mux.send_end(self.channel)
        self._settle()
        return False

    def _flush(self) -> None:
        while self._pending and self.sock is not None:
            data = self._pending[0]
            try:
                count = self.sock.send(data)
            except BlockingIOError:
                break
            except OSError:
                self.break_off()
                return
            self.mux.took(self.channel, count)
            if count < len(data):
                self._pending[0] = data[count:]
            else:
                self._pending.popleft()
        self._settle()

    def _settle(self) -> None:
        """Pass the end on once all before it is written; be done once both ends are through."""
        if self.sock is None:
            return
        if self._got_end and not self._pending and not self._gave_end:
            self._gave_end = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone, which reading tells
        if self._gave_end and self.channel.state == steps.CLOSED:
            self._close(broken=False)
        else:
            self._arm()

    def break_off(self) -> None:
        """This side's connection broke, or is not wanted any more."""
        if not self._done:
            self.mux.reset(self.channel)
            self._close(broken=True)

    def _close(self, *, broken: bool) -> None:
        if self._done:
            return
        self._done = True
        self._pending.clear()
        if self.sock is not None:
            self.loop.forget(self.sock.fileno())
            close(self.sock, broken=broken)
            self.sock = None
        self._on_end(self)


def prepare(sock: socket.socket) -> None:
    """Small pieces leave at once, and a peer's death is noticed. What a listening TCP socket accepts inherits it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)


def close(sock: socket.socket, *, broken: bool) -> None:
    """Close a socket; `broken`: so that its peer sees a reset, not an end."""
    if broken:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        except OSError:
            pass
    sock.close()


DISMISS_S = 2.0


def dismiss(loop: Loop, sock: socket.socket, words: bytes) -> None:
    """Say these last words and close, once the peer has read them: closing at once would reset what it still sends,
    and with it the words (RFC 9112, 9.6)."""
    try:
        sock.send(words)  # a few hundred bytes, the first on this connection: they fit
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        sock.close()
        return

    def over() -> None:
        limit.cancel()
        loop.forget(sock.fileno())
        sock.close()

    def ready(_events: int) -> None:
        try:
            if not sock.recv(MAX_DATA_BYTES):
                over()
        except BlockingIOError:
            pass
        except OSError:
            over()

    limit = loop.after(DISMISS_S, over)
    loop.watch(sock.fileno(), IN, ready)
