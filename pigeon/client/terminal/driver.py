"""The program that drives this client, as the guardian sees it: a descriptor with lines in both directions.

The guardian passes lines on and understands none: the pump does, and a program whose client hangs can kill the
guardian. A program that has gone is one whose terminal has gone.
"""

from __future__ import annotations

import os
import select

from pigeon.client import frames
from pigeon.client.signals import signals
from pigeon.client.terminal.guardian import Guardian
from pigeon.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.terminal.raw import Terminal

FINISH_S = 1.0
"""A program that does not read what is said at the end has so long."""


class Driver:
    """This process's end of the descriptor. Only the guardian reads and writes it once the request has been read."""

    def __init__(self, fd: int) -> None:
        """Raises UsageError."""
        self.fd = fd
        self.has_gone = False
        self._input = b""
        self._output = b""
        try:
            if fd < 3:
                raise OSError
            os.set_inheritable(fd, False)
        except OSError:
            raise UsageError(
                f"`--driven-by {fd}`: no such descriptor is open",
                hint="it is the number, above 2, of a socket that the driving program has left open",
            ) from None

    def read_request(self) -> bytes:
        """The first line. Raises UsageError if the program leaves before it has said one."""
        while b"\n" not in self._input:
            try:
                data = os.read(self.fd, 262144)
            except OSError as error:
                raise UsageError(f"`--driven-by {self.fd}` cannot be read: {error.strerror}") from None
            if not data:
                raise UsageError(f"`--driven-by {self.fd}` was closed before a request came")
            self._input += data
        request, _, self._input = self._input.partition(b"\n")
        os.set_blocking(self.fd, False)
        return request

    def receive(self) -> list[bytes]:
        """The whole lines that have come; `has_gone` once there will be no more."""
        try:
            data = os.read(self.fd, 65536)
            self.has_gone = not data
        except BlockingIOError:
            data = b""
        except OSError:
            data, self.has_gone = b"", True
        *lines, self._input = (self._input + data).split(b"\n")
        return lines

    @property
    def has_output(self) -> bool:
        """Something was said that the descriptor has not taken yet."""
        return bool(self._output)

    def say(self, text: bytes) -> None:
        """Queue a line and write what is taken."""
        self._output += text + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what the descriptor takes now."""
        try:
            while self._output:
                self._output = self._output[os.write(self.fd, self._output) :]
        except BlockingIOError:
            pass
        except OSError:
            self._output = b""  # that it has gone is noticed by reading

    def finish(self) -> None:
        """Write everything, for `FINISH_S` at most."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while self._output and poll.poll(FINISH_S * 1000):
            self.flush()

    def close(self) -> None:
        """In the pump, which speaks through the guardian."""
        os.close(self.fd)

    def guardian(self, mine: frames.FramePipe, terminal: Terminal, wakeup: int, **how: bool) -> Guardian:
        """The guardian of a client that this program drives."""
        return Driven(self, mine, terminal, wakeup, **how)


class Driven(Guardian):
    """A guardian that speaks to a program, not to a person, and ends as the command did."""

    def __init__(
        self, driver: Driver, mine: frames.FramePipe, terminal: Terminal, wakeup: int, **how: bool
    ) -> None:
        super().__init__(mine, terminal, wakeup, **how)
        self._driver = driver
        self._pass_lines(driver.receive())  # what has come with the request

    def _watch_more(self, poll: select.poll) -> None:
        driver = self._driver
        mask = (0 if driver.has_gone else select.POLLIN) | (select.POLLOUT if driver.has_output else 0)
        if mask:
            poll.register(driver.fd, mask)

    def _is_ready(self, fd: int) -> None:
        if fd == self._driver.fd:
            self._driver.flush()
            if not self._driver.has_gone:
                self._pass_lines(self._driver.receive())

    def _pass_lines(self, lines: list[bytes]) -> None:
        for text in lines:
            self.link.send(frames.ORDER, text)
        if self._driver.has_gone:
            self._leave(128 + signals.SIGHUP, b"", frames.GONE)

    def _heard(self, kind: bytes, payload: bytes) -> None:
        if kind == frames.STATE:
            self._driver.say(payload)
        elif kind == frames.CAUGHT_UP:
            if not self._driver.has_gone:
                self._pass_lines(self._driver.receive())
            self.link.send(frames.CAUGHT_UP)

    def _say(self, text: str) -> None:
        self._driver.say(frames.line("notice", message=text))

    def _end(self, code: int) -> int:
        if not self._must_reap:  # the pump has not told its end
            text = self._message.decode(errors="replace") or "pigeon: the client has left"
            message, _, hint = text.strip().removeprefix("pigeon: ").partition("\npigeon: hint: ")
            self._driver.say(
                frames.line("failed", kind="client", message=message, hint=hint, may_have_run=True, code=code)
            )
        self._message = b""
        self._driver.finish()
        return super()._end(code)
