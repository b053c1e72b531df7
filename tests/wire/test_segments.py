"""The bulk lane's files: every byte once and in order, whatever part of a write the reader can see."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.errors import DamagedSession
from pigeon.wire import files, segment_reader, segment_writer, segments
from pigeon.wire.names import SessionFiles
from pigeon.wire.segment_reader import SegmentReader
from pigeon.wire.segment_writer import SegmentWriter
from pigeon.wire.segments import FRAME_BYTES, HEADER_BYTES
from tests.wire.conftest import failing_writes

Piece = tuple[str, bytes | memoryview]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few kilobytes, frames and looks to match."""
    monkeypatch.setattr(segment_writer, "MAX_FRAME_BYTES", 1000)
    monkeypatch.setattr(segment_reader, "CHUNK_BYTES", 1500)


def joined(found: list[Piece]) -> bytes:
    return b"".join(data for _, data in found)


def drain(reader: SegmentReader) -> list[Piece]:
    """Everything that has arrived."""
    found = reader.poll()
    while reader.has_more:
        found += reader.poll()
    return found


def lying(session: SessionFiles) -> list[int]:
    return segments.numbers_in(os.listdir(session.directory), "stream")


@pytest.mark.usefixtures("small")
def test_what_is_written_is_read_across_segments(session: SessionFiles) -> None:
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    reader = SegmentReader(session, "stream", 1)
    chance = random.Random(1)
    sent, got = [], []
    for _ in range(60):
        for _ in range(chance.randrange(3)):
            piece = (chance.choice(["stdout", "stderr"]), chance.randbytes(chance.randrange(1, 2500)))
            sent.append(piece)
            writer.put(*piece)
        writer.flush()
        if writer.number:
            got += drain(reader)
    for channel in ("stdout", "stderr"):
        assert joined([p for p in got if p[0] == channel]) == joined([p for p in sent if p[0] == channel])
    assert [channel for channel, _ in got if got] and writer.number > 5
    assert reader.total == writer.end == sum(len(data) for _, data in sent)


@pytest.mark.usefixtures("small")
def test_what_has_been_acknowledged_goes_but_for_what_is_kept(session: SessionFiles) -> None:
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    for _ in range(40):
        writer.put("pty", b"x" * 1000)
        writer.flush()
    assert len(lying(session)) == writer.number > 7
    writer.release(0, keep_bytes=0)
    assert len(lying(session)) == writer.number and writer.lying_bytes == 40_000
    writer.release(40_000, keep_bytes=10_000)
    kept = lying(session)
    assert kept[-1] == writer.number and 10_000 <= writer.lying_bytes < 10_000 + 2 * 4096
    late = SegmentReader(session, "stream", kept[0])  # one who looks only now
    assert len(joined(drain(late))) == writer.lying_bytes and late.total == 40_000
    writer.release(40_000, keep_bytes=0)
    last = lying(session)
    assert last == [writer.number - 1, writer.number]  # its reader may not know yet that one follows
    writer.put("pty", b"x")
    writer.flush()
    writer.release(40_001, keep_bytes=0)
    assert lying(session) == [writer.number]
    writer.clear()
    assert lying(session) == [] and writer.lying_bytes == 0


def test_the_same_bytes_go_to_the_same_place_after_an_error(
    session: SessionFiles, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    reader = SegmentReader(session, "stream", 1)
    chance = random.Random(2)
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", failing_writes(chance))
    sent, got, failures = [], [], 0
    for _ in range(200):
        piece = chance.randbytes(chance.randrange(1, 900))
        sent.append(piece)
        writer.put("stdout", piece)
        try:
            writer.flush()
        except OSError:
            failures += 1
        if os.path.exists(segments.path_of(session, "stream", 1)):
            got += drain(reader)
    monkeypatch.setattr(os, "pwritev", real)
    writer.flush()
    got += drain(reader)
    assert failures > 20 and writer.number > 10, (failures, writer.number)
    assert joined(got) == b"".join(sent)


@given(st.data())
def test_no_view_of_a_half_arrived_write_gives_a_wrong_byte(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Another host's cache: the size may be old, and any page may still be the old one or zeros."""
    directory = tmp_path_factory.mktemp("view")
    session = SessionFiles(str(directory), "1700000000000-0123456789ab")
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    sent = data.draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=12))
    for piece in sent:
        writer.put("stdout", piece)
        writer.flush()
    path = segments.path_of(session, "stream", 1)
    with open(path, "rb") as file:
        whole = file.read()
    reader, got = SegmentReader(session, "stream", 1), b""
    for _ in range(data.draw(st.integers(0, 4))):
        seen = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
        for start in range(0, len(seen), 64):
            if data.draw(st.integers(0, 5)) == 0:
                seen[start : start + 64] = bytes(len(seen[start : start + 64]))
        with open(path, "wb") as file:
            file.write(seen)
        got += joined(drain(reader))
        assert b"".join(sent).startswith(got)
    with open(path, "wb") as file:
        file.write(whole)
    assert got + joined(drain(reader)) == b"".join(sent)


def test_what_stays_wrong_is_damage(session: SessionFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    for piece in (b"good", b"bad"):
        writer.put("stdout", piece)
        writer.flush()
    path = segments.path_of(session, "stream", 1)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    now = [0.0]
    monkeypatch.setattr(segment_reader, "monotonic", lambda: now[0])
    reader = SegmentReader(session, "stream", 1)
    assert reader.poll() == [("stdout", b"good")]
    for at in (1.0, 29.0):
        now[0] = at
        assert reader.poll() == []
    now[0] = 31.0
    with pytest.raises(DamagedSession) as caught:
        reader.poll()
    assert caught.value.offset == HEADER_BYTES + FRAME_BYTES + len(b"good")


def test_a_foreign_segment_is_refused(session: SessionFiles) -> None:
    os.symlink("/etc/passwd", segments.path_of(session, "stream", 1))
    with pytest.raises(files.Refused):
        SegmentReader(session, "stream", 1).poll()
    os.unlink(segments.path_of(session, "stream", 1))
    writer = SegmentWriter(session, "stream", segment_bytes=4096)
    writer.put("stdout", b"x")
    writer.flush()
    os.chmod(segments.path_of(session, "stream", 1), 0o622)
    writer.put("stdout", b"y")
    with pytest.raises(files.Refused):
        writer.flush()


def test_what_was_read_is_not_written_over_while_somebody_has_it(session: SessionFiles) -> None:
    """Large payloads are views; their memory is used again when the last one has gone, and not before."""
    writer, reader = SegmentWriter(session, "stream"), SegmentReader(session, "stream", 1)
    kept: list[Piece] = []
    sent = b""
    for number in range(40):
        data = bytes([number]) * 900_000
        writer.put("stdout", data)
        writer.flush()
        found = drain(reader)
        assert joined(found) == data
        if number % 3 == 0:
            kept += found
            sent += data
    assert any(isinstance(piece, memoryview) for _, piece in kept)
    assert joined(kept) == sent
    assert len(reader._buffers._kept) <= segment_reader.MAX_BUFFERS
    kept.clear()
    found.clear()
    before = len(reader._buffers._kept)
    for _ in range(10):
        writer.put("stdout", b"x" * 900_000)
        writer.flush()
        drain(reader)
    assert len(reader._buffers._kept) == before


def test_only_whole_names_are_segments() -> None:
    names = [
        "stream.2.bulk",
        "stream.10.bulk",
        "stream.bulk",
        "stream.x.bulk",
        "stdin.1.bulk",
        "stream.1.bulk.x",
    ]
    assert segments.numbers_in(names, "stream") == [2, 10]
