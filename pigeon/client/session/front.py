"""What a conversation has at its near end: events that come from there, and the front that gives and takes them.

A front waits for whoever uses the session (a guardian's terminal, descriptors, a program) and for the output to be
taken, and returns what came as values. It decides nothing about the session.
"""

from __future__ import annotations

import os

READ_BYTES = 1024 * 1024


class Input:
    """Bytes for the command, b"" at their end. `is_typed`: they come from a keyboard, which cannot be read later."""

    __slots__ = ("data", "is_typed")

    def __init__(self, data: bytes, *, is_typed: bool = False) -> None:
        self.data = data
        self.is_typed = is_typed


class Signal:
    """A signal that was sent to the client, for the command or for the session."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Resize:
    """The window has this size now."""

    __slots__ = ("cols", "rows")

    def __init__(self, cols: int, rows: int) -> None:
        self.cols = cols
        self.rows = rows


class Order:
    """What a program wants of the session, which it follows to the end: a signal for the command, or 0, and a client
    event for the runner (FORMAT.md, "Client events"), or ""."""

    __slots__ = ("number", "event")

    def __init__(self, number: int, event: str = "") -> None:
        self.number = number
        self.event = event


class Wish:
    """What the user wants of the session itself; `kind` is one of the names below."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


Event = Input | Signal | Resize | Order | Wish

HANG_UP = "hang up"
"""End the session: its user has left."""

GONE = "gone"
"""The user's terminal has gone: end the session, or leave it if it is to be kept."""

CLOSED = "closed"
"""As GONE, and nobody is there any more to be told of the end."""

DETACH = "detach"
"""Leave the session, which goes on."""

SUSPEND = "suspend"
"""Nothing is taken for a while; `Front.suspended` says when the session knows."""

RESUME = "resume"

TOOK = "took"
"""Output that had to wait has been taken; whether there is more may be asked at once."""


class Front:
    """The interface, and what a front does that has nothing to say. Used by one conversation, in one thread."""

    is_suspended = False

    @property
    def is_printing(self) -> bool:
        """Output that was given has not been taken as a whole; none is to be given meanwhile."""
        return False

    @property
    def is_shown(self) -> bool:
        """Output that is given now is seen: False on a terminal that is another's as yet."""
        return True

    def wait(self, timeout_s: float, *, wants_input: bool) -> list[Event]:
        """What has come, at the latest after so long. `wants_input`: what is not typed may be read now.

        Raises:
            OSError: the output cannot be written any more (BrokenPipeError: its reader has gone).
        """
        raise NotImplementedError

    def output(self, channel: str, data: bytes | memoryview) -> None:
        """Bytes of the command, of the channel `stdout`, `stderr` or `pty`. Raises OSError as `wait`.

        The memory of a view is used again once nobody has one.
        """
        raise NotImplementedError

    def notice(self, text: str, *, about: str = "notice") -> None:
        """A line that the user should know. `about`: "waiting" where it says why nothing has been started yet."""

    def progress(self, text: str) -> None:
        """What the next one, or anything else that is shown, takes the place of; "": nothing any more."""

    def explain(self, text: str) -> None:
        """A notice that has lasted, or weighs: for who is told of no other."""

    def verbose(self, text: str) -> None:
        """A line for who wants to know everything."""

    def claimed(self, worker: str) -> None:
        """A worker has taken the session."""

    def started(self) -> None:
        """The session is withdrawn no more: its command has been started, or is about to be."""

    def running(self, *, terminal: bool = False) -> None:
        """The command has been started. `terminal`: with the one that `terminal.on_terminal` asks for."""

    def stopped(self) -> None:
        """The command has been stopped, as by a terminal's key."""

    def reads_terminal(self, *, raw_output: bool) -> None:
        """The command waits for what is typed. `raw_output`: it draws as on a terminal that alters no output."""

    def over(self) -> None:
        """The command has ended, and all of its output has been given."""

    def suspended(self) -> None:
        """The session has been told of SUSPEND: no output is to be given until RESUME."""
        self.is_suspended = True

    def resumed(self) -> None:
        """The session has been told of RESUME."""
        self.is_suspended = False

    def told(self) -> None:
        """The last words of a client that leaves are on the share."""

    def typed_taken(self, count: int) -> None:
        """So many more bytes that were typed have been passed on; not said for each of them."""

    def alive(self) -> None:
        """Called every two seconds: no operation on the share hangs."""

    def answered(self) -> None:
        """The session has said something since the last call; at most ten times a second."""


def read_input(fd: int) -> list[Event]:
    """What can be read from a descriptor that poll(2) says is ready."""
    try:
        return [Input(os.read(fd, READ_BYTES))]
    except BlockingIOError:
        return []
    except OSError:
        return [Input(b"")]  # EIO: a terminal that has gone; EISDIR: no input either way
