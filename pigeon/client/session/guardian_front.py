"""The front of a client at its user's descriptors.

Keys, signals and wishes come as frames from the guardian, other input from stdin; output goes straight to stdout and
stderr. The guardian is told what it must know to restore the terminal.
"""

from __future__ import annotations

import select

from pigeon.client import frames
from pigeon.client.session.front import (
    CLOSED,
    DETACH,
    GONE,
    HANG_UP,
    RESUME,
    SUSPEND,
    TOOK,
    Front,
    Input,
    Order,
    Resize,
    Signal,
    Wish,
    read_input,
)
from pigeon.client.session.output import Output
from pigeon.wire.records import PTY, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.front import Event
    from pigeon.client.session.modes import Modes
    from pigeon.client.session.options import Options

END_KEY = b"\x04"
"""A Ctrl-D on the user's terminal before it was raw is one on the command's: one end of input, no closed keyboard."""

_WISHES = {
    frames.HANG_UP: HANG_UP,
    frames.GONE: GONE,
    frames.DETACH: DETACH,
    frames.SUSPEND: SUSPEND,
    frames.RESUME: RESUME,
}


_HARMLESS = frozenset(b"0123456789;m")


def draws(data: bytes) -> bool:
    """Whether it does more to a terminal than to write on it, in colours: that waits for the foreground."""
    at = data.find(b"\x1b")
    while at >= 0:
        if data[at + 1 : at + 2] != b"[":
            return True
        end = at + 2
        while data[end : end + 1] and data[end] in _HARMLESS and data[end - 1] != ord("m"):
            end += 1
        if data[end - 1] != ord("m"):
            return True
        at = data.find(b"\x1b", end)
    return False


