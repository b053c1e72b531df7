"""A session's request as a worker reads it: there, not there yet, or a reason to refuse the session."""

from __future__ import annotations

from pigeon.wire import files
from pigeon.wire.documents import MAX_REQUEST_BYTES, BadDocument, Request, parse_request
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
        data = files.read(session.request, MAX_REQUEST_BYTES, one_link=True)
        return parse_request(data, session.session_id), None
    except FileNotFoundError:
        raise Unpublished from None
    except (files.Refused, BadDocument) as error:
        return stand_in, reason(REQUEST_NAME, error)
    except OSError as error:
        if files.may_pass(error):
            raise
        return stand_in, reason(REQUEST_NAME, error)


def reason(name: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{name} refused: {error.strerror or error}"
    return str(error)
