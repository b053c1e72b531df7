"""Output and events keep their order across the lanes, for whoever reads them, whenever he looks."""

from __future__ import annotations

import os
import random

import pytest

from pigeon.wire import events, files, segment_reader, segment_writer, segments
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import Record, data_of, event_of, message_of
from pigeon.wire.segments import FRAME_BYTES
from pigeon.wire.stream import StreamWriter
from pigeon.wire.tail import StreamReader, Tail


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_reader, "CHUNK_BYTES", 1500)
    monkeypatch.setattr(segment_writer, "MAX_FRAME_BYTES", 1000)


@pytest.fixture
def writer(session: SessionFiles) -> StreamWriter:
    files.create(session.stream)
    return StreamWriter(session, bulk_after_bytes=2000, segment_bytes=4096)


def drain(reader: StreamReader, looks: int = 1) -> list[Record]:
    """What a few looks give, and what follows at once."""
    found: list[Record] = []
    for _ in range(looks):
        found += reader.poll()
        while reader.has_more:
            found += reader.poll()
    return found


def text_of(records: list[Record]) -> bytes:
    """Output as it is, and each told event by its name in brackets."""
    return b"".join(
        data_of(record)
        if record.get("type") == "output"
        else b"<%s>" % (message_of(record) or event_of(record)).encode()
        for record in records
        if record.get("event") not in ("bulk", "lines")
    )


def test_order_is_kept_whoever_changes_the_lane_when(session: SessionFiles, writer: StreamWriter) -> None:
    chance = random.Random(3)
    early, expected, got = StreamReader(session), b"", b""
    for number in range(300):
        if chance.random() < 0.15:
            writer.put_event(events.notice(f"e{number}"))
            expected += b"<e%d>" % number
        else:
            data = chance.randbytes(chance.randrange(1, 700))
            writer.put_output("stdout", data, takes_bulk=(number // 60) % 2 == 0)
            expected += data
        if chance.random() < 0.5:
            writer.flush()
            got += text_of(drain(early))
            assert len(got) <= len(expected)
    writer.put_event(events.exited(0, 0))
    writer.flush()
    got += text_of(drain(early, looks=5))
    assert got == expected + b"<exit>"
    assert text_of(drain(StreamReader(session), looks=5)) == got  # one who reads it all at the end
    assert early.offset == os.path.getsize(session.stream) == writer.lines.offset
    assert early.bulk_bytes == writer.bulk_bytes > 20_000


def test_an_event_is_not_told_before_the_bytes_in_front_of_it(
    session: SessionFiles, writer: StreamWriter
) -> None:
    """The lines have arrived, the segment's last page has not."""
    writer.put_output("stdout", b"x" * 3000, takes_bulk=False)
    writer.put_output("stdout", b"y" * 500, takes_bulk=True)
    writer.put_event(events.exited(0, 0))
    writer.flush()
    path = segments.path_of(session, "stream", 1)
    with open(path, "rb") as file:
        whole = file.read()
    reader = StreamReader(session)
    os.truncate(path, len(whole) - FRAME_BYTES - 1)  # the mark that stands for `exit`, and a byte
    assert text_of(drain(reader, looks=5)) == b"x" * 3000
    assert reader.offset < writer.lines.offset
    with open(path, "wb") as file:
        file.write(whole)
    assert text_of(drain(reader, looks=5)) == b"y" * 500 + b"<exit>"
    assert reader.offset == writer.lines.offset


def test_a_late_reader_gets_what_is_kept_and_knows_what_it_missed(
    session: SessionFiles, writer: StreamWriter
) -> None:
    early = StreamReader(session)
    for number in range(50):
        writer.put_output("pty", b"%05d" % number * 200, takes_bulk=True)
        writer.flush()
        assert writer.bulk is None or drain(early, looks=3)
        if writer.bulk is not None:
            writer.bulk.release(early.bulk_bytes, keep_bytes=8000)
    assert writer.bulk is not None
    late = StreamReader(session, is_late=True)
    shown = text_of(drain(late, looks=5))
    assert late.skipped_bytes == writer.bulk.released > 10_000
    assert shown.endswith(b"00049" * 200) and shown.startswith(b"00000" * 200)
    assert late.bulk_bytes == writer.bulk_bytes
    assert len(shown) == 50 * 1000 - late.skipped_bytes


def test_a_segment_that_is_removed_under_a_late_reader(session: SessionFiles, writer: StreamWriter) -> None:
    def write(count: int) -> None:
        for _ in range(count):
            writer.put_output("pty", b"z" * 1000, takes_bulk=True)
            writer.flush()

    write(10)
    late = StreamReader(session, is_late=True)
    before = len(text_of(drain(late, looks=3)))
    write(30)
    assert writer.bulk is not None
    writer.bulk.release(writer.bulk.end, keep_bytes=5000)
    after = len(text_of(drain(late, looks=3)))
    assert before + after + late.skipped_bytes == 40_000 and late.skipped_bytes > 10_000


def test_the_client_itself_waits_for_a_segment_that_it_cannot_see(
    session: SessionFiles, writer: StreamWriter
) -> None:
    writer.put_output("stdout", b"x" * 3000, takes_bulk=True)
    writer.put_output("stdout", b"y" * 300, takes_bulk=True)
    writer.flush()
    path = segments.path_of(session, "stream", 1)
    os.rename(path, f"{path}.hidden")
    reader = StreamReader(session)
    assert text_of(reader.poll()) == b"x" * 3000
    with pytest.raises(FileNotFoundError):
        reader.poll()
    os.rename(f"{path}.hidden", path)
    assert text_of(reader.poll()) == b"y" * 300


def test_at_a_change_of_lanes_there_is_more_to_read(session: SessionFiles, writer: StreamWriter) -> None:
    """Whoever reads until there is nothing more, as an attacher does, must not stop there."""
    for takes_bulk in (True, True, False):
        writer.put_output("stdout", b"x" * 3000, takes_bulk=takes_bulk)
    writer.flush()
    assert text_of(drain(StreamReader(session, is_late=True))) == b"x" * 9000


def test_a_reader_that_does_not_know_the_lane_reads_its_lines(
    session: SessionFiles, writer: StreamWriter
) -> None:
    for takes_bulk in (True, True, False):
        writer.put_output("stdout", b"x" * 3000, takes_bulk=takes_bulk)
    writer.put_event(events.exited(0, 0))
    writer.flush()
    kinds = [str(r.get("event", r["type"])) for r in Tail(session.stream, ("output",)).poll()]
    assert kinds == ["output", "bulk", "lines", "output", "exit"]
