"""Running a command line through pipes or on a terminal, with stop watches. Knows nothing of pigeon or ssh.

A `Terminal` plays the user's terminal emulator: it owns the master side of a PTY, reads what the program prints and,
where asked to, answers a cursor query at once.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable, Sequence

from .lab import Child, Failed, FileAction

Argv = list[str]
Env = dict[str, str]
_CURSOR_QUERY, _CURSOR_ANSWER = b"\x1b[6n", b"\x1b[1;1R"


class Outcome:
    """What came out of one command through pipes."""

    __slots__ = ("seconds", "code", "output_bytes")

    def __init__(self, seconds: float, code: int, output_bytes: int) -> None:
        self.seconds = seconds
        self.code = code
        self.output_bytes = output_bytes


class Piped:
    """A command with pipes; `stdin` stays /dev/null unless there is input."""

    def __init__(self, argv: Argv, env: Env, cwd: str, log: str, with_input: bool = False) -> None:
        self.output, write_end = os.pipe()
        self.input: int | None = None
        child_in = -1
        if with_input:
            child_in, self.input = os.pipe()
            os.set_blocking(self.input, False)
        actions: list[FileAction] = [
            (os.POSIX_SPAWN_DUP2, child_in, 0)
            if with_input
            else (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write_end, 1),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ]
        self.started = time.monotonic()
        try:
            self.child = Child(argv, env, cwd, actions)
        finally:
            os.close(write_end)
            if with_input:
                os.close(child_in)
        self._log = log

    def finish(self, buffer: memoryview, data: bytes = b"", timeout_s: float = 60.0) -> Outcome:
        """Feed `data`, read everything into `buffer`, wait for the end.

        Raises:
            Failed: too slow, more output than `buffer` holds, or an exit code that is not 0.
        """
        try:
            size = self._exchange(buffer, memoryview(data), self.started + timeout_s)
            code = self.child.wait(timeout_s)
            seconds = time.monotonic() - self.started
        except BaseException:
            self.child.kill()
            raise
        finally:
            self.close()
        if code != 0:
            raise Failed(f"exit code {code}: {last_words(self._log)}")
        return Outcome(seconds, code, size)

    def _exchange(self, buffer: memoryview, data: memoryview, deadline: float) -> int:
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        if self.input is not None:
            poll.register(self.input, select.POLLOUT)
        sent = size = 0
        while True:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                raise Failed(f"no progress at {size:,} bytes out, {sent:,} in")
            for fd, _ in ready:
                if fd == self.output:
                    room = buffer[size : size + (1 << 20)]
                    got = os.readv(fd, [room]) if len(room) else len(os.read(fd, 1))
                    if got == 0:
                        return size
                    if len(room) == 0:
                        raise Failed("more output than was sent")
                    size += got
                elif self.input is not None:
                    sent += os.write(fd, data[sent : sent + (1 << 20)])
                    if sent == len(data):
                        poll.unregister(fd)
                        os.close(fd)
                        self.input = None

    def close(self) -> None:
        """Close our ends."""
        for fd in (self.output, self.input):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.output, self.input = -1, None


class Terminal:
    """A command on a PTY of its own, as if in a terminal window of 80 x 24."""

    def __init__(self, argv: Argv, env: Env, cwd: str, answers: bool = False) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        name = os.ttyname(slave)
        actions: list[FileAction] = [
            (
                os.POSIX_SPAWN_OPEN,
                0,
                name,
                os.O_RDWR,
                0,
            ),  # the first one opened in a new session: its controlling terminal
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        ]
        self.seen = bytearray()
        self.answers = answers
        self.started = time.monotonic()
        try:
            self.child = Child(argv, env, cwd, actions, own_session=True)
        finally:
            os.close(slave)
        self.open = True

    def read(self) -> int:
        """Take what is there now; 0 at the end of the terminal."""
        try:
            got = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            got = b""
        if not got:
            self.open = False
        self.seen += got
        if self.answers and _CURSOR_QUERY in self.seen:
            os.write(self.master, _CURSOR_ANSWER * self.seen.count(_CURSOR_QUERY))
            self.seen[:] = self.seen.replace(_CURSOR_QUERY, b"")
        return len(got)

    def key(self, byte: bytes, timeout_s: float = 10.0) -> float:
        """Type one key; the milliseconds until it is on the screen.

        Raises:
            Failed: it did not come within `timeout_s`.
        """
        del self.seen[:]
        typed = time.monotonic()
        os.write(self.master, byte)
        pump([self], lambda: byte in self.seen, timeout_s, "echo")
        return (time.monotonic() - typed) * 1000

    def wait_for(self, text: bytes, timeout_s: float = 30.0) -> None:
        """Until `text` has been printed."""
        pump([self], lambda: text in self.seen, timeout_s, f"`{text.decode()}` on the terminal")

    def drain(self, buffer: memoryview | None = None, timeout_s: float = 120.0) -> tuple[float, int]:
        """Read to the end of the command: seconds since its start, and bytes into `buffer`."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        size, deadline = 0, self.started + timeout_s
        while True:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.child.kill()
                raise Failed(f"no end within {timeout_s:.0f} s, {size:,} bytes")
            try:
                if buffer is not None and size < len(buffer):
                    got = os.readv(self.master, [buffer[size : size + (1 << 16)]])
                else:
                    got = len(os.read(self.master, 1 << 16))
            except OSError:
                got = 0
            if got == 0:
                break
            size += got
        code = self.child.wait(timeout_s)
        seconds = time.monotonic() - self.started
        if code != 0:
            raise Failed(f"exit code {code} on a terminal")
        return seconds, size

    def close(self) -> None:
        """Close the window and see that the program is gone."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
        self.child.end()


def pump(terminals: Sequence[Terminal], until: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Serve several terminals until something is true.

    Raises:
        Failed: it was not within `timeout_s`, or all programs ended before.
    """
    deadline = time.monotonic() + timeout_s
    served = _Served(terminals)
    while not until():
        left = deadline - time.monotonic()
        if left <= 0 or not served.by_fd:
            words = bytes(terminals[0].seen[-200:]).decode(errors="replace")
            why = f"not within {timeout_s:.0f} s" if served.by_fd else "the program ended"
            raise Failed(f"{what}: {why}; last seen {words!r}")
        served.wait(min(left, 0.25))


def attend(terminals: Sequence[Terminal], seconds: float) -> None:
    """Serve several terminals for exactly so long: a sample must not keep step with what it measures.

    Raises:
        Failed: all programs ended before.
    """
    end = time.monotonic() + seconds
    served = _Served(terminals)
    while (left := end - time.monotonic()) > 0:
        if terminals and not served.by_fd:
            raise Failed(f"all programs have ended {left:.0f} s too early")
        served.wait(left)


class _Served:
    """Terminals whose output is read; one whose program has ended is left out."""

    def __init__(self, terminals: Sequence[Terminal]) -> None:
        self.by_fd = {t.master: t for t in terminals if t.open}
        self._poll = select.poll()
        for fd in self.by_fd:
            self._poll.register(fd, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Read what comes within so long, or at once."""
        for fd, _ in self._poll.poll(seconds * 1000):
            if self.by_fd[fd].read() == 0:
                self._poll.unregister(fd)
                del self.by_fd[fd]


def last_words(path: str) -> str:
    """The last line of a log, for a reason."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:200] if lines else "no message"
