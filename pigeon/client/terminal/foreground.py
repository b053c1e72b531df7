"""Being in front of the user's terminal: raw there, as the shell wants it elsewhere, and the ways between the two.

Owns the suspension (SIGTSTP, `~^Z`), the way back from it, and whether the terminal is wanted raw at all. Promises that
the shell finds the terminal as it was, and the program finds it as it left it. Says nothing to the session but that its
client is suspended, or back.
"""

from __future__ import annotations

import os

from pigeon.client import frames
from pigeon.client.signals import do_nothing, signals
from pigeon.client.terminal.raw import Terminal, write_sequences
from pigeon.client.terminal.window import WindowReports
from pigeon.client.tty import in_foreground
from pigeon.clock import monotonic


class Foreground:
    """One guardian's."""

    def __init__(
        self,
        pump: frames.FramePipe,
        terminal: Terminal,
        window: WindowReports,
    ) -> None:
        self.wants_raw = False
        """The session has a terminal, whether or not the user's could be made raw yet."""
        self.suspending_at: float | None = None
        """Since when the pump has been told, and has not answered."""
        self._pump = pump
        self._terminal = terminal
        self._window = window
        self._has_terminal = False
        self._stops_job = False
        self._sequences = (b"", False)
        """What is to be written, and whether the program is to draw itself anew, once the terminal is ours again."""

    def suspend(self, *, with_job: bool = False) -> None:
        """Tell the session; what the pump answers leads to `stop_here`. `with_job`: all of this job is to stop, as when
        the terminal's own key stops it."""
        if self.suspending_at is None:
            self.suspending_at = monotonic()
            self._stops_job = with_job
            self._pump.send(frames.SUSPEND)

    def continued(self) -> None:
        """SIGCONT, also without a stop of its own: before it, or after a SIGSTOP, of which nobody is told."""
        if self.suspending_at is not None:
            self.suspending_at = None
            self._pump.send(frames.RESUME)
        elif self._terminal.was_changed and in_foreground(self._terminal.fd):
            self.go_raw()
            self._window.changed(monotonic())

    @property
    def is_waiting(self) -> bool:
        """The terminal is another's as yet."""
        return self.wants_raw and not self._has_terminal and self.suspending_at is None

    def go_raw(self) -> None:
        """As soon as the terminal is this client's: asked for again by `look` until it is."""
        self.wants_raw = True
        self._has_terminal = False
        if not self.look() and not self._terminal.stops_writers:
            self._pump.send(frames.BACKGROUND)

    def look(self) -> bool:
        """Whether the terminal is ours now, and raw. Does not stop this process, as wanting it elsewhere would."""
        if not self._terminal.try_make_raw():
            return False
        self._has_terminal = True
        on, wants_redraw = self._sequences
        self._sequences = (b"", False)
        write_sequences(on, self._terminal.fd)
        now = monotonic()
        self._window.changed(now)
        self._pump.send(frames.IS_RAW)
        if wants_redraw:
            self._window.make_redraw(now)
        return True

    def stop_here(self, modes: bytes) -> bool:
        """Stop this process as the shell expects it; comes back with SIGCONT. False: it was not to be.

        `modes`: the payload of the last MODES frame.
        """
        if self.suspending_at is None:
            return False
        self.suspending_at = None
        was_raw, stops_job = self._terminal.is_raw, self._stops_job
        off, on, wants_redraw = frames.split_modes(modes)
        if was_raw:
            write_sequences(off, self._terminal.fd)
            self._terminal.restore(discard_input=False)
        signals.signal(signals.SIGTSTP, signals.SIG_DFL)
        # Where no shell does job control the kernel drops this (an orphaned process group), and the command goes on.
        if stops_job and was_raw:
            os.killpg(0, signals.SIGTSTP)
        else:
            os.kill(os.getpid(), signals.SIGTSTP)
        signals.signal(signals.SIGTSTP, do_nothing)
        if self.wants_raw:
            if was_raw:
                self._sequences = (on, wants_redraw)
            self.go_raw()
        self._window.changed(monotonic())
        self._pump.send(frames.RESUME)
        return True
