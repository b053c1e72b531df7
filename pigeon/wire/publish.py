"""Replacing status.json once it is published: whatever dies when, the first final status stays (FORMAT.md, "The end").

The status decides, and a rename by a killed process, or one whose reply was lost, may be carried out much later. So
each who replaces it has one temporary name for all his attempts, makes that file first, and only then looks who else is
at work. The owner gives way to `takeover.claim`. Whoever ends somebody else's session unlinks everybody's temporary
files but his own, so that no late rename finds its source, and then looks whether there is an end already.
"""

from __future__ import annotations

import errno
import os

from pigeon import clock
from pigeon.backoff import Backoff
from pigeon.wire import files
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, MAX_REQUEST_BYTES, BadDocument
from pigeon.wire.names import TAKEOVER_NAME, TEMPORARY_PREFIX, SessionFiles
from pigeon.wire.reading import known_status
from pigeon.wire.request_reading import blanked
from pigeon.wire.states import Status

RESERVE_BYTES = 4096
"""No status of ours is longer."""

_ATTEMPTS = 5
"""Two who end one session may unlink each other's file; they wait for random times, so one soon gets through."""


class OwnStatus:
    """status.json for the one who owns the session. `token`: the caller's own, the same in each attempt."""

    __slots__ = ("_has_reserve", "_reserve", "_session", "_temporary")

    def __init__(self, session: SessionFiles, token: str) -> None:
        self._session = session
        self._temporary = f"{session.directory}/{TEMPORARY_PREFIX}{token}"
        self._reserve = f"{self._temporary}-reserve"
        self._has_reserve = False

    def reserve(self) -> None:
        """Take the room that the last status needs, so that a share filled by this very session lets it end.

        Raises:
            OSError: there is none.
        """
        files.create_anew(self._reserve, bytes(RESERVE_BYTES))
        self._has_reserve = True

    def release(self) -> None:
        """Give it back: before a publication that failed for want of room is tried again, and at the end."""
        if self._has_reserve:
            self._has_reserve = False
            files.remove(self._reserve)

    def publish(self, data: bytes) -> bool:
        """Put `data` at status.json. False: the session has been taken over, and its status is not ours any more.

        Raises:
            OSError: it cannot be said whether it is there; call again.
        """
        files.create_anew(self._temporary, data)
        if TAKEOVER_NAME in files.list_names(self._session.directory):
            files.remove(self._temporary)
            return False
        try:
            _rename(self._temporary, self._session.status)
        except FileNotFoundError:
            # An earlier attempt was carried out only now, or somebody ends the session.
            if files.read(self._session.status, MAX_DOCUMENT_BYTES) != data:
                raise
        return True


def end(session: SessionFiles, token: str, status: Status) -> bool:
    """Publish the final `status` of somebody else's session. False: it has an end already, and that stays.

    `token` as for OwnStatus.

    Raises:
        OSError: it cannot be said; call again.
    """
    temporary = f"{session.directory}/{TEMPORARY_PREFIX}{token}"
    backoff = Backoff()
    for attempt in range(_ATTEMPTS):
        if _has_end(session, status):
            return False
        files.create_anew(temporary, status.encode())
        _unlink_others(session, temporary)
        if _has_end(session, status):
            files.remove(temporary)
            return False
        try:
            _rename(temporary, session.status)
            blank_quietly(session)
            forget_input(session)
            return True
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
        clock.sleep(backoff.failed() * (0.5 + os.urandom(1)[0] / 256))
    raise AssertionError("the last attempt returns or raises")


def _rename(temporary: str, status: str) -> None:
    """Over what is there, a directory too, which rename(2) does not replace: it goes out of the way."""
    try:
        files.rename(temporary, status)
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise
        files.rename(status, f"{temporary}-aside")
        files.rename(temporary, status)


def _unlink_others(session: SessionFiles, own: str) -> None:
    for name in files.list_names(session.directory):
        path = f"{session.directory}/{name}"
        if name.startswith(TEMPORARY_PREFIX) and path != own and not name.endswith("-aside"):
            files.remove_if_there(
                path
            )  # its maker may just have renamed it: the next look at the status tells


def _has_end(session: SessionFiles, status: Status) -> bool:
    """Whether the session is final; `status` gets what the published one tells of its beginning."""
    found = known_status(session)
    if found is None:
        return False
    status.created_at = found.created_at
    return found.is_final


def blank_request(session: SessionFiles) -> None:
    """Take the secrets out of the request of a session that needs them no more (FORMAT.md, "Secrets at rest").

    Raises:
        OSError: not done; call again.
    """
    try:
        files.replace(session.request, blanked(files.read(session.request, MAX_REQUEST_BYTES)))
    except (BadDocument, FileNotFoundError, files.Refused):
        pass  # somebody has tampered with it meanwhile; there is nothing of ours left to protect


def forget_input(session: SessionFiles) -> None:
    """Remove what is left of the input, as far as that can be done now: nobody is going to read it."""
    from pigeon.wire.erasing import erase_all
    from pigeon.wire.segments import is_of_input

    erase_all(session)

    try:
        for name in filter(is_of_input, files.list_names(session.directory)):
            files.remove(f"{session.directory}/{name}")
    except OSError:
        pass  # retention comes by later


def blank_quietly(session: SessionFiles) -> None:
    """The same, if it can be done now."""
    try:
        blank_request(session)
    except OSError:
        pass  # the end is what matters
