"""The user's side of the output: stdout and stderr, and pigeon's own lines between the command's."""

from __future__ import annotations

import errno
import os
import select
import stat

from pigeon.client.tty import DESCRIPTORS
from pigeon.printing import visible
from pigeon.wire.records import PTY, STDERR, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.options import Options

PORTION_BYTES = 4096
"""PIPE_BUF: where a descriptor had to stay blocking, a write this small does not block once poll(2) says writable."""


class NonBlockingOutput:
    """One output descriptor, with what it has not taken yet.

    O_NONBLOCK belongs to the open file, which the user's shell and other programs share, so it is never set on the
    descriptor itself; pipes and terminals are opened anew instead. Regular files do not block.
    """

    def __init__(self, fd: int) -> None:
        self.fd = self._given = fd
        self.is_held = False
        """Everything is kept for now."""
        self._portion = PORTION_BYTES
        self._waiting: list[bytes | memoryview] = []
        kind = os.fstat(fd).st_mode
        if stat.S_ISREG(kind):
            self._portion = 1 << 30
        elif stat.S_ISFIFO(kind) or os.isatty(fd):
            try:
                self.fd = os.open(
                    f"/proc/self/fd/{fd}",
                    os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_APPEND,
                )
                self._portion = 1 << 30
            except OSError:
                pass  # no /proc, or another user's pipe: small portions then

    def close(self) -> None:
        """Close what was opened here, if anything."""
        if self.fd != self._given:
            os.close(self.fd)

    @property
    def waiting(self) -> list[bytes | memoryview]:
        """What has been written and not yet taken."""
        return self._waiting

    @property
    def is_waiting(self) -> bool:
        """There is such."""
        return bool(self._waiting)

    def write(self, data: bytes | memoryview) -> None:
        """Write what can be written now and keep the rest.

        Raises:
            BrokenPipeError: the reader has gone.
            OSError: the output failed otherwise (a full disk).
        """
        self._waiting.append(data)
        self.flush()

    def flush(self) -> None:
        """Go on with what is kept. Raises as `write`."""
        while self._waiting and not self.is_held:
            data = self._waiting[0]
            if self._portion == PORTION_BYTES and not self._is_writable():
                return
            try:
                written = os.write(self.fd, data[: self._portion])
            except BlockingIOError:
                return
            except OSError as error:
                self._waiting.clear()
                if error.errno == errno.EIO and os.isatty(self.fd):
                    raise BrokenPipeError(errno.EPIPE, "the terminal has gone") from None
                raise
            if written == len(data):
                self._waiting.pop(0)
            else:
                self._waiting[0] = data[written:]

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(0))


class Output:
    """Two descriptors and what goes where. `line_end`: of pigeon's own lines."""

    def __init__(self, options: Options, stdout: int = 1, stderr: int = 2) -> None:
        self.line_end = "\n"
        self._has_progress = False
        self._options = options
        self.out = NonBlockingOutput(stdout)
        # What goes to one file stays in order.
        self.error = self.out if _same_file(stdout, stderr) else NonBlockingOutput(stderr)
        self.terminal = self._terminal(options.on_terminal)

    def _terminal(self, on_terminal: list[str] | None) -> NonBlockingOutput:
        """Where the output of the session's terminal goes."""
        if on_terminal is None or "stdout" in on_terminal:
            return self.out
        return self.error if "stderr" in on_terminal else NonBlockingOutput(DESCRIPTORS[-1])

    def close(self) -> None:
        """What was opened here; for a process that lives longer."""
        self.out.close()
        if self.error is not self.out:
            self.error.close()

    @property
    def is_waiting(self) -> bool:
        """Something has not been taken yet."""
        return self.out.is_waiting or self.error.is_waiting or self.terminal.is_waiting

    def register(self, poll: select.poll) -> None:
        """Wait for what has not been taken, unless it is held."""
        for sink in (self.out, self.error, self.terminal):
            if sink.is_waiting and not sink.is_held:
                poll.register(sink.fd, select.POLLOUT)

    def write(self, channel: str, data: bytes | memoryview) -> None:
        """Output of the command. Raises as `NonBlockingOutput.write`."""
        if self._has_progress:
            self.progress("")
        if channel == STDOUT:
            self.out.write(data)
        elif channel == PTY:
            self.terminal.write(data)
        elif channel == STDERR:
            self.error.write(data)  # anything else is of a newer worker

    def flush(self) -> None:
        """Go on with what was not taken. Raises as `write`."""
        self.out.flush()
        self.error.flush()
        self.terminal.flush()

    def notice(self, text: str) -> None:
        """A line for the user, if somebody reads stderr."""
        if self._options.speaks or self._options.verbose:
            self._print(text)

    def progress(self, text: str) -> None:
        """A line of a terminal that the next one is written over; "" takes it away. Nowhere else, and never in turn.

        A job in the background writes nothing over its user's next command line.
        """
        if not text and not self._has_progress:
            return
        fd = self.error.fd
        try:
            if not (self._options.speaks and os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()):
                return
            if os.environ.get("TERM", "dumb") == "dumb":
                return
            columns = os.get_terminal_size(fd).columns
            line = visible(f"pigeon: {text}")[: max(0, columns - 1)] if text else ""
            self.error.write(f"\r{line}\x1b[K".encode())
            self._has_progress = bool(text)
        except OSError:
            pass  # the terminal has gone, or is not ours

    def explain(self, text: str) -> None:
        """A line for who reads no notices, as a script or an agent, and must not wonder for ever."""
        if self._options.explains and not (self._options.speaks or self._options.verbose):
            self._print(text)

    def verbose(self, text: str) -> None:
        """A line for `-v`."""
        if self._options.verbose:
            self._print(text)

    def _print(self, text: str) -> None:
        if self._has_progress:
            self.progress("")
        try:
            self.error.write(f"pigeon: {visible(text)}{self.line_end}".encode())
        except OSError:
            pass  # nobody can be told


def _same_file(first: int, second: int) -> bool:
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
