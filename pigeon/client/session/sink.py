"""Writing the command's output to stdout and stderr without ever blocking on a slow reader."""

from __future__ import annotations

import errno
import os
import select
import stat

PORTION_BYTES = 4096
"""PIPE_BUF: where a descriptor had to stay blocking, a write this small does not block once poll(2) says writable."""


class Sink:
    """One output descriptor, with what it has not taken yet.

    O_NONBLOCK belongs to the open file, which the user's shell and other programs share, so it is never set on the
    descriptor itself; pipes and terminals are opened anew instead. Regular files do not block.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_held = False
        """Everything is kept for now."""
        self._portion = PORTION_BYTES
        self._waiting: list[bytes] = []
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

    @property
    def is_waiting(self) -> bool:
        """Something has been written and not yet taken."""
        return bool(self._waiting)

    def write(self, data: bytes) -> None:
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
