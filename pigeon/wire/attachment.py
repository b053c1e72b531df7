"""Becoming the client of a session that another started, or a visitor that gives orders (FORMAT.md, "Attach")."""

from __future__ import annotations

from pigeon.wire import exclusive, files
from pigeon.wire.documents import BULK, JOB_CONTROL
from pigeon.wire.files import Appender
from pigeon.wire.names import SessionFiles, attachment_number, new_token
from pigeon.wire.records import VISITOR, client_line, heartbeat_line


class Attachment:
    """The files of the n-th attacher, made by this process and written by nobody else."""

    def __init__(self, number: int, control: Appender) -> None:
        self.number = number
        self.control = control


def create(session: SessionFiles, *, visitor_records: bytes = b"") -> Attachment:
    """Take the next free number. Raises OSError.

    `visitor_records`: what a visitor wants done; the runner does it and goes on listening to its client.
    """
    number = max(map(attachment_number, files.list_names(session.directory)), default=0)
    while True:
        number += 1
        try:
            files.create(session.stdin(number))
        except FileExistsError:
            continue
        first = (
            client_line(VISITOR) + visitor_records if visitor_records else heartbeat_line((BULK, JOB_CONTROL))
        )
        # Whole from the start: an empty one may be taken for an attacher's, though a visitor makes it.
        if not exclusive.try_make(session, session.control(number), new_token(), first):
            continue
        return Attachment(number, Appender(session.control(number), len(first)))
