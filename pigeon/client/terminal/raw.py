"""The user's terminal: raw mode, and leaving it as it was. Only the guardian changes it."""

from __future__ import annotations

import errno
import os
import select
import termios

from pigeon.client.tty import in_foreground, is_terminal
from pigeon.clock import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Terminal:
    """Raw mode on stdin, and the way back. Restoring twice is harmless."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        self.is_raw = False
        self._save()

    def _save(self) -> None:
        if is_terminal(0):
            try:
                self._saved = termios.tcgetattr(0)
            except termios.error:
                pass

    def make_raw(self, is_called_away: Callable[[], bool]) -> None:
        """cfmakeraw(3): every byte passes unchanged both ways. What was typed ahead stays.

        In the background this stops the process, as the terminal stops every program that wants to change it; the
        state to come back to is the one that the shell then hands over. `is_called_away`, asked after each signal of
        that time: it is not worth the wait any more, and nothing is changed.
        """
        if self._saved is None:
            return
        try:
            # Here a process in the background waits for the foreground.
            if not _through(lambda: termios.tcdrain(0), is_called_away):
                return
            if not self.is_raw:
                self._save()
            state = _raw(self._saved)
            _through(lambda: termios.tcsetattr(0, termios.TCSADRAIN, state))
        except termios.error:
            return  # the terminal has gone, which reading will tell
        self.is_raw = True

    @property
    def was_changed(self) -> bool:
        """Somebody has made it cooked since: a shell, which saw this process stopped."""
        try:
            present = termios.tcgetattr(0)
            return self.is_raw and _raw(present) != present
        except termios.error:
            return False

    def restore(self, *, discard_input: bool) -> None:
        """As it was when it was made raw.

        `discard_input`: drop what has been typed or answered and not read. An answer to a query that the command asked
        before it ended would otherwise be typed into the shell.
        """
        state = self._saved
        if state is None or not self.is_raw:
            return
        self.is_raw = False
        when = termios.TCSAFLUSH if discard_input else termios.TCSADRAIN
        try:
            _through(lambda: termios.tcsetattr(0, when, state))
        except termios.error:
            pass  # the terminal has gone

    def restore_for_dead(self) -> None:
        """In place of the process that made it raw and was killed, unless the shell has changed it meanwhile.

        Whoever calls this is in the background as soon as the shell notices, so SIGTTOU must be ignored.
        """
        if self._saved is None:
            return
        try:
            present = termios.tcgetattr(0)
            if _raw(present) == present:
                termios.tcsetattr(0, termios.TCSAFLUSH, self._saved)
        except termios.error:
            pass

    def collect(self, is_enough: Callable[[bytes], bool], limit_s: float) -> None:
        """Read what comes in until `is_enough`, which is given each piece, or for `limit_s`."""
        until = monotonic() + limit_s
        poll = select.poll()
        poll.register(0, select.POLLIN)
        while self.is_raw and in_foreground() and (left := until - monotonic()) > 0:
            if poll.poll(left * 1000):
                try:
                    data = os.read(0, 65536)
                except OSError:
                    return
                if not data or is_enough(data):
                    return


def _through(call: Callable[[], None], is_called_away: Callable[[], bool] = lambda: False) -> bool:
    """A call that waits, again after each signal: termios does not do that by itself, as `os` does (PEP 475).

    A stay in the background ends with one: SIGCONT. False: called away before it was done.
    """
    while not is_called_away():
        try:
            call()
            return True
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise
    return False


QUESTION_S = 1.0
SWALLOW_S = 0.5
"""A question that was asked within so many seconds before the end, or a stop, may be answered for so long after it; the
answer must not be typed into the shell."""


class Questions:
    """What the output has asked the terminal, and whether answers are still to come among the keys."""

    def __init__(self) -> None:
        self._open = 0
        self._asked_at = 0.0

    def asked(self, count: int) -> None:
        """So many more, just now."""
        self._open += count
        self._asked_at = monotonic()

    def await_answers(self) -> bool:
        """Whether one may still come."""
        return bool(self._open) and monotonic() - self._asked_at < QUESTION_S

    def note_answers(self, data: bytes) -> bool:
        """Count what may be answers in what was typed; whether none is missing now."""
        if self._open:
            came = sum(data.count(b"\x1b" + kind) for kind in (b"[", b"]", b"P", b"_"))
            self._open = max(0, self._open - came)
        return not self._open


def has_keys() -> bool:
    """Whether a read of the keyboard returns at once. What was there before a stop, the shell may have read."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    return bool(poll.poll(0))


def _raw(state: list[Any]) -> list[Any]:
    """`state`, made raw."""
    mode = list(state)
    mode[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    mode[1] &= ~termios.OPOST
    mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6] = list(mode[6])
    mode[6][termios.VMIN] = 1
    mode[6][termios.VTIME] = 0
    return mode


def write_sequences(data: bytes) -> None:
    """What changes the user's terminal, wherever it can be reached."""
    try:
        if data:
            os.write(1 if os.isatty(1) else 0, data)
    except OSError:
        pass  # it has gone
