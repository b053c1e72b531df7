"""The user's side of the output: stdout and stderr, the terminal modes it leaves on, and pigeon's own lines."""

from __future__ import annotations

import errno
import os
import select
import stat

from pigeon.client import frames
from pigeon.client.outcome import Options, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.modes import Modes


PORTION_BYTES = 4096
"""PIPE_BUF: where a descriptor had to stay blocking, a write this small does not block once poll(2) says writable."""


class Output:
    """Writes what the command said, and remembers how to undo what it did to the terminal."""

    def __init__(self, guardian: frames.FramePipe, options: Options) -> None:
        self._guardian = guardian
        self._options = options
        self._is_raw = False
        self._modes: Modes | None = None
        self._modes_told = frames.modes_payload(b"", b"", wants_redraw=False)
        out = NonBlockingOutput(1)
        # What goes to one file stays in order.
        error = out if _same_file(1, 2) else NonBlockingOutput(2)
        self._of_channel = {"stdout": out, "pty": out, "stderr": error}
        self.sinks = [out] if error is out else [out, error]

    @property
    def is_waiting(self) -> bool:
        """Something has not been taken yet."""
        return any(sink.is_waiting for sink in self.sinks)

    def write(self, channel: str, data: bytes) -> None:
        """Output of the command. Raises OSError (BrokenPipeError: the reader has gone)."""
        sink = self._of_channel.get(channel)
        if sink is None:
            return  # a channel of a newer worker
        if channel == "pty" and (self._modes is not None or b"\x1b" in data):
            self._follow_modes(data)
        sink.write(data)

    def flush(self) -> None:
        """Go on with what was not taken. Raises as `write`."""
        for sink in self.sinks:
            sink.flush()

    def go_raw(self) -> None:
        """The session has a terminal: the guardian makes the user's raw and passes keys on as they are.

        Until it says that this is done (`release`), which may take as long as a stay in the background, output waits:
        a cooked terminal would show it with line ends of its own, and echo the answers to its questions.
        """
        self._is_raw = True
        self._of_channel["pty"].is_held = True
        self._guardian.send(frames.RAW, self._options.escape_char.encode())

    def release(self) -> None:
        """The terminal is raw. What was held goes with the next `flush`."""
        self._of_channel["pty"].is_held = False

    def show(self, screen: bytes, modes: Modes) -> None:
        """Put the terminal into the state that the output so far has left. Raises as `write`.

        Unless this client only watches, the program will be made to draw itself again.
        """
        from pigeon.client.session.modes import without_questions

        self._modes = modes
        modes.questions = 0  # asked long ago, of another terminal
        self._tell_modes()
        shown = modes.apply(margins=self._options.read_only) + without_questions(screen)
        if not self._options.read_only:
            shown += modes.forget_margins()
        self._of_channel["stdout"].write(shown)

    def _follow_modes(self, data: bytes) -> None:
        if self._modes is None:
            from pigeon.client.session.modes import Modes

            self._modes = Modes()
        self._modes.feed(data)
        self._tell_modes()

    def _tell_modes(self) -> None:
        """Whatever kills this process, the guardian can switch off what is on."""
        if self._modes is None:
            return
        # What is told is told before the terminal gets it.
        told = frames.modes_payload(
            self._modes.reset(), self._modes.apply(), wants_redraw=self._modes.wants_redraw
        )
        if told != self._modes_told:
            self._modes_told = told
            self._guardian.send(frames.MODES, told)
        if self._modes.questions:
            self._guardian.send(frames.ASKED, b"%d" % self._modes.questions)
            self._modes.questions = 0

    def notice(self, text: str, *, event: str = "notice") -> None:
        """A line for the user, if somebody reads stderr. `event`: its name for a driving program."""
        self._guardian.tell(event, message=text)
        if self._options.speaks or self._options.verbose:
            self._print(text)

    def verbose(self, text: str) -> None:
        """A line for `-v`."""
        if self._options.verbose:
            self._print(text)

    def _print(self, text: str) -> None:
        end = "\r\n" if self._is_raw else "\n"
        line = printable(text).replace("\n", "\\n")
        try:
            self._of_channel["stderr"].write(f"pigeon: {line}{end}".encode())
        except OSError:
            pass  # nobody can be told


class NonBlockingOutput:
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


def _same_file(first: int, second: int) -> bool:
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
