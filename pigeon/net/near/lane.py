"""One session on a worker as a byte pipe: a client of pigeon's own, in a process of its own, since it uses the share.

The front itself never touches the share, as the guardian of a command does not: a mount that hangs holds up only this.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Sequence

from pigeon.net.catch import kernel
from pigeon.net.loop import IN, Loop

PIPE_BYTES = 1024 * 1024
END_S = 5.0
"""A client whose input has ended may take so long to see the session's end."""


def _prepare() -> None:
    """In the client, before it executes: signals as usual, which the front has blocked; no life without a front."""
    kernel.end_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class Lane:
    """A running client. `reading` and `writing` are for a Stream, which owns them from then on."""

    def __init__(self, loop: Loop, command: Sequence[str], said: Callable[[str], None]) -> None:
        """`said` gets each line that the client says to its user. Raises OSError: no process or descriptor left."""
        self.last_words = ""
        self._loop = loop
        self._said = said
        self._line = b""
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=_prepare,
        )
        assert self._child.stdin and self._child.stdout and self._child.stderr
        self.writing, self.reading = os.dup(self._child.stdin.fileno()), os.dup(self._child.stdout.fileno())
        self._errors = os.dup(self._child.stderr.fileno())
        for file in (self._child.stdin, self._child.stdout, self._child.stderr):
            file.close()
        for fd in (self.reading, self.writing):
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            except OSError:
                pass  # the user's pipes have used up what they may: slower, no more
        os.set_blocking(self._errors, False)
        loop.watch(self._errors, IN, self._heard)

    def _heard(self, _events: int) -> None:
        try:
            data = os.read(self._errors, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._errors)
            os.close(self._errors)
            self._errors = -1
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip().removeprefix("pigeon: ")
            if text:
                if not text.startswith("hint: "):
                    self.last_words = text
                self._said(text)

    def close(self, *, has_begun: bool) -> None:
        """The stream has been closed. A session that has begun ends with its input, another has to be withdrawn."""
        if has_begun:
            self._loop.after(END_S, self._terminate)
        else:
            self._terminate()

    def _terminate(self) -> None:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            self._loop.after(END_S, self._kill)

    def _kill(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._loop.after(END_S, self._terminate)  # which reaps it

    def drain_words(self) -> None:
        """Read what it has said last, once the stream has ended."""
        if self._errors >= 0:
            self._heard(IN)
