"""Something that the scheduler needs fails for a while: said once when it begins, and once when it is over.

Owns only what is said. Whoever meets the trouble goes on trying, in his own time; nothing here ends a worker.
"""

from __future__ import annotations

from pigeon.wire import files
from pigeon.worker.debug import tell


class Outage:
    """`what` is a word for people. Jobs that fail apart (different directories of the share) work again apart."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failing: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether a job has failed and not worked since."""
        return bool(self._failing)

    def is_failing(self, job: str) -> bool:
        """Whether this job has failed and not worked since."""
        return job in self._failing

    def fails(self, why: str, job: str = "") -> None:
        """The job could not be done, and will be tried again."""
        if not self._failing:
            tell(f"pigeon worker: the {self._what} fails: {why}; trying on")
        self._failing.add(job)

    def works(self, job: str = "") -> None:
        """The job has been done."""
        if job in self._failing:
            self._failing.discard(job)
            if not self._failing:
                tell(f"pigeon worker: the {self._what} works again")


def words(error: OSError) -> str:
    """What failed, and where if that is known."""
    if isinstance(error, files.Refused):
        mend = f" ({error.remedy})" if error.remedy else ""
        return f"`{error.filename}` {error.strerror}{mend}"
    return f"{error.strerror or error} (`{error.filename}`)" if error.filename else str(error)
