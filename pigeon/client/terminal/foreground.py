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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Foreground:
    """One guardian's. `signalled` is told of the signals that came while this waited for the terminal."""

    def __init__(
        self,
        pump: frames.FramePipe,
        terminal: Terminal,
        window: WindowReports,
        wakeup: int,
        signalled: Callable[[bytes], None],
    ) -> None:
        self.wants_raw = False
        """The session has a terminal, whether or not the user's could be made raw yet."""
        self.suspending_at: float | None = None
        """Since when the pump has been told, and has not answered."""
        self._pump = pump
        self._terminal = terminal
        self._window = window
        self._wakeup = wakeup
        self._signalled = signalled

    def suspend(self) -> None:
        """Tell the session; what the pump answers leads to `stop_here`."""
        if self.suspending_at is None:
            self.suspending_at = monotonic()
            self._pump.send(frames.SUSPEND)

    def continued(self) -> None:
        """SIGCONT, also without a stop of its own: before it, or after a SIGSTOP, of which nobody is told."""
        if self.suspending_at is not None:
            self.suspending_at = None
            self._pump.send(frames.RESUME)
        elif self._terminal.was_changed and in_foreground():
            self.go_raw()
            self._window.changed(monotonic())

    def go_raw(self) -> bool:
        """False if the terminal is another's, and an order to leave came while this process was stopped for it."""
        came = bytearray()

        def is_called_away() -> bool:
            try:
                came.extend(os.read(self._wakeup, 512))
            except BlockingIOError:
                pass
            return not in_foreground() and (signals.SIGTERM in came or signals.SIGHUP in came)

        self.wants_raw = True
        self._terminal.make_raw(is_called_away)
        self._signalled(bytes(came).replace(bytes([signals.SIGCONT]), b""))
        return self._terminal.is_raw

    def stop_here(self, modes: bytes) -> bool:
        """Stop this process as the shell expects it; comes back with SIGCONT. False: it was not to be, or is to leave.

        `modes`: the payload of the last MODES frame.
        """
        if self.suspending_at is None:
            return False
        self.suspending_at = None
        was_raw = self._terminal.is_raw
        off, on, wants_redraw = frames.split_modes(modes)
        if was_raw:
            write_sequences(off)
            self._terminal.restore(discard_input=False)
        signals.signal(signals.SIGTSTP, signals.SIG_DFL)
        os.kill(os.getpid(), signals.SIGTSTP)
        signals.signal(signals.SIGTSTP, do_nothing)
        if was_raw:
            if not self.go_raw():
                return False
            write_sequences(on)
        now = monotonic()
        self._window.changed(now)
        self._pump.send(frames.RESUME)
        if was_raw and wants_redraw:
            self._window.make_redraw(now)
        return True
