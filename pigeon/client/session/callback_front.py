"""The front of a client that is a program: output and news go to functions, input and orders come from any thread."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from pigeon.client.session.front import DETACH, HANG_UP, Event, Front, Input, Order, Resize, Signal, Wish
from pigeon.wire.records import KILL


class CallbackFront(Front):
    """`on_output(channel, data)` gets the command's bytes, `on_notice(text, verbose)` pigeon's lines, `on_state(state)`
    "claimed" and "started". They are called by the conversation's thread; while one works, nothing is read, which in
    the end holds up the command as a full pipe would. What one raises ends the conversation's `run`, not the session.

    The methods `send` to `detach` may be called by any thread and at any time, also by these functions.
    """

    def __init__(
        self,
        on_output: Callable[[str, bytes], None],
        on_notice: Callable[[str, bool], None] | None = None,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        self._on_output = on_output
        self._on_notice = on_notice
        self._on_state = on_state
        self._input: deque[Input] = deque()  # append and popleft are atomic
        self._orders: deque[Event] = deque()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self) -> None:
        """Once the conversation is over, and no other thread calls."""
        os.close(self._woken)
        os.close(self._waker)

    # From any thread

    @property
    def queued_bytes(self) -> int:
        """Of input that was sent and the session has not taken, being a window behind: who sends much may wait."""
        return sum(len(one.data) for one in tuple(self._input))

    def send(self, data: bytes) -> None:
        """Input for the command."""
        if data:
            self._input.append(Input(data))
            self._wake()

    def end_input(self) -> None:
        """The end of the input."""
        self._input.append(Input(b""))
        self._wake()

    def signal(self, number: int) -> None:
        """A signal for the command; one that asks to end withdraws a session that has not been started."""
        self._orders.append(Signal(number))
        self._wake()

    def resize(self, cols: int, rows: int) -> None:
        """The window of a session with a terminal."""
        self._orders.append(Resize(cols, rows))
        self._wake()

    def kill(self) -> None:
        """SIGKILL for whatever the command has started."""
        self._orders.append(Order(9, KILL))
        self._wake()

    def hang_up(self) -> None:
        """End the session."""
        self._orders.append(Wish(HANG_UP))
        self._wake()

    def detach(self) -> None:
        """Leave the session to itself."""
        self._orders.append(Wish(DETACH))
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:
            pass  # it is awake

    # The conversation's thread

    def wait(self, timeout_s: float, *, wants_input: bool) -> list[Event]:
        """See Front."""
        if not self._orders and not (wants_input and self._input):
            poll = select.poll()
            poll.register(self._woken, select.POLLIN)
            poll.poll(timeout_s * 1000)
        try:
            while len(os.read(self._woken, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        events: list[Event] = []
        while self._orders:
            events.append(self._orders.popleft())
        if wants_input and self._input:
            events.append(self._input.popleft())
        return events

    def output(self, channel: str, data: bytes | memoryview) -> None:
        """See Front."""
        self._on_output(channel, bytes(data))

    def notice(self, text: str, *, about: str = "notice") -> None:
        """See Front."""
        if self._on_notice is not None:
            self._on_notice(text, False)

    def verbose(self, text: str) -> None:
        """See Front."""
        if self._on_notice is not None:
            self._on_notice(text, True)

    def claimed(self, worker: str) -> None:
        """See Front."""
        if self._on_state is not None:
            self._on_state("claimed")

    def running(self, *, terminal: bool = False) -> None:
        """See Front."""
        if self._on_state is not None:
            self._on_state("started")
