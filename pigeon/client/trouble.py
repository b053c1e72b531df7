"""A share that does not work: tried again, told to the user after a while, and given up only where that is hopeless."""

from __future__ import annotations

from pigeon.client.outcome import Outcome
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TROUBLE_S = 3.0
"""What has passed by then nobody needs to hear of."""


class Trouble:
    """Since when one client's operations have failed."""

    def __init__(self, directory: str, notice: Callable[[str], None]) -> None:
        """`directory` is named where an error does not say which file it is about."""
        self._directory = directory
        self._notice = notice
        self._since: float | None = None
        self._told = False

    def began(self, error: OSError, now: float) -> None:
        """An operation has failed. Raises Outcome if it will never work."""
        if not (files.may_pass(error) or isinstance(error, FileNotFoundError)):
            where = error.filename or self._directory
            raise Outcome(EXIT_PIGEON, f"pigeon: `{where}`: {error.strerror}", abnormal=True) from error
        if self._since is None:
            self._since = now
        elif not self._told and now - self._since > TROUBLE_S:
            self._told = True
            self._notice(f"the shared directory is having trouble: {error.strerror}; trying on")

    def over(self) -> None:
        """An operation has worked."""
        if self._told:
            self._notice("the shared directory works again")
        self._since = None
        self._told = False
