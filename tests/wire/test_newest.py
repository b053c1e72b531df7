"""What people are told of a session is found at the ends of its files, however long it has been quiet."""

from __future__ import annotations

import os

import pytest

from pigeon.clock import utc_seconds
from pigeon.report import newest
from pigeon.report.session_view import View
from pigeon.wire import events, segments
from pigeon.wire.files import create
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import Record, decode_line
from pigeon.wire.stream import StreamWriter

BEATS = [1, 2, 13, segments.MARKS_AT_ONCE, 3 * segments.MARKS_AT_ONCE + 5]


@pytest.mark.parametrize("beats", BEATS)
def test_days_of_quiet_cost_one_decoded_line(
    session: SessionFiles, monkeypatch: pytest.MonkeyPatch, beats: int
) -> None:
    create(session.stream)
    stream = StreamWriter(session)
    for _ in range(30):
        stream.put_output("stdout", os.urandom(65_537), takes_bulk=True)
    stream.flush()
    assert stream.bulk is not None
    since = stream.lines.offset
    for _ in range(beats):
        stream.put_event(events.heartbeat())
    stream.flush()
    with open(session.stream, "rb") as lines:
        lines.seek(since)
        expected = utc_seconds(str(decode_line(lines.readline())["ts"]))
    decoded: list[bytes] = []

    def decode(line: bytes) -> Record:
        decoded.append(line)
        return decode_line(line)

    monkeypatch.setattr(newest, "decode_line", decode)
    name = segments.name_of(segments.STREAM, 1)
    view = View(session, [name], None, None, None, modified={name: 1.0})
    assert newest.output_at(view) == expected
    assert len(decoded) == 1
    assert segments.marks_at_end(session, segments.STREAM, 1) == (beats, False)
