"""When the guardian leaves though its pump has not ended, with which code and words. Pure: seconds are arguments."""

from __future__ import annotations

LAST_WORDS_S = 1.5
"""How long a pump that was told to leave may take to tell the other side."""

GRACE_S = 0.9
ORDERED_WORDS_S = 0.7
"""After SIGTERM or SIGHUP the command has so long to end by it, and the pump then so long to say goodbye: whoever sends
one, and whoever waits for a time limit, sees this process end within two seconds, whatever the share does."""

HUNG_UP = b"pigeon: hung up\n"
LEFT = b"pigeon: left: the session did not answer; it is told to end as soon as it can be\n"
STOPPED_WATCHING = b"pigeon: stopped watching; the session goes on\n"
"""What the user is told who leaves by an escape, by Ctrl-C three times, or by one where he only watches."""

PUMP_KILLED = (
    b"pigeon: its own process on the share was killed by signal %d\n"
    b"pigeon: hint: a command that was started runs on until the client is missed (`client_timeout`): "
    b"`pigeon sessions` finds it, `pigeon attach SESSION` comes back to it\n"
)

UNTOLD = (
    b"pigeon: the session could not be told, since the shared directory does not answer: it ends when its client is "
    b"missed (`client_timeout`); `pigeon sessions` finds it\n"
)

SHOW_CURSOR = b"\x1b[?25h"


def clean_up(off: bytes, *, wants_redraw: bool) -> bytes:
    """What puts the terminal right; the arguments as `frames.split_modes` tells them.

    A program that hides the cursor and stays on the main screen draws in place there, with the cursor anywhere in what
    it draws: the rows below go, or the shell's next lines would be written over them.
    """
    draws_in_place = SHOW_CURSOR in off and not wants_redraw
    return off + b"\r\n\x1b[J" if draws_in_place else off


class Leaving:
    """One guardian's."""

    def __init__(self) -> None:
        self.code = 0
        self.message = b""
        self.signal = 0
        """The order that made it leave."""
        self.is_told = False
        """The session knows."""
        self._until: float | None = None
        self._ordered_at: float | None = None

    @property
    def has_begun(self) -> bool:
        """The pump has been told."""
        return self._until is not None

    @property
    def is_near(self) -> bool:
        """There is something to be watched closely."""
        return self._until is not None or self._ordered_at is not None

    def begin(self, now: float, code: int, message: bytes) -> bool:
        """The user leaves. False if he has begun to already."""
        if self._until is not None:
            return False
        self._until = now + (ORDERED_WORDS_S if self.signal else LAST_WORDS_S)
        self.code, self.message = code, message
        return True

    def ordered(self, now: float, number: int) -> None:
        """SIGTERM or SIGHUP has come, and gone to the command as well."""
        if self._ordered_at is None:
            self._ordered_at, self.signal = now, number

    def is_goodbye_due(self, now: float) -> bool:
        """The command has not ended by the order."""
        return self._ordered_at is not None and self._until is None and now - self._ordered_at > GRACE_S

    def is_over(self, now: float) -> bool:
        """The pump has had its time."""
        return self._until is not None and now > self._until

    def last_words(self, said: bytes) -> bytes:
        """For the user, of a pump that did not end. `said`: what it had to say."""
        untold = UNTOLD if self.signal and not self.is_told else b""
        return (self.message or said) + untold
