"""Reading a session's request and status: there, absent, bad, or not to be had now.

The one reader of these files. It says which of the four it is, and nothing of what follows from that: a session that is
refused, retried or passed over is its caller's business.
"""

from __future__ import annotations

import errno

from pigeon.wire import files
from pigeon.wire.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_REQUEST_BYTES,
    BadDocument,
    Request,
    UntrustedDocument,
)
from pigeon.wire.names import REQUEST_NAME, STATUS_NAME, SessionFiles
from pigeon.wire.request_reading import parse_request
from pigeon.wire.states import Status, parse_status


def read_request(session: SessionFiles) -> Request:
    """What is to be run.

    Raises:
        FileNotFoundError: absent: not published yet, or removed.
        BadDocument: bad: it is complete, and will never be understood (UntrustedDocument: or must not be).
        OSError: it cannot be said now, though files.may_pass may tell that it never will.
    """
    data = _read(session.request, REQUEST_NAME, MAX_REQUEST_BYTES, one_link=True)
    return parse_request(data, session.session_id)


def read_status(session: SessionFiles) -> Status:
    """What is published of it. Raises as `read_request`."""
    return parse_status(_read(session.status, STATUS_NAME, MAX_DOCUMENT_BYTES), session.session_id)


def known_status(session: SessionFiles) -> Status | None:
    """The same for who acts on an end only: None if there is none that can be understood.

    Raises:
        OSError: it may be there, and cannot be read now.
    """
    try:
        return read_status(session)
    except BadDocument:
        return None
    except OSError as error:
        if files.may_pass(error):
            raise
        return None


def is_final(session: SessionFiles) -> bool:
    """Whether the session has an end. Raises OSError as `known_status`."""
    status = known_status(session)
    return status is not None and status.is_final


def _read(path: str, name: str, limit: int, *, one_link: bool = False) -> bytes:
    try:
        return files.read(path, limit, one_link=one_link)
    except files.Refused as error:
        raise UntrustedDocument(name, error.strerror or str(error)) from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise BadDocument(f"{name}: {error.strerror}") from error
        raise
