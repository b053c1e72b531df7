"""What one session, worker file or row holds costs that one only: what reading it raises is said once and passed over.

Errors that are foreseen have their own handling where they are met; here is what nobody has foreseen, which must not
end a worker that serves others.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from pigeon.errors import JournalError
from pigeon.worker.debug import tell

Result = TypeVar("Result")

MOST_SAID = 1000
"""So many that were passed over are remembered."""


class Guard:
    """`what` is a word for people: the kind of thing that is looked at. `foreseen`: what is raised to the caller."""

    def __init__(self, what: str, *foreseen: type[Exception]) -> None:
        self._what = what
        self._foreseen: tuple[type[Exception], ...] = (OSError, JournalError, MemoryError, *foreseen)
        self._said: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        """It was passed over."""
        return name in self._said

    def run(self, name: str, look: Callable[[], Result]) -> Result | None:
        """What `look` returns; None if it could not be understood at all.

        Raises:
            OSError, JournalError, MemoryError: what concerns more than this one; and what is foreseen.
        """
        try:
            return look()
        except self._foreseen:
            raise
        except Exception as error:
            if name not in self._said:
                at = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{at.filename.rpartition('/')[2]}:{at.lineno}"
                why = f"{type(error).__name__}: {error}"[:200]
                tell(
                    f"pigeon worker: {self._what} {name} is left alone: it cannot be understood ({why}, {where})"
                )
            self._said[name] = None
            for old in list(self._said)[:-MOST_SAID]:
                del self._said[old]
            return None
