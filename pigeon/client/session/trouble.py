"""A share that does not work: tried again, told to the user after a while, and given up only where that is hopeless."""

from __future__ import annotations

import errno

from pigeon.client.outcome import Outcome
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TROUBLE_S = 3.0
"""What has passed by then nobody needs to hear of."""

PATIENCE_S = 60.0
"""An error that seldom passes by itself does so at times: a server that changes its exports refuses everything for a
moment, a ticket that has run out is renewed."""

NO_ROOM = {
    errno.ENOSPC: "the shared directory is full: the session is held up until there is room; nothing is lost",
    errno.EDQUOT: "your quota on the shared directory is used up: the session is held up until there is room; "
    "nothing is lost",
}
"""What the user is told, by the error's number."""


class Told:
    """What one client's user has been told of troubles that last: reading and writing mostly fail by one cause."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._lasting: dict[ShareTrouble, str] = {}

    def lasts(self, trouble: ShareTrouble, text: str) -> None:
        """Tell what no other trouble has told."""
        if text not in self._lasting.values():
            self._notice(text)
        self._lasting[trouble] = text

    def over(self, trouble: ShareTrouble) -> None:
        """Tell once all are over."""
        del self._lasting[trouble]
        if not self._lasting:
            self._notice("the shared directory works again")


class ShareTrouble:
    """Since when one kind of a client's operations has failed."""

    def __init__(self, directory: str, told: Told) -> None:
        """`directory` is named where an error does not say which file it is about."""
        self._directory = directory
        self._told = told
        self._since: float | None = None
        self.is_told = False
        """The user knows of the trouble that lasts."""

    def began(self, error: OSError, now: float) -> None:
        """An operation has failed. Raises Outcome if there is no hope that it will ever work."""
        if self._since is None:
            self._since = now
        failing_s = now - self._since
        if files.is_gone(error, failing_s) or files.is_hopeless(error, failing_s, PATIENCE_S):
            where = error.filename or self._directory
            raise Outcome(EXIT_PIGEON, f"pigeon: `{where}`: {error.strerror}", abnormal=True) from error
        if not self.is_told and now - self._since > TROUBLE_S:
            self.is_told = True
            other = f"the shared directory is having trouble: {error.strerror}; trying on"
            self._told.lasts(self, NO_ROOM.get(error.errno or 0, other))

    def over(self) -> None:
        """An operation has worked."""
        if self.is_told:
            self._told.over(self)
        self._since = None
        self.is_told = False
