"""What a running session sees of others in its directory: a takeover, newcomers, its removal; and its lock's loss.

Owns when the session directory is listed, and when the directory lock is asked about.
Promises that `must_list` stands after a pause of this process, as after trouble with the share, until a listing has
worked: the relay writes nothing meanwhile. Refuses to conclude anything from what failed, and to act on what it sees:
a hang-up, a switch to another client and every word on the stream are the relay's.
"""

from __future__ import annotations

from collections.abc import Callable

from pigeon import clock
from pigeon.wire import files
from pigeon.wire.names import SessionFiles

LIST_S = 2.0
"""Between two listings of the session directory, which show attachers and a takeover."""

ALONE_LIST_S = 0.5
"""The same while nobody is there: the next to want something is an attacher, who waits for it."""

LOCK_CHECK_S = 20.0
"""Between two questions whether the directory's lock still holds; also asked after each trouble with the share."""

ABSENCE_S = 5.0
"""After a pause this long between two looks (stopped, suspended, stalled) the owner may have been superseded."""

REMOVED_S = 3.0
"""A session whose directory has been missing for this long, though its parent can be listed, can have no end."""


class SessionWatch:
    """One session's, from monotonic `now` on. `must_list`: list before the next write. `is_alone`: it has no client."""

    def __init__(
        self, session: SessionFiles, lock_is_lost: Callable[[], bool], now: float, *, is_alone: bool
    ) -> None:
        self.must_list = False
        self._session = session
        self._lock_is_lost = lock_is_lost
        self._next_list = now + (ALONE_LIST_S if is_alone else LIST_S)
        self._next_lock_check = now + LOCK_CHECK_S
        self._lock_lost = False
        self._last_seen = clock.boottime()

    def was_absent(self) -> bool:
        """Whether this process has been away since the last call; asked at each turn of the loop."""
        seen = clock.boottime()
        absent = seen - self._last_seen > ABSENCE_S
        if absent:
            self.must_list = True
        self._last_seen = seen
        return absent

    def is_due(self, now: float) -> bool:
        """Whether to list now."""
        return self.must_list or now >= self._next_list

    def list_names(self, now: float, *, is_alone: bool) -> list[str]:
        """The names in the session directory. Raises OSError: it has to be listed still."""
        names = files.list_names(self._session.directory)
        if self.must_list:
            self._next_lock_check = now
        self.must_list = False
        self._next_list = now + (ALONE_LIST_S if is_alone else LIST_S)
        return names

    def lost_lock(self, now: float) -> bool:
        """True once: the lock of the command's directory does not hold any more."""
        if self._lock_lost or now < self._next_lock_check:
            return False
        self._next_lock_check = now + LOCK_CHECK_S
        self._lock_lost = self._lock_is_lost()
        return self._lock_lost

    def prove_removal(self, error: OSError, failing_s: float) -> bool:
        """Whether `error`, after operations have failed for so long, means that the session has been removed."""
        lasts = isinstance(error, FileNotFoundError) and failing_s > REMOVED_S
        return lasts and files.is_removed(self._session, failing_s)
