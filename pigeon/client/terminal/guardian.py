"""The process that the shell started: it owns the terminal's state and the signals, and never touches the share.

A call that hangs on a dead mount cannot be interrupted, and on some filesystems not even killed. So everything on the
share is done by a child (the pump), and this process can always take the keyboard, restore the terminal and leave.
Bytes from the command go straight from the child to the terminal; keys come through here, where the escapes are seen.
"""

from __future__ import annotations

import os
import select

from pigeon import startup, trace
from pigeon.client import frames
from pigeon.client.signals import signals
from pigeon.client.terminal import escapes, leaving
from pigeon.client.terminal.giveup import GiveUp, presses_in
from pigeon.client.terminal.leaving import LAST_WORDS_S, Leaving
from pigeon.client.terminal.raw import SWALLOW_S, Questions, Terminal, has_keys, write_sequences
from pigeon.client.terminal.window import WindowReports
from pigeon.client.tty import in_foreground
from pigeon.clock import monotonic
from pigeon.errors import EXIT_PIGEON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.terminal.foreground import Foreground

HUNG_S = 6.0
"""A pump that has not reported for this long sits in an operation on the share."""

FOREGROUND_S = 0.2
"""How often a client that waits for the terminal looks whether it has it: a shell's `fg` sends no signal to a job that
runs."""

KEYBOARD_BYTES = 16 * 1024 * 1024
"""Typed (or pasted) and not yet passed on by the pump; beyond this the terminal holds the rest."""

REAP_S = 0.25
"""A pump that has said its last word is gone within two milliseconds."""


