"""One client's input, in stdin.jsonl and segments, on its way into the queue: read no further ahead than that has room.

Beyond a full queue the file is read once ahead without keeping anything, only to find a key that overtakes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from pigeon.wire.records import STDIN, STDIN_EOF, Record, type_of
from pigeon.wire.tail import StreamReader
from pigeon.worker.relay.control import payload_in, poll_if_there
from pigeon.worker.relay.input_queue import InputQueue


class InputFile:
    """What `reader` reads. `received_bytes`: input that has come. `taken`: bytes of stdin.jsonl, and of segments, whose
    input the command has taken. `saw_end`: its last record has been read. `has_bulk`: some came in segments."""

    def __init__(
        self, reader: StreamReader, queue: InputQueue, trace: Callable[[bytes], None] | None
    ) -> None:
        self.received_bytes = 0
        self.taken = (0, 0)
        self.saw_end = False
        self.has_bulk = False
        self._queue = queue
        self._trace = trace
        self.reader = reader
        self._ahead: StreamReader | None = None
        self._ahead_bytes = 0
        self._ends: list[tuple[int, tuple[int, int]]] = []
        self._acknowledged = (0, 0)

    @property
    def has_more(self) -> bool:
        """The last look took as much input as one may, and the next may take more."""
        if self._queue.is_full:
            return self._ahead is not None and self._ahead.has_more
        return self.reader.has_more and not self.saw_end

    @property
    def cost_s(self) -> float:
        """What a look costs on this filesystem."""
        return self.reader.cost_s

    def poll(self) -> bool:
        """Take new input. True if there was any. Raises as `Control.poll`."""
        if self.saw_end:
            return False
        if self._queue.is_full:
            return self._look_ahead()
        records = poll_if_there(self.reader)
        self._take(records)
        return bool(records)

    def settle(self) -> None:
        """Work out `taken`, once the queue has given something away."""
        taken = self.received_bytes - self._queue.queued_bytes
        while self._ends and self._ends[0][0] <= taken:
            self.taken = self._ends.pop(0)[1]

    @property
    def unacknowledged_bytes(self) -> int:
        """What the command has taken and the client does not know of."""
        return sum(self.taken) - sum(self._acknowledged)

    def acknowledge(self) -> tuple[int, int]:
        """`taken`, which the client is told now."""
        self._acknowledged = self.taken
        return self.taken

    def _take(self, records: list[Record]) -> None:
        if not records:
            return
        for record in records:
            if type_of(record) == STDIN_EOF:
                self.saw_end = True
                self._queue.end()
            elif type_of(record) == STDIN:
                data = payload_in(record, self.reader)
                self.received_bytes += len(data)
                if self._trace is not None:
                    self._trace(bytes(data))
                self._queue.put(data)
        self.has_bulk |= self.reader.bulk_bytes > 0
        self._ends.append((self.received_bytes, _place(self.reader)))
        self.settle()

    def _look_ahead(self) -> bool:
        """The queue is full: read on without keeping anything, and take up the input again at an interrupting key.

        What has none is read again when there is room for it.
        """
        keys = self._queue.keys()
        if not keys:
            self._ahead = None
            return False
        if self._ahead is None or _place(self._ahead) <= _place(self.reader):
            self._ahead, self._ahead_bytes = copy(self.reader), self.received_bytes
        records = self._ahead.poll()
        for position, record in enumerate(records):
            if type_of(record) != STDIN:
                continue
            data = bytes(payload_in(record, self._ahead))
            if any(key in data for key in keys):
                self.received_bytes = self._ahead_bytes
                self.reader, self._ahead = self._ahead, None
                self._take(records[position:])
                break
            self._ahead_bytes += len(data)
        return bool(records)


def _place(reader: StreamReader) -> tuple[int, int]:
    """Of two readers the one with the greater has read more."""
    return reader.offset, reader.bulk_bytes
