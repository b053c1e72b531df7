"""Why a runner could not try its session: said to its scheduler, through one pipe that all its runners write to.

A line of text for each, short enough to be written whole (PIPE_BUF in pipe(7)). What does not fit is lost, and said
again at the next try.
"""

from __future__ import annotations

import os
import select

_MOST_BYTES = 400


class Reasons:
    """The scheduler's end. `writing` is for the runners."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def take(self) -> dict[str, str]:
        """What runners have said since the last call, by session."""
        data = b""
        try:
            while part := os.read(self._reading, select.PIPE_BUF * 16):
                data += part
        except BlockingIOError:
            pass
        lines = [line.partition(" ") for line in data.decode("utf-8", "replace").split("\n") if line]
        return {session_id: reason for session_id, _, reason in lines}


def say(writing: int, session_id: str, reason: str) -> None:
    """In a runner."""
    line = f"{session_id} {' '.join(reason.split())}".encode("utf-8", "replace")
    try:
        os.write(writing, line[:_MOST_BYTES] + b"\n")
    except OSError:
        pass  # the scheduler has gone, or does not come to reading