class Guardian:
    """The loop of the process that the shell waits for."""

    _notes = {
        frames.ABNORMAL: "_abnormal",
        frames.BROKEN_PIPE: "_broken_pipe",
        frames.SPOILED: "_is_spoiled",
    }
    """Frame -> what is true from it on."""

    def __init__(
        self,
        mine: frames.FramePipe,
        terminal: Terminal,
        wakeup: int,
        *,
        reads_keyboard: bool,
        speaks: bool,
        watches: bool = False,
        waits_for_need: bool = False,
    ) -> None:
        self.link = mine
        self.terminal = terminal
        self.pid = 0
        self._wakeup = wakeup
        self._reads = reads_keyboard and not waits_for_need
        self._speaks = speaks
        self._watches = watches
        self._escapes = escapes.Escapes("")
        self._message = b""
        self._modes = b""
        self._abnormal = False
        self._broken_pipe = False
        self._give_up = GiveUp()
        self._questions = Questions()
        self._window = WindowReports(lambda size: mine.send(frames.SIZE, size))
        self._heard_at = self._turned_at = monotonic()
        self._said_hung = False
        self._leaving = Leaving()
        self._signal = 0
        self._has_interrupted = False
        self._is_spoiled = False
        self._waits_for_need = waits_for_need
        self._keyboard = reads_keyboard or waits_for_need
        self._foreground: Foreground
        self._untaken = 0
        self._must_reap = False
        self._code: int | None = None

    def prepare(self) -> None:
        """Import what may be needed, before the loop: pigeon's own code may lie where nothing answers later.

        Only here, since the pump is at work meanwhile, and nobody waits for it.
        """
        if self._keyboard:
            import fcntl  # noqa: F401  (for raw.py)

            import pigeon.client.terminal.keyreports  # noqa: F401  (for Escapes and GiveUp)
        startup.preload(startup.GUARDIAN)
        from pigeon.client.terminal.death import die_by
        from pigeon.client.terminal.foreground import Foreground

        self._die_by = die_by
        self._foreground = Foreground(self.link, self.terminal, self._window)

    def run(self) -> int:
        """Until the pump has ended, or has been given up."""
        while self._code is None:
            self._wait()
            self._watch_pump()
        return self._end(self._code)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self.link.reading, select.POLLIN)
        if self.link.has_output:
            poll.register(self.link.writing, select.POLLOUT)
        tty = self.terminal.fd
        foreground = self._reads and in_foreground(tty) and not self._foreground.is_waiting
        if foreground and self._untaken < KEYBOARD_BYTES:
            poll.register(tty, select.POLLIN)
        self._watch_more(poll)
        for fd, _ in poll.poll(self._timeout(foreground) * 1000):
            if fd == self._wakeup:
                self._signalled(os.read(fd, 512))
            elif fd == self.link.reading:
                self._hear()
            elif fd == self.link.writing:
                self.link.flush()
            elif fd == tty:
                self._read_keyboard()
            else:
                self._is_ready(fd)

    def _watch_more(self, poll: select.poll) -> None:
        """Register further descriptors (Driven)."""

    def _is_ready(self, fd: int) -> None:
        """One of them can be read or written."""

    def _heard(self, kind: bytes, payload: bytes) -> None:
        """A frame that only a driven client's pump sends."""

    def _timeout(self, foreground: bool) -> float:
        now = monotonic()
        waits = [1.0 if self._reads and not foreground else HUNG_S]
        if self._foreground.is_waiting:
            waits.append(FOREGROUND_S)
        if self._leaving.is_near or self._foreground.suspending_at is not None:
            waits.append(0.1)
        waits += [due for due in (self._give_up.due(now), self._window.due(now)) if due is not None]
        return min(waits)

    # The pump

    def _hear(self) -> None:
        received = self.link.receive()
        if received is None:
            _, status = os.waitpid(self.pid, 0)
            trace.mark("client: pump ended")
            self._code = self._code_of(status)
            return
        self._heard_at = monotonic()
        if self._said_hung:
            self._said_hung = False
            self._say("the shared directory answers again")
        for kind, payload in received:
            self._take_frame(kind, payload)

    def _take_frame(self, kind: bytes, payload: bytes) -> None:
        if kind in self._notes:
            setattr(self, self._notes[kind], True)
        elif kind == frames.ANSWERED:
            self._give_up.answered()
        elif kind in (frames.RAW, frames.READ, frames.STOP, frames.SUSPENDED):
            self._serve(kind, payload)
        elif kind == frames.TAKEN:
            self._untaken -= int(payload)
        elif kind == frames.MODES:
            self._modes = payload
        elif kind == frames.ASKED:
            self._questions.asked(int(payload))
        elif kind == frames.MESSAGE:
            self._message += payload
        elif kind == frames.TOLD:
            self._leaving.is_told = True
        elif kind in (frames.EXIT, frames.DIE):
            self._take_end(kind, int(payload))
        else:
            self._heard(kind, payload)

    def _serve(self, kind: bytes, payload: bytes) -> None:
        """What the command wants of the terminal, or of this job."""
        if kind == frames.STOP:
            self._foreground.suspend(with_job=True)
        elif kind == frames.SUSPENDED:
            self._stop()
        else:
            self._reads = self._keyboard  # a Ctrl-D before was one end of input, for the command
        if kind == frames.RAW:
            self.terminal.keeps_output = payload[:1] == frames.INPUT
            if not self.terminal.is_raw:
                self._escapes = escapes.Escapes(payload[1:].decode())
            self._foreground.go_raw()

    def _take_end(self, kind: bytes, number: int) -> None:
        if kind == frames.DIE:
            self._signal = number
            return
        trace.mark("client: exit code heard")
        self._code = self._as_left(number)
        self._must_reap = True

    def _code_of(self, status: int) -> int:
        if os.WIFSIGNALED(status):
            self._abnormal = True
            number = os.WTERMSIG(status)
            if not self._leaving.has_begun:
                self._message += leaving.PUMP_KILLED % number
            return EXIT_PIGEON
        return self._as_left(os.WEXITSTATUS(status))

    def _as_left(self, code: int) -> int:
        """The pump's exit code, or that of the user's leaving, which is confirmed to him."""
        if not self._leaving.has_begun:
            return code
        self._message = self._message or self._leaving.message
        return self._leaving.code

    def _watch_pump(self) -> None:
        now = monotonic()
        if self._code is not None:
            return
        if now - self._turned_at > HUNG_S + 1.0:
            self._heard_at = now  # this process was stopped itself, as a background job is that reads keys
        self._turned_at = now
        if self._foreground.is_waiting:
            self._foreground.look()
        self._window.report(now)
        if self._give_up.due(now) == 0.0:
            self._leave(EXIT_PIGEON, leaving.LEFT)
        since = self._foreground.suspending_at
        if since is not None and now - since > LAST_WORDS_S:
            self._stop()
        if self._leaving.is_goodbye_due(now):
            self._leave(128 + self._leaving.signal, b"", frames.GONE)
        if self._leaving.is_over(now):
            os.kill(self.pid, signals.SIGKILL)
            # Not waited for: a process in a call that hangs on a dead mount may not even be killed.
            self._code, self._signal = self._leaving.code, self._leaving.signal
            self._message = self._leaving.last_words(self._message)
        elif now - self._heard_at > HUNG_S and not self._said_hung:
            self._said_hung = True
            self._say(
                f"the shared directory has not answered for {now - self._heard_at:.0f} s; waiting for it "
                f"({self._way_out()} gives the shell back)"
            )

    def _way_out(self) -> str:
        character = self._escapes.character
        return f"{f'{character}. or ' if character else ''}Ctrl-C{'' if self._watches else ' three times'}"

    def _leave(self, code: int, message: bytes, kind: bytes = frames.HANG_UP, payload: bytes = b"") -> None:
        """Tell the pump to end the session, and leave whether it can or not."""
        if self._leaving.begin(monotonic(), code, message):
            self._abnormal = True
            self.link.send(kind, payload)

    def _stop_watching(self) -> None:
        self._leave(0, leaving.STOPPED_WATCHING, frames.SIGNAL, b"%d" % signals.SIGINT)

    # The user

    def _read_keyboard(self) -> None:
        if not has_keys(self.terminal.fd):
            return
        try:
            data = os.read(self.terminal.fd, 65536)
        except OSError:
            data = b""
        if not data:
            if self.terminal.is_raw:
                self._leave(128 + signals.SIGHUP, b"", frames.GONE)  # the terminal has gone away
            else:
                self.link.send(frames.KEYS_END)
            self._reads = False
            return
        trace.mark("client: key read")
        self._redraw_spoiled()
        self._questions.note_answers(data)
        passed, actions = self._escapes.feed(data)
        if passed:
            self._untaken += len(passed)
            self.link.send(frames.KEYS, passed)
            for _ in range(presses_in(passed) if self.terminal.is_raw else 0):
                self._has_interrupted = True
                self._interrupted()
        for action in actions:
            self._act(action)

    def _stop(self) -> None:
        if self._foreground.suspending_at is not None and self._questions.await_answers():
            self.terminal.collect(self._pass_answers, SWALLOW_S)  # or the shell gets them
        if self._foreground.stop_here(self._modes):
            self._heard_at = monotonic()

    def _interrupted(self) -> None:
        if self._watches:
            self._stop_watching()
        else:
            self._give_up.pressed(monotonic())

    def _act(self, action: str) -> None:
        if self._watches and action in (escapes.HANG_UP, escapes.DETACH):
            self._stop_watching()
        elif action == escapes.HANG_UP:
            self._leave(EXIT_PIGEON, leaving.HUNG_UP)
        elif action == escapes.DETACH:
            self.link.send(frames.DETACH)
        elif action == escapes.SUSPEND:
            self._foreground.suspend()
        else:
            text = escapes.help_text(self._escapes.character, watches=self._watches)
            self.terminal.say(b"\n" + text.encode() + b"\n")
            self._is_spoiled = True

    def _redraw_spoiled(self) -> None:
        """At the first key after a line of pigeon's own, a full-screen program is made to draw itself again."""
        if self._is_spoiled and self.terminal.is_raw and frames.split_modes(self._modes)[2]:
            self._window.make_redraw(monotonic())
        self._is_spoiled = False

    def _pass_answers(self, data: bytes) -> bool:
        self._untaken += len(data)
        self.link.send(frames.KEYS, data)
        return self._questions.note_answers(data)

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signals.SIGWINCH:
                self._window.changed(monotonic())
            elif number == signals.SIGTSTP:
                self._foreground.suspend()
            elif number == signals.SIGCONT:
                self._foreground.continued()
            elif number != signals.SIGCHLD:
                self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if number == signals.SIGINT:
            self._interrupted()
        self.link.send(frames.SIGNAL, b"%d" % number)
        if number in (signals.SIGHUP, signals.SIGTERM):
            self._leaving.ordered(monotonic(), number)
            if self._foreground.wants_raw:
                self._leave(128 + number, b"", frames.GONE)

    # The end

    def _end(self, code: int) -> int:
        if self._abnormal:
            off, _, wants_redraw = frames.split_modes(self._modes)
            write_sequences(leaving.clean_up(off, wants_redraw=wants_redraw), self.terminal.fd)
        if self._questions.await_answers():
            self.terminal.collect(self._questions.note_answers, SWALLOW_S)
        # Of a terminal that others of this job use as well nothing is dropped that is not likely to be an answer.
        self.terminal.restore(discard_input=not self._waits_for_need or self._questions.were_asked)
        if self._message:
            self.terminal.say(self._message)
        if self._must_reap:
            self._reap()
        if self._broken_pipe:
            signals.signal(signals.SIGPIPE, signals.SIG_DFL)
            os.kill(os.getpid(), signals.SIGPIPE)
        if self._leaving.has_begun:
            self._signal = (
                self._leaving.signal
            )  # whatever the pump says of the end: this process leaves by its own
        if self._signal:
            is_key = self._has_interrupted and self._signal in (signals.SIGINT, signals.SIGQUIT)
            self._die_by(self._signal, with_group=is_key)
        return code

    def _reap(self) -> None:
        """Wait for the pump, which is on its way out; nobody but its parent may be there to do so (a container)."""
        poll = select.poll()
        poll.register(self.link.reading, 0)  # POLLHUP alone: its descriptors are closed
        if poll.poll(REAP_S * 1000):
            os.waitpid(self.pid, 0)
        trace.mark("client: pump ended")

    def _say(self, text: str) -> None:
        if self._speaks:
            self.terminal.say(f"pigeon: {text}\n".encode())
            self._is_spoiled = True
