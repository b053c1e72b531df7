"""What a session has put out before its attacher came: read while the user may still leave, and what is shown of it."""

from __future__ import annotations

from pigeon.client.outcome import Outcome
from pigeon.client.session.conversation import ALIVE_S
from pigeon.client.session.front import (
    CLOSED,
    DETACH,
    GONE,
    HANG_UP,
    RESUME,
    SUSPEND,
    Resize,
    Signal,
    Wish,
)
from pigeon.client.session.modes import Modes
from pigeon.client.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM
from pigeon.clock import monotonic
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import files
from pigeon.wire.records import EXIT, OUTPUT, PTY, channel_of, data_of, event_of, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pigeon.client.session.front import Event
    from pigeon.client.session.guardian_front import GuardianFront
    from pigeon.client.session.options import Options
    from pigeon.wire.tail import StreamReader

REPLAY_BYTES = 256 * 1024
"""Of a program that has had the alternate screen, at most this much is shown again: it draws itself anew ..."""

CONTEXT_BYTES = 16 * 1024
"""... and this much where it has not cleared the screen within that."""

SCROLLBACK_BYTES = 2 * 1024 * 1024
"""Of any other, the whole of what a terminal would keep: movements of the cursor make sense only from the beginning and
what has scrolled away is looked at. Some ten thousand lines; a terminal takes as much in well under a second."""

READING_S = 1.0
"""Reading what has been put out so far takes no longer, mostly; then the user hears of it."""

FOREVER_S = 3600.0

_ALTERNATE = (b"\x1b[?1049h", b"\x1b[?1047h", b"\x1b[?47h")
_EMPTYING = (b"\x1bc", b"\x1b[3J")
_BEGINNINGS = (b"\x1b[2J", b"\x1b[?1049h", b"\x1bc", b"\x1b[3J")


class Reader:
    """The user, while the output so far is read: told what takes so long, and free to leave an untouched session."""

    def __init__(self, front: GuardianFront, options: Options, path: str) -> None:
        self._front = front
        self._options = options
        self._path = path
        self._later: list[Event] = []
        self._said = False
        self._began = self._alive_at = monotonic()

    def hear(self) -> None:
        """Say what is to be said, and act on what has come. Raises Outcome."""
        now = monotonic()
        if now - self._began > READING_S and not self._said:
            self._said = True
            self._front.notice(f"reading {self._megabytes()} MB of output so far")
        if now - self._alive_at > ALIVE_S:
            self._alive_at = now
            self._front.alive()
        self._receive(0.0)
        while self._front.is_suspended:
            self._receive(FOREVER_S)

    def _megabytes(self) -> int:
        try:
            # Four characters of base64 are three bytes.
            return files.status_of(self._path).st_size * 3 // 4_000_000
        except OSError:
            return 0  # reading it will tell

    def _receive(self, timeout_s: float) -> None:
        for event in self._front.wait(timeout_s, wants_input=False):
            if isinstance(event, Wish):
                self._wished(event.kind)
            elif isinstance(event, Signal) and event.number in (SIGINT, SIGQUIT, SIGTERM, SIGHUP):
                raise Outcome(128 + event.number, "pigeon: left before it was attached; the session goes on")
            elif isinstance(event, Resize):
                self._options.window = (event.cols, event.rows)
            else:
                self._later.append(event)

    def _wished(self, kind: str) -> None:
        if kind == DETACH:
            raise Outcome(0)
        if kind in (HANG_UP, GONE, CLOSED):
            raise Outcome(EXIT_PIGEON)
        if kind == SUSPEND:
            self._front.suspended()
        elif kind == RESUME:
            self._front.resumed()

    def hand_over(self) -> None:
        """What was typed, and the signals for the command, come from the front's next `wait`, in their order."""
        self._front.unread(self._later)


def replay(tail: StreamReader, *, hear: Callable[[], None]) -> tuple[bytes, Modes, bool]:
    """(what to show of the output so far, the terminal modes it left on, whether the exit event has been seen).

    `hear` is called between pieces of the work, of some ten milliseconds each, and may raise.
    """
    kept = bytearray()
    modes = Modes()
    limit = SCROLLBACK_BYTES
    is_cut = False
    ended = False
    while not ended:
        hear()
        records = tail.poll()
        of_terminal = []
        for record in records:
            if type_of(record) == OUTPUT:
                data = data_of(record)
                if channel_of(record) == PTY:
                    of_terminal.append(data)
                kept += data
            elif event_of(record) == EXIT:
                ended = True
                break
        modes.feed(b"".join(of_terminal))
        if limit > REPLAY_BYTES and (modes.is_full_screen or any(one in kept for one in _ALTERNATE)):
            limit = REPLAY_BYTES
        if len(kept) > 2 * limit:  # cut now and then, not at every record of a long stream
            del kept[:-limit]
            is_cut = True
        if not records or not tail.has_more:
            break  # what comes from now on, however fast, is shown as it comes
    is_cut = is_cut or len(kept) > limit
    recent = bytes(kept[-limit:])
    return (_of_main_screen if limit > REPLAY_BYTES else _of_full_screen)(recent, is_cut), modes, ended


def _of_full_screen(recent: bytes, _is_cut: bool) -> bytes:
    begin = max(recent.rfind(beginning) for beginning in _BEGINNINGS)
    if begin < 0 and len(recent) > CONTEXT_BYTES:
        begin = recent.find(b"\n", len(recent) - CONTEXT_BYTES) + 1
    return recent[max(begin, 0) :]


def _of_main_screen(recent: bytes, is_cut: bool) -> bytes:
    """From where the scrollback was emptied, or from the first whole line."""
    begin = max(recent.rfind(emptying) for emptying in _EMPTYING)
    if begin < 0 and is_cut:
        begin = recent.find(b"\n") + 1
    return recent[max(begin, 0) :]
