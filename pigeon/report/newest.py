"""The newest things that a session's files say, read from their ends, however long they have become. Reads only."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pigeon import clock
from pigeon.errors import DamagedSession
from pigeon.report.session_view import View
from pigeon.wire import files, segments, states
from pigeon.wire.client_records import client_event_of, features_in
from pigeon.wire.documents import BULK
from pigeon.wire.events import MARKED_LINE
from pigeon.wire.names import attachment_number, is_control
from pigeon.wire.pacing import HEARTBEAT_S
from pigeon.wire.records import (
    ACK,
    ATTACHED,
    CLIENT,
    DETACHED,
    EVENT,
    OUTPUT,
    SUSPENDED,
    VISITOR,
    Record,
    attacher_of,
    bulk_bytes_of,
    decode_line,
    event_of,
    offset_of,
    quoted,
    stamp_of,
    type_of,
)
from pigeon.wire.tail import Tail
from pigeon.worker.relay import window

STEP_BYTES = 256 * 1024
FARTHEST_BYTES = 8 * 1024 * 1024
"""So far back from the end a search goes: days of heartbeats."""

ALIVE, SILENT = "alive", "silent"

SILENT_S = 3 * HEARTBEAT_S


def _blocks(path: str) -> Iterator[bytes]:
    """Whole lines, from the end of the file backwards, about STEP_BYTES at a time; none where it cannot be read."""
    try:
        fd = files.open_checked(path)
    except OSError:
        return
    try:
        end = size = os.fstat(fd).st_size
        rest = b""
        while end > 0 and size - end < FARTHEST_BYTES:
            begin = max(0, end - STEP_BYTES)
            data = os.pread(fd, end - begin, begin) + rest
            if end == size:
                data = data[: data.rfind(b"\n") + 1]  # what follows is still being written
            cut = data.find(b"\n") + 1 if begin else 0
            rest, end = data[:cut], begin
            yield data[cut:]
    except OSError:
        return
    finally:
        os.close(fd)


def newest_first(path: str, name: str) -> Iterator[Record]:
    """The complete records that may be of this type or event, from the end of the file backwards; none where it cannot
    be read."""
    word = quoted(name)
    for block in _blocks(path):
        for line in reversed(block.split(b"\n")):
            if word in line:
                try:
                    yield decode_line(line)
                except ValueError:
                    continue  # damage is for those to tell who print the output


def _event_from_end(path: str, number: int) -> Record | None:
    """The `number`-th event, from 1, counted from the end; days of heartbeats are not decoded for it."""
    for block in _blocks(path):
        count = block.count(MARKED_LINE)
        if count < number:
            number -= count
            continue
        lines = [line for line in block.split(b"\n") if MARKED_LINE in line]
        try:
            return decode_line(lines[-number])
        except ValueError:
            return None
    return None


def output_at(view: View) -> float | None:
    """Unix seconds of the last output, by the clock of the worker's host; None if there is none (in reach).

    Of output in segments their modification tells, unless events have come since: then it was before the first of
    these.
    """
    numbers = segments.numbers_in(view.names, segments.STREAM)
    if numbers:
        return _bulk_at(view, numbers)
    for record in newest_first(view.files.stream, OUTPUT):
        if type_of(record) == OUTPUT:
            return clock.utc_seconds(stamp_of(record))
    return None


def _bulk_at(view: View, numbers: list[int]) -> float | None:
    """As `output_at`, of what is in segments: a mark stands there for each event."""
    marks = 0
    for number in reversed(numbers):
        try:
            found, is_all = segments.marks_at_end(view.files, segments.STREAM, number)
        except OSError:
            continue
        marks += found
        if not is_all:
            if not marks:
                return view.modified[segments.name_of(segments.STREAM, number)]
            break
    record = _event_from_end(view.files.stream, max(1, marks))
    return None if record is None else clock.utc_seconds(stamp_of(record))


def output_quiet_s(view: View) -> float | None:
    """Seconds without output, of a session that runs: for people only, and no more than it has been there."""
    if view.state != states.RUNNING:
        return None
    at = output_at(view)
    if at is None:
        at = clock.utc_seconds(view.status.started_at or "") if view.status else None
    return None if at is None else min(max(0.0, clock.wall() - at), view.age_s())


def present_attachment(view: View) -> int:
    """The n of the client that has spoken last; visitors, who only give orders, do not count."""
    spoke = [(at, attachment_number(name)) for name, at in view.modified.items() if is_control(name)]
    for _, number in sorted(spoke, reverse=True):
        if VISITOR not in map(client_event_of, newest_first(view.files.control(number), VISITOR)):
            return number
    return 0


def client_state(view: View) -> str | None:
    """What is known of the one who is, or was, at the session; None for a client without heartbeats."""
    number = present_attachment(view)
    name = os.path.basename(view.files.control(number))
    for record in newest_first(view.files.control(number), CLIENT):
        if client_event_of(record) in (SUSPENDED, DETACHED):
            return client_event_of(record)
        break
    if number == 0 and (view.request is None or not view.request.sends_heartbeats):
        keeps = view.request is not None and view.request.keeps
        return DETACHED if keeps else None
    quiet = view.quiet_s(name)
    return ALIVE if quiet is not None and quiet < SILENT_S else SILENT


def read_bytes(view: View, number: int) -> int:
    """Bytes of the stream, lines and segments, that the client has printed, as far as it has said so."""
    for record in newest_first(view.files.control(number), ACK):
        if type_of(record) == ACK:
            return (offset_of(record) or 0) + bulk_bytes_of(record)
    return 0


def window_bytes(view: View, number: int, printed_bytes: int) -> int | None:
    """How far the output may run ahead of what that client has printed; None: as far as it likes."""
    request = view.request
    if number:  # every attacher acknowledges, and says first what it knows
        try:
            first = Tail(view.files.control(number), ()).poll()[:1]
        except (OSError, DamagedSession):
            return None
        return window.window_bytes(
            takes_bulk=any(BULK in features_in(one) for one in first), is_watched=False
        )
    if request is None or not request.acknowledges:
        return None
    is_watched = request.pty and request.acknowledges_often and printed_bytes > 0
    return window.window_bytes(takes_bulk=request.takes_bulk, is_watched=is_watched)


def written_bytes(view: View, stem: str = segments.STREAM) -> int:
    """Bytes, in lines and segments, that have been written of the stream, or of the input with this stem."""
    try:
        bulk = segments.written_bytes(view.files, stem, view.sizes)
    except OSError:
        bulk = 0
    return view.sizes.get(f"{stem}.jsonl", 0) + bulk


def taken_bytes(view: View, number: int) -> int:
    """Bytes of that client's input that the command has taken, as far as the runner has said so."""
    for record in newest_first(view.files.stream, EVENT):
        if event_of(record) == ACK:
            return (offset_of(record) or 0) + bulk_bytes_of(record)
        if event_of(record) == ATTACHED and attacher_of(record) == number:
            return 0
    return 0
