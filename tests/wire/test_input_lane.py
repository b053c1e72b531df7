"""Input keeps its order across the lanes, and what lies there goes only when its reader needs it no more."""

from __future__ import annotations

import copy
import os
import random
from functools import partial

import pytest

from pigeon.client.session.options import Options
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.submit import Submission
from pigeon.client.session.upstream import Upstream
from pigeon.wire import files, segment_reader, segment_writer, segments
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace, SessionFiles, input_stem
from pigeon.wire.records import NUMBERED_INPUT, STDIN_EOF, Record, bulk_bytes_of, data_of, type_of
from pigeon.wire.tail import StreamReader
from tests.wire.conftest import failing_writes

START = 1024 * 1024


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_reader, "CHUNK_BYTES", 1500)
    monkeypatch.setattr(segment_writer, "MAX_FRAME_BYTES", 1000)
    monkeypatch.setattr(
        segment_writer, "SegmentWriter", partial(segment_writer.SegmentWriter, segment_bytes=4096)
    )


class Sender(Upstream):
    """A client's writer, whose peer is a runner that says what the test says. `bulk`: its claim has that feature."""

    def __init__(self, session: SessionFiles, attachment: int, *, bulk: bool = True) -> None:
        request = Request(session.session_id, ["x"], "/")
        namespace = Namespace(os.path.dirname(session.directory), "n")
        owner = OwnerState(
            Submission(namespace, session, request),
            claim_timeout_s=1,
            worker_timeout_s=1,
            attachment=attachment,
        )
        files.create(
            session.claim, b"worker_host=h\nfeatures=heartbeat,ack,attach" + (b",bulk\n" if bulk else b"\n")
        )
        for path in (session.stdin(attachment), session.control(attachment)):
            files.create(path)
        self.peer = owner
        super().__init__(session, owner, Options(), attachment, 0.0)
        self.is_started = True

    def lying(self) -> list[int]:
        return segments.numbers_in(os.listdir(self.peer.session.directory), input_stem(self.peer.attachment))


def reader_of(session: SessionFiles, attachment: int = 0) -> StreamReader:
    return StreamReader(session, input_stem(attachment), NUMBERED_INPUT)


def drain(reader: StreamReader) -> list[Record]:
    found = reader.poll()
    while reader.has_more:
        found += reader.poll()
    return found


def text_of(records: list[Record]) -> bytes:
    return b"".join(
        data_of(record) if type_of(record) == "stdin" else b"<end>"
        for record in records
        if type_of(record) in ("stdin", STDIN_EOF)
    )


@pytest.mark.parametrize("attachment", [0, 3])
def test_every_byte_in_its_order_and_bounded_space(session: SessionFiles, attachment: int) -> None:
    """Whatever is acknowledged when: what the reader still needs is there, and the rest goes."""
    sender, reader, chance = Sender(session, attachment), reader_of(session, attachment), random.Random(5)
    first = chance.randbytes(START)
    sender.send(first)
    sender.flush()
    sent, got, most = [first], text_of(drain(reader)), 0
    for _ in range(400):
        for _ in range(chance.randrange(3)):
            sent.append(chance.randbytes(chance.randrange(1, 2500)))
            sender.send(sent[-1])
        sender.flush()
        if chance.random() < 0.7:
            got += text_of(reader.poll())
        if chance.random() < 0.7:  # at once, to the last byte
            sender.peer.input_taken(reader.offset, reader.bulk_bytes)
            sender.release()
        most = max(most, len(sender.lying()))
    got += text_of(drain(reader))
    sender.end()
    sender.flush()
    assert sender.lying()
    end = drain(reader)
    assert [bulk_bytes_of(record) for record in end if type_of(record) == STDIN_EOF] == [reader.bulk_bytes]
    assert got + text_of(end) == b"".join(sent) + b"<end>"
    sender.peer.input_taken(reader.offset, reader.bulk_bytes)
    sender.release()
    assert sender.lying() == [] and 3 < most < 40
    assert os.path.getsize(session.stdin(attachment)) < START * 1.4


def test_a_segment_that_is_acknowledged_to_its_end_stays_until_its_reader_knows_the_next(
    session: SessionFiles,
) -> None:
    """The reader has had its bytes and not yet the word that the next one is there."""
    sender, reader = Sender(session, 0), reader_of(session)
    sender.send(bytes(START))
    sender.send(b"a" * 900)
    sender.flush()
    drain(reader)
    sender.send(b"b" * 4000)  # fills the first segment, the end of which is written with what follows
    bulk = sender._bulk
    assert bulk is not None
    bulk.flush()
    path = segments.path_of(session, "stdin", 1)
    with open(path, "rb") as file:
        whole = file.read()
    os.truncate(path, len(whole) - segments.FRAME_BYTES)  # as another host's cache still shows it
    assert text_of(drain(reader)) == b"b" * 4000
    sender.peer.input_taken(reader.offset, reader.bulk_bytes)
    sender.release()
    assert sender.lying() == [1, 2]
    with open(path, "wb") as file:
        file.write(whole)
    sender.send(b"c" * 10)
    sender.flush()
    assert text_of(drain(reader)) == b"c" * 10
    sender.peer.input_taken(reader.offset, reader.bulk_bytes)
    sender.release()
    assert sender.lying() == [2]


def test_a_runner_that_does_not_read_segments_gets_lines(session: SessionFiles) -> None:
    sender, reader = Sender(session, 0, bulk=False), reader_of(session)
    data = os.urandom(START * 2)
    for start in range(0, len(data), 100_000):
        sender.send(data[start : start + 100_000])
    sender.end()
    sender.flush()
    assert sender.lying() == [] and text_of(drain(reader)) == data + b"<end>"


def test_the_same_again_after_an_error(session: SessionFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, reader = Sender(session, 0), reader_of(session)
    sender.send(bytes(START))
    sender.flush()
    drain(reader)
    chance = random.Random(2)
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", failing_writes(chance))
    sent, got, failures = b"", b"", 0
    for _ in range(150):
        piece = chance.randbytes(chance.randrange(1, 900))
        sent += piece
        sender.send(piece)
        try:
            sender.flush()
        except OSError:
            failures += 1
        got += text_of(drain(reader))
    monkeypatch.setattr(os, "pwritev", real)
    sender.end()
    sender.flush()
    assert failures > 10 and got + text_of(drain(reader)) == sent + b"<end>"


def test_a_reader_that_looks_ahead_leaves_the_other_where_it_is(session: SessionFiles) -> None:
    sender, reader = Sender(session, 0), reader_of(session)
    sender.send(bytes(START))
    for _ in range(20):
        sender.send(b"x" * 700)
    sender.flush()
    found = reader.poll()
    ahead = copy.copy(reader)
    more = text_of(drain(ahead))
    assert text_of(drain(ahead)) == b""
    assert more.endswith(b"x" * 700 * 20) and text_of(found) + text_of(drain(reader)) == text_of(found) + more
