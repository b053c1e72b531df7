"""The runner's end of a session's output and events, whichever lane carries the bytes (FORMAT.md, "Bulk").

It begins with JSON lines. When the output goes over to segments, or back, an event says so; while it goes to the
segments, a mark in them stands for each event, so that readers (`StreamReader`) know the order of all.
"""

from __future__ import annotations

from binascii import b2a_base64

from pigeon.clock import utc_text
from pigeon.wire import events
from pigeon.wire.files import Appender
from pigeon.wire.jsontext import CHECKS
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import BULK_AFTER_BYTES, MAX_DATA_BYTES, OUTPUT, RECORDS, check_payload
from pigeon.wire.segment_writer import SEGMENT_BYTES, SegmentWriter


def output_line(seq: int, channel: str, data: bytes) -> bytes:
    """An `output` record. Written by concatenation: the general encoder would scan the payload once more."""
    line = b'{"channel":"%s","data_b64":"%s","seq":%d,"ts":"%s","type":"output"}\n' % (
        channel.encode(),
        b2a_base64(data, newline=False),
        seq,
        utc_text().encode(),
    )
    if CHECKS:
        check_payload(line, RECORDS["stream.jsonl"][OUTPUT], seq, data)
    return line


class StreamWriter:
    """The runner's end: output and events are queued in their order, and `flush` writes both lanes."""

    __slots__ = (
        "lines",
        "bulk",
        "_session",
        "_bulk_after_bytes",
        "_segment_bytes",
        "_seq",
        "_is_bulk",
        "_told_at",
    )

    def __init__(
        self,
        session: SessionFiles,
        offset: int = 0,
        *,
        bulk_after_bytes: int = BULK_AFTER_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """`offset`: where stream.jsonl ends. `bulk_after_bytes`: how long that is when segments begin. `segment_bytes`:
        what makes a segment full."""
        self._bulk_after_bytes = bulk_after_bytes
        self._segment_bytes = segment_bytes
        self.lines = Appender(session.stream, offset)
        self.bulk: SegmentWriter | None = None
        """None until output has gone into a segment."""
        self._session = session
        self._seq = 0
        self._is_bulk = False
        self._told_at = 0
        """Where the line ends that tells the reader of the segments."""

    @property
    def queued_bytes(self) -> int:
        """Bytes of both lanes that have not been written."""
        return self.lines.queued_bytes + (self.bulk.queued_bytes if self.bulk else 0)

    @property
    def bulk_bytes(self) -> int:
        """Payload bytes in segments, written or queued, removed ones included."""
        return self.bulk.end if self.bulk else 0

    @property
    def lying_bytes(self) -> int:
        """Bytes that lie on the share for this stream, or soon will."""
        return self.lines.end + (self.bulk.lying_bytes if self.bulk else 0)

    def put_output(self, channel: str, data: bytes, *, takes_bulk: bool) -> None:
        """Queue output. `takes_bulk`: whoever reads now knows segments."""
        if takes_bulk != self._is_bulk and (not takes_bulk or self.lines.end >= self._bulk_after_bytes):
            self._change_lane()
        if self._is_bulk and self.bulk is not None:
            self.bulk.put(channel, data)
            return
        for start in range(0, len(data), MAX_DATA_BYTES):
            self.lines.put(output_line(self._seq, channel, data[start : start + MAX_DATA_BYTES]))
            self._seq += 1

    def put_event(self, event: bytes) -> None:
        """Queue an event (events.py) behind all output queued so far."""
        if self._is_bulk and self.bulk is not None:
            self.bulk.put_mark()
        self.lines.put(event)

    def _change_lane(self) -> None:
        if self._is_bulk:
            self.put_event(events.lines())
        else:
            if self.bulk is None:
                self.bulk = SegmentWriter(self._session, "stream", segment_bytes=self._segment_bytes)
            self.put_event(events.bulk(max(1, self.bulk.number)))
            self._told_at = self.lines.end
        self._is_bulk = not self._is_bulk

    def flush(self) -> None:
        """Write everything: segments first, so that whoever reads an event finds what stands before it. But who is to
        make room by reading the segments must know of them.

        Raises:
            OSError: nothing is lost or counted as written; call again.
        """
        if self.bulk is not None:
            self.bulk.begin()
            self.lines.flush_first(self._told_at - self.lines.offset)
            self.bulk.flush()
        try:
            self.lines.flush()
        except OSError as error:
            if self.bulk is None or not self.bulk.make_room(error):
                raise
            self.lines.flush()

    def close(self) -> None:
        """Nothing more will be written."""
        if self.bulk is not None:
            self.bulk.close()
