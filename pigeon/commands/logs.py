"""`pigeon logs SESSION`: the output of a session, from the share, finished or live."""

from __future__ import annotations

from collections.abc import Mapping

from pigeon import clock
from pigeon.client.session.output import NonBlockingOutput
from pigeon.client.session.session_end import is_taken_over
from pigeon.commands.arguments import Parser, add_common, add_session, current_directory, load_config
from pigeon.errors import ShareError
from pigeon.printing import say
from pigeon.report import session_view
from pigeon.report.session_choice import choose
from pigeon.report.text import clean
from pigeon.wire import files
from pigeon.wire.names import Namespace, SessionFiles
from pigeon.wire.pacing import INTERACTIVE, interval
from pigeon.wire.records import (
    EXIT,
    OUTPUT,
    STDERR,
    STDOUT,
    Record,
    channel_of,
    data_of,
    event_of,
    type_of,
)
from pigeon.wire.tail import StreamReader

TROUBLE_S = 30.0
"""A share that does not answer for this long ends the listing."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Print a session's output. Raises PigeonError."""
    parser = Parser(prog="pigeon logs", description="Print what a session has written, its stderr to stderr.")
    add_session(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the session has ended")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    session = namespace.session(choose(namespace, arguments.session, current_directory()))
    return _print(session, namespace, follow=arguments.follow)


def _print(session: SessionFiles, namespace: Namespace, *, follow: bool) -> int:
    tail = StreamReader(session, is_late=True)
    sinks = {STDOUT: NonBlockingOutput(1), STDERR: NonBlockingOutput(2)}
    news_at = failed_at = clock.monotonic()
    missed = 0
    while True:
        now = clock.monotonic()
        try:
            records = tail.poll()
            missed = _tell_missed(tail, missed)
            failed_at = now
        except FileNotFoundError:
            records = []
        except OSError as error:
            if not files.may_pass(error) or now - failed_at > TROUBLE_S:
                raise ShareError(f"`{session.stream}` cannot be read: {error.strerror}") from error
            records = []
        if records:
            news_at = now
        for record in records:
            if _take(record, sinks):
                if is_taken_over(
                    session
                ):  # the exit event may have come too late to decide (FORMAT.md, "The end")
                    _tell_end(namespace, session)
                return 0
        if not records and (not follow or _has_ended(namespace, session, tail)):
            _tell_end(namespace, session)
            return 0
        if not records:
            clock.sleep(interval(INTERACTIVE, now - news_at))


def _tell_missed(tail: StreamReader, told: int) -> int:
    """Say what is no longer there; the bytes that have been told."""
    if tail.skipped_bytes > told:
        count = (tail.skipped_bytes - told + 999_999) // 1_000_000
        say(f"pigeon: {count} MB of the output are no longer kept (`[worker] scrollback`)", stderr=True)
    return tail.skipped_bytes


def _take(record: Record, sinks: dict[str, NonBlockingOutput]) -> bool:
    """Print an output; True at the exit event."""
    if type_of(record) == OUTPUT:
        sink = sinks[STDERR if channel_of(record) == STDERR else STDOUT]
        sink.write(data_of(record))
        while sink.is_waiting:
            clock.sleep(0.01)
            sink.flush()
    return event_of(record) == EXIT


def _has_ended(namespace: Namespace, session: SessionFiles, tail: StreamReader) -> bool:
    status = session_view.view(namespace, session.session_id).status
    if status is None or not status.is_final:
        return False
    return not status.promises_more(tail.offset)


def _tell_end(namespace: Namespace, session: SessionFiles) -> None:
    """Why there is no more, where the command's own end does not tell."""
    status = session_view.view(namespace, session.session_id).status
    if status is not None and status.is_final and status.error:
        say(f"pigeon: session {session.session_id}: {clean(status.error)}", stderr=True)
