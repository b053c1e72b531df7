"""Being in front of the user's terminal: raw there, as the shell wants it elsewhere, and the ways between the two.

Owns the suspension (SIGTSTP, `~^Z`), the way back from it, and whether the terminal is wanted raw at all. Promises that
the shell finds the terminal as it was, and the program finds it as it left it. Says nothing to the session but that its
client is suspended, or back.
"""

from __future__ import annotations

import os

from pigeon.client import frames, handlers
from pigeon.client.signals import signals
from pigeon.client.terminal.raw import Terminal, in_foreground, write_sequences
from pigeon.client.terminal.window import WindowReports
from pigeon.clock import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ALTERNATE_SCREENS = (b"47", b"1047", b"1049")
RESET_MARGINS = b"\x1b[r"


class Foreground:
    """One guardian's. `signalled` is told of the signals that came while this waited for the terminal."""

    def __init__(
        self,
        pump: frames.Link,
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

        `modes`: what switches off what the program has switched on, NUL, what switches it on again.
        """
        if self.suspending_at is None:
            return False
        self.suspending_at = None
        was_raw = self._terminal.is_raw
        off, _, on = modes.partition(b"\0")
        if was_raw:
            write_sequences(off)
            self._terminal.restore(discard_input=False)
        signals.signal(signals.SIGTSTP, signals.SIG_DFL)
        os.kill(os.getpid(), signals.SIGTSTP)
        signals.signal(signals.SIGTSTP, handlers.do_nothing)
        if was_raw:
            if not self.go_raw():
                return False
            write_sequences(on)
        now = monotonic()
        self._window.changed(now)
        self._pump.send(frames.RESUME)
        # One that had set margins sets them again, as after each change of the window's size.
        if was_raw and (RESET_MARGINS in off or any(b"\x1b[?%sh" % mode in on for mode in ALTERNATE_SCREENS)):
            self._window.make_redraw(now)
        return True
