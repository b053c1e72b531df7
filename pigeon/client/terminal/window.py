"""Telling the other side how large the user's window is: not more often than is of use, and the last size always."""

from __future__ import annotations

from pigeon.client.tty import window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SPACING_S = 0.03
"""Between two sizes while the window is being dragged: a program cannot draw itself more often than that."""

REDRAW_S = 0.2
"""A full-screen program has this long to notice the size that makes it draw itself again."""


class WindowReports:
    """When which size is to be sent."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        """`send` gets "cols rows"."""
        self._send = send
        self._sent: tuple[int, int] | None = None
        self._sent_at = 0.0
        self._due_at: float | None = None

    def changed(self, now: float) -> None:
        """The window may have another size now."""
        if self._due_at is None:
            self._due_at = max(now, self._sent_at + SPACING_S)

    def due(self, now: float) -> float | None:
        """Seconds until `report` has something to do; None if it has not."""
        return None if self._due_at is None else max(0.0, self._due_at - now)

    def report(self, now: float) -> None:
        """Send the present size, if it is due and differs from what was sent last."""
        if self._due_at is None or now < self._due_at:
            return
        self._due_at = None
        size = window_size()
        if size is not None and size != self._sent:
            self._tell(size, now)

    def make_redraw(self, now: float) -> None:
        """A size that does not change sends no SIGWINCH over there (tty_ioctl(4)), so it does for a moment."""
        size = window_size()
        if size is not None:
            self._tell((size[0], size[1] - 1 if size[1] > 1 else 2), now)
            self._due_at = now + REDRAW_S

    def _tell(self, size: tuple[int, int], now: float) -> None:
        self._sent = size
        self._sent_at = now
        self._send(b"%d %d" % size)
