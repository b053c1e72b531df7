"""A session's request as a worker reads it: there, not there yet, or a reason to refuse the session."""

from __future__ import annotations

from pigeon.wire import files, reading
from pigeon.wire.documents import BadDocument, Request
from pigeon.wire.names import REQUEST_NAME, SessionFiles


class Unpublished(Exception):
    """status.json or request.json is not there yet."""


def read_request(session: SessionFiles) -> tuple[Request, str | None]:
    """The request, or a stand-in and the reason why the session must be refused.

    Raises:
        Unpublished: it is not there yet.
        OSError: it could not be read now.
    """
    stand_in = Request(session.session_id, ["-"], "/")
    try:
        return reading.read_request(session), None
    except FileNotFoundError:
        raise Unpublished from None
    except BadDocument as error:
        return stand_in, str(error)
    except OSError as error:
        if files.may_pass(error):
            raise
        return stand_in, f"{REQUEST_NAME} refused: {error.strerror or error}"
