"""One process's event loop: descriptors (epoll(7)), timers, and what is to be done before it sleeps again."""

from __future__ import annotations

import heapq
import itertools
import select
from collections.abc import Callable

from pigeon import clock

IN, OUT, ERR, HUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP

Call = Callable[[int], None]


class Timer:
    """One call in the future; `cancel` it when it is not wanted any more."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It will not be called."""
        self.call = None


class Loop:
    """`run` until `stop`. A call gets the events of its descriptor; none may block."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Call] = {}
        self._masks: dict[int, int] = {}
        self._fresh: set[int] = set()
        """Registered since the last wait: events of that wait are of an earlier descriptor with the same number."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._soon: list[Callable[[], None]] = []
        self._stopped = False

    def watch(self, fd: int, mask: int, call: Call) -> None:
        """Call when `fd` is ready in a way of `mask`, or broken."""
        self._epoll.register(fd, mask)
        self._masks[fd], self._calls[fd] = mask, call
        self._fresh.add(fd)

    def change(self, fd: int, mask: int) -> None:
        """From now on wait for `mask`."""
        if self._masks.get(fd, mask) != mask:
            self._epoll.modify(fd, mask)
            self._masks[fd] = mask

    def forget(self, fd: int) -> None:
        """Wait for nothing of `fd` any more, if one did; before it is closed."""
        if self._masks.pop(fd, None) is not None:
            self._epoll.unregister(fd)
            del self._calls[fd]

    def watches(self, fd: int) -> bool:
        """Whether it is waited for."""
        return fd in self._masks

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, `seconds` from now."""
        timer = Timer(call)
        heapq.heappush(self._timers, (clock.monotonic() + seconds, next(self._count), timer))
        return timer

    def soon(self, call: Callable[[], None]) -> None:
        """Call before the next wait."""
        self._soon.append(call)

    def stop(self) -> None:
        """`run` returns before the next wait."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped:
            self.turn(self.wait_s())

    def turn(self, wait_s: float) -> None:
        """Wait once, at most `wait_s` (negative: for ever), and make all calls that are due."""
        self._fresh.clear()
        for fd, events in self._epoll.poll(wait_s, 256):
            call = self._calls.get(fd)
            if call is not None and fd not in self._fresh:
                call(events)
        now = clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                timer.call()
        while self._soon:
            calls, self._soon = self._soon, []
            for action in calls:
                action()

    def wait_s(self) -> float:
        """How long `turn` may wait; negative: for ever."""
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if self._soon:
            return 0.0
        return max(0.0, self._timers[0][0] - clock.monotonic()) if self._timers else -1.0

    def close(self) -> None:
        """In a child that has inherited it: the parent's registrations must not be changed from here."""
        self._epoll.close()
