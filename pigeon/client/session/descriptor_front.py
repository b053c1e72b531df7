"""The front of a client without a guardian: one descriptor to read, two to write. No keys, no signals."""

from __future__ import annotations

import select

from pigeon.client.session.front import TOOK, Front, Wish, read_input
from pigeon.client.session.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.front import Event
    from pigeon.client.session.options import Options


class DescriptorFront(Front):
    """`options` say whether anything is read (`reads_stdin`), and whether pigeon's own lines go to `stderr`."""

    def __init__(self, options: Options, *, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> None:
        self._stdin = stdin
        self._output = Output(options, stdout, stderr)

    def close(self) -> None:
        """What was opened here; the descriptors that were given stay the caller's."""
        self._output.close()

    @property
    def is_printing(self) -> bool:
        """See Front."""
        return self._output.is_waiting

    def wait(self, timeout_s: float, *, wants_input: bool) -> list[Event]:
        """See Front."""
        events: list[Event] = []
        poll = select.poll()
        if wants_input:
            poll.register(self._stdin, select.POLLIN)
        self._output.register(poll)
        for fd, _ in poll.poll(timeout_s * 1000):
            if fd == self._stdin and wants_input:
                events += read_input(fd)
            else:
                self._output.flush()
                events.append(Wish(TOOK))
        return events

    def output(self, channel: str, data: bytes | memoryview) -> None:
        """See Front."""
        self._output.write(channel, data)

    def notice(self, text: str, *, about: str = "notice") -> None:
        """See Front."""
        self._output.notice(text)

    def explain(self, text: str) -> None:
        """See Front."""
        self._output.explain(text)

    def verbose(self, text: str) -> None:
        """See Front."""
        self._output.verbose(text)