class GuardianFront(Front):
    """The pump's end of its guardian."""

    def __init__(self, guardian: frames.FramePipe, options: Options) -> None:
        self._guardian = guardian
        self._options = options
        self._output = Output(options)
        self._modes: Modes | None = None
        self._modes_told = frames.modes_payload(b"", b"", wants_redraw=False)
        self._unread: list[Event] = []
        self._has_typed = False
        self._holds_end = False
        """The input has ended, which is not told yet."""
        self._in_background = False
        """The terminal is another's: only what changes nothing about it is shown."""
        self._draws = False
        """What is held is a screen, whatever it is made of."""
        self._stop_wanted = False

    @property
    def is_printing(self) -> bool:
        """See Front."""
        return self._output.is_waiting

    @property
    def is_shown(self) -> bool:
        """See Front."""
        return not self._output.terminal.is_held

    # What comes

    def wait(self, timeout_s: float, *, wants_input: bool) -> list[Event]:
        """See Front."""
        events, self._unread = self._unread, []
        if self._stop_wanted and not self.is_printing:
            self._stop_wanted = False
            self._guardian.send(frames.STOP)
        poll = select.poll()
        poll.register(self._guardian.reading, select.POLLIN)
        if wants_input and not self._holds_end:
            poll.register(0, select.POLLIN)
        if not self.is_suspended:
            self._output.register(poll)
        if self._guardian.has_output:
            poll.register(self._guardian.writing, select.POLLOUT)
        for fd, _ in poll.poll(0 if events else timeout_s * 1000):
            if fd == self._guardian.reading:
                events += self._hear()
            elif fd == 0:
                events += self._read_input()
            elif fd == self._guardian.writing:
                self._guardian.flush()
            else:
                self._output.flush()
                events.append(Wish(TOOK))
        return events

    def _read_input(self) -> list[Event]:
        """What a program has ordered before it closed the input comes before that end, as kill(2) would."""
        found = read_input(0)
        if not self._guardian.is_driven or not any(isinstance(e, Input) and not e.data for e in found):
            return found
        self._holds_end = True
        self._guardian.send(frames.CAUGHT_UP)
        return []

    def unread(self, events: list[Event]) -> None:
        """Return these first from the next `wait`."""
        self._unread = events

    def _hear(self) -> list[Event]:
        received = self._guardian.receive()
        if received is None:  # the guardian was killed
            return [Wish(CLOSED)]
        return [event for kind, payload in received if (event := self._decoded(kind, payload)) is not None]

    def _decoded(self, kind: bytes, payload: bytes) -> Event | None:
        if kind == frames.KEYS:
            self._output.progress("")
            self._has_typed = True
            return Input(payload, is_typed=True)
        if kind == frames.KEYS_END:
            return Input(END_KEY if self._options.raw else b"", is_typed=True)
        if kind == frames.SIGNAL:
            return Signal(int(payload))
        if kind == frames.SIZE:
            cols, rows = map(int, payload.split())
            return Resize(cols, rows)
        if kind == frames.ORDER:
            from pigeon.client.driven import order_of

            return Order(*order_of(payload))
        if kind == frames.CAUGHT_UP:
            return Input(b"")
        if kind == frames.IS_RAW:
            self._in_background = self._output.terminal.is_held = False
            return None
        if kind == frames.BACKGROUND:
            self._in_background = True
            waiting = b"".join(self._output.terminal.waiting)
            self._output.terminal.is_held = self._draws or draws(waiting)
            return None
        return Wish(_WISHES[kind]) if kind in _WISHES else None

    # What goes

    def output(self, channel: str, data: bytes | memoryview) -> None:
        """See Front."""
        if channel == PTY:
            data = bytes(data)
            if self._modes is not None or b"\x1b" in data:
                self._follow_modes(data)
            if self._in_background and draws(data):
                self._output.terminal.is_held = True
        self._output.write(channel, data)

    def started(self) -> None:
        """The session has a terminal: the guardian makes the user's raw and passes keys on as they are.

        Until it says that this is done, which may take as long as a stay in the background, output waits: a cooked
        terminal would show it with line ends of its own, and echo the answers to its questions.
        """
        if self._options.raw:
            self._want_terminal(frames.ALL)

    def _want_terminal(self, how: bytes) -> None:
        self._output.line_end = "\r\n"
        self._output.terminal.is_held = True
        self._guardian.send(frames.RAW, how + self._options.escape_char.encode())

    def running(self, *, terminal: bool = False) -> None:
        """See Front."""
        self._guardian.tell("started")
        if self._options.on_terminal is not None and not terminal:
            self._guardian.send(frames.READ)

    def reads_terminal(self, *, raw_output: bool) -> None:
        """See Front."""
        if self._options.on_terminal is not None:
            self._want_terminal(frames.ALL if raw_output else frames.INPUT)

    def stopped(self) -> None:
        """See Front. What was written before stands in the terminal first."""
        self._stop_wanted = True

    def over(self) -> None:
        """See Front."""
        if self._in_background:
            self._output.terminal.is_held = False

    def notice(self, text: str, *, about: str = "notice") -> None:
        """See Front."""
        self._guardian.tell(about, message=text)
        self._output.notice(text)
        if self._output.line_end != "\n":
            self._guardian.send(frames.SPOILED)

    def progress(self, text: str) -> None:
        """See Front. Whoever types sees what he types, and no line that is written over it."""
        if not self._has_typed:
            self._output.progress(text)

    def explain(self, text: str) -> None:
        """See Front."""
        self._output.explain(text)

    def verbose(self, text: str) -> None:
        """See Front."""
        self._output.verbose(text)

    def suspended(self) -> None:
        """See Front."""
        self._output.progress("")
        super().suspended()
        self._guardian.send(frames.SUSPENDED)

    def told(self) -> None:
        """See Front."""
        self._guardian.send(frames.TOLD)

    def typed_taken(self, count: int) -> None:
        """See Front."""
        self._guardian.send(frames.TAKEN, b"%d" % count)

    def alive(self) -> None:
        """See Front."""
        self._guardian.send(frames.ALIVE)

    def answered(self) -> None:
        """See Front."""
        self._guardian.send(frames.ANSWERED)

    # The terminal's modes

    def show(self, screen: bytes, modes: Modes) -> None:
        """Put the terminal into the state that the output so far has left. Raises as `output`.

        Unless this client only watches, the program will be made to draw itself again.
        """
        from pigeon.client.session.modes import without_questions

        self._modes, self._draws = modes, True
        modes.questions = 0  # asked long ago, of another terminal
        self._tell_modes(modes)
        shown = modes.apply(margins=self._options.read_only) + without_questions(screen)
        if not self._options.read_only:
            shown += modes.forget_margins()
        self._output.write(STDOUT, shown)

    def _follow_modes(self, data: bytes) -> None:
        if self._modes is None:
            from pigeon.client.session.modes import Modes

            self._modes = Modes()
        self._modes.feed(data)
        self._tell_modes(self._modes)

    def _tell_modes(self, modes: Modes) -> None:
        """Whatever kills this process, the guardian can switch off what is on: so it is told first."""
        told = frames.modes_payload(modes.reset(), modes.apply(), wants_redraw=modes.wants_redraw)
        if told != self._modes_told:
            self._modes_told = told
            self._guardian.send(frames.MODES, told)
        if modes.questions:
            self._guardian.send(frames.ASKED, b"%d" % modes.questions)
            modes.questions = 0
