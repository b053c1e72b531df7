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
    """Raw mode on `fd`, and the way back. Restoring twice is harmless.

    Of several clients on one terminal (a pipeline) one has it raw at a time, by a lock that the kernel drops with the
    process; so each finds it as the shell has left it.
    """

    def __init__(self, fd: int = 0) -> None:
        self.fd = fd
        self.keeps_output = False
        """Others write to the terminal as well: what the terminal makes of output (OPOST) stays."""
        self.is_raw = False
        self._saved: list[Any] | None = None
        self._lock: int | None = None
        self._save()

    def _save(self) -> None:
        if is_terminal(self.fd):
            try:
                self._saved = termios.tcgetattr(self.fd)
            except termios.error:
                pass

    @property
    def stops_writers(self) -> bool:
        """Who writes from the background is stopped (TOSTOP)."""
        try:
            return bool(termios.tcgetattr(self.fd)[3] & termios.TOSTOP)
        except termios.error:
            return False

    def try_make_raw(self) -> bool:
        """cfmakeraw(3): every byte passes unchanged both ways. What was typed ahead stays.

        False: the terminal is another's now, in the foreground or in this very job, and nothing has been changed.
        """
        if self._saved is None:
            return True  # there is nothing to be made raw
        if not in_foreground(self.fd) or not self._take():
            return False
        try:
            if not self.is_raw:
                self._save()
            self._set(_raw(self._saved, keeps_output=self.keeps_output))
        except termios.error:
            return True  # the terminal has gone, which reading will tell
        self.is_raw = True
        return True

    def _set(self, state: list[Any], when: int = termios.TCSADRAIN) -> None:
        _through(lambda: termios.tcsetattr(self.fd, when, state))

    def _take(self) -> bool:
        if self._lock is not None:
            return True
        try:
            lock = os.open(os.ttyname(self.fd), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return True  # of another mount namespace, or another user
        import fcntl  # loaded by the guardian before its loop

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _leave(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def was_changed(self) -> bool:
        """Somebody has made it cooked since: a shell, which saw this process stopped."""
        try:
            present = termios.tcgetattr(self.fd)
            return self.is_raw and _raw(present, keeps_output=self.keeps_output) != present
        except termios.error:
            return False

    def say(self, text: bytes) -> None:
        """Write lines of pigeon's own to stderr, as the terminal wants them now."""
        if self.is_raw:
            text = text.replace(b"\n", b"\r\n")
        try:
            os.write(2, text)
        except OSError:
            pass  # nobody can be told

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
            self._set(state, when)
        except termios.error:
            pass  # the terminal has gone
        self._leave()

    def restore_for_dead(self) -> None:
        """In place of the process that made it raw and was killed, unless the shell has changed it meanwhile.

        Whoever calls this is in the background as soon as the shell notices, so SIGTTOU must be ignored.
        """
        if self._saved is None:
            return
        try:
            present = termios.tcgetattr(self.fd)
            if _raw(present, keeps_output=True) == present:
                termios.tcsetattr(self.fd, termios.TCSAFLUSH, self._saved)
        except termios.error:
            pass

    def collect(self, is_enough: Callable[[bytes], bool], limit_s: float) -> None:
        """Read what comes in until `is_enough`, which is given each piece, or for `limit_s`."""
        until = monotonic() + limit_s
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while self.is_raw and in_foreground(self.fd) and (left := until - monotonic()) > 0:
            if poll.poll(left * 1000):
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    return
                if not data or is_enough(data):
                    return


def _through(call: Callable[[], None]) -> None:
    """A call that waits, again after each signal: termios does not do that by itself, as `os` does (PEP 475)."""
    while True:
        try:
            return call()
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise


QUESTION_S = 1.0
SWALLOW_S = 0.5
"""A question that was asked within so many seconds before the end, or a stop, may be answered for so long after it; the
answer must not be typed into the shell."""


class Questions:
    """What the output has asked the terminal, and whether answers are still to come among the keys."""

    def __init__(self) -> None:
        self.were_asked = False
        self._open = 0
        self._asked_at = 0.0

    def asked(self, count: int) -> None:
        """So many more, just now."""
        self._open += count
        self.were_asked = True
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


def has_keys(fd: int) -> bool:
    """Whether a read of the keyboard returns at once. What was there before a stop, the shell may have read."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _raw(state: list[Any], *, keeps_output: bool = False) -> list[Any]:
    """`state`, made raw, or only its input."""
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
    if not keeps_output:
        mode[1] &= ~termios.OPOST
    mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    mode[6] = list(mode[6])
    mode[6][termios.VMIN] = 1
    mode[6][termios.VTIME] = 0
    return mode


def write_sequences(data: bytes, fd: int) -> None:
    """What changes the user's terminal, wherever it can be reached."""
    try:
        if data:
            os.write(1 if os.isatty(1) else fd, data)
    except OSError:
        pass  # it has gone
