"""From stdin.jsonl and control.jsonl to the command: input, end of input, signals, sizes, acknowledgements.

Input waits in a queue until the command takes it; what is more than a window stays in the file until there is room.
A key that interrupts (VINTR, VQUIT, VSUSP, while the terminal has ISIG on) overtakes both and drops them, as it does in
a terminal whose program does not read: so beyond a full queue the file is read once ahead, only to find such a key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy

from pigeon.errors import DamagedSession
from pigeon.wire.documents import BULK, size_of
from pigeon.wire.names import SessionFiles, input_stem
from pigeon.wire.pacing import Silence
from pigeon.wire.records import (
    ACK,
    CLIENT,
    HANGUP,
    HEARTBEAT,
    NUMBERED_INPUT,
    RESIZE,
    RESUMED,
    SIGNAL,
    STDIN,
    STDIN_EOF,
    SUSPENDED,
    VISITOR,
    Record,
    bulk_bytes_of,
    client_event_of,
    data_of,
    features_in,
    offset_of,
    signal_of,
    type_of,
)
from pigeon.wire.tail import StreamReader, Tail
from pigeon.worker.relay.command import Command

WINDOW_BYTES = 16 * 1024 * 1024
"""Input held for a command that does not read. A client with feature `ack` sends hardly more ahead, except keys."""

WRITE_BYTES = 256 * 1024

AWAKE_BEATS = 3
"""A suspended client that has sent so many heartbeats since is only out of the foreground."""

STOP = "stop"
"""What a visitor's HANGUP is called among the requests: it is not the client's own."""


class Inbound:
    """What one session's client sends. `attachment` is the n whose files are read; lower ones are ignored."""

    def __init__(self, session: SessionFiles, *, trace: Callable[[bytes], None] | None = None) -> None:
        self.session = session
        self._trace = trace
        self.attachment = 0
        self._features: dict[int, tuple[str, ...]] = {}
        self.input_bytes = 0
        self.signals = 0
        self.silence = Silence()
        self._is_suspended = False
        self._beats_since = 0
        self.acknowledged: int | None = None
        self.acknowledged_bulk = 0
        self.had_bulk = False
        """Input has come in segments."""
        self.takes_bulk = False
        """Whether the attacher whose files are read has said that it knows segments."""
        self.requests: list[str] = []
        self.delivered: list[int] = []
        """Signals that the command has been sent; whoever tells of them empties it."""
        self.resized: tuple[int, int, int, int] | None = None
        self._open()

    def _open(self) -> None:
        self._input = StreamReader(self.session, input_stem(self.attachment), NUMBERED_INPUT)
        self._control = Tail(self.session.control(self.attachment), ())
        self._queue: list[bytes] = []
        self._queued = 0
        self._is_searched = True
        self._ahead: StreamReader | None = None
        self._ahead_bytes = 0
        self._ends: list[tuple[int, tuple[int, int]]] = []
        self.taken = self.acknowledged_input = (0, 0)
        """Bytes of stdin.jsonl, and of segments, whose input the command has taken."""
        self.saw_eof = False
        self._eof_given = False
        self._line_is_open = False

    def switch(self, attachment: int) -> None:
        """From now on read the files of this attacher, and nothing of any lower one."""
        self.attachment = attachment
        self.silence = Silence()
        self._is_suspended = False
        self.acknowledged = None
        self.takes_bulk = BULK in self._features.get(attachment, ())
        self._open()

    def look_at(self, attachment: int, command: Command) -> str:
        """What a newcomer wants: `attacher`, `visitor` (its orders have been carried out), or "" if it says nothing.

        Raises as `poll_control`.
        """
        records = Tail(self.session.control(attachment), ()).poll()
        if not records:
            return ""
        if client_event_of(records[0]) != VISITOR:
            self._features[attachment] = features_in(records[0])
            return "attacher"
        known = len(self.requests)
        for record in records[1:]:
            self._act(record, command)
        orders = self.requests[known:]  # `pigeon stop` hangs up a client that is not its own
        self.requests[known:] = [STOP if order == HANGUP else order for order in orders]
        return VISITOR

    @property
    def has_more(self) -> bool:
        """The last look took as much input as one may, and the next may take more."""
        if self._queued >= WINDOW_BYTES:
            return self._ahead is not None and self._ahead.has_more
        return self._input.has_more and not self.saw_eof

    @property
    def may_be_silent(self) -> bool:
        """The client is suspended, and may have been stopped with all its processes (by a batch system, which stops
        them within seconds of their SIGTSTP)."""
        return self._is_suspended and self._beats_since < AWAKE_BEATS

    @property
    def cost_s(self) -> float:
        """What a look costs on this filesystem."""
        return self._control.cost_s + self._input.cost_s

    @property
    def has_input(self) -> bool:
        """Something waits for the command to read it, the end of the input included."""
        return self._queued > 0 or (self.saw_eof and not self._eof_given)

    def poll_control(self, now: float, command: Command) -> int:
        """Take new control records and act on those that cannot wait. Returns how many a user has caused.

        Raises:
            OSError: the file could not be read now.
            DamagedSession: what stands there cannot be right.
        """
        caused = 0
        records = _poll(self._control)
        self.silence.looked(now, grew=self._control.grew)
        for record in records:
            caused += self._act(record, command)
        if self.resized is not None:
            command.resize(*self.resized)
            self.resized = None
        return caused

    def _act(self, record: Record, command: Command) -> int:
        kind = type_of(record)
        if kind == SIGNAL:
            number = signal_of(record)
            if number is not None:
                command.send_signal(number)
                self.signals += 1
                self.delivered.append(number)
            return 1
        if kind == RESIZE:
            self.resized = size_of(record) or self.resized
            return 1
        if kind == ACK:
            offset = offset_of(record)
            if offset is not None:
                self.acknowledged = max(offset, self.acknowledged or 0)
                self.acknowledged_bulk = max(bulk_bytes_of(record), self.acknowledged_bulk)
        elif kind == HEARTBEAT:
            self._beats_since += 1
        elif kind == CLIENT:
            event = client_event_of(record)
            if event in (SUSPENDED, RESUMED):
                self._is_suspended = event == SUSPENDED
                self._beats_since = 0
            if event:
                self.requests.append(event)
            return 1
        return 0

    def poll_input(self, command: Command) -> bool:
        """Take new input. True if there was any. Raises as `poll_control`."""
        if self.saw_eof:
            return False
        if self._queued >= WINDOW_BYTES:
            return self._look_ahead(command)
        records = _poll(self._input)
        self._take(records, command)
        return bool(records)

    def _take(self, records: list[Record], command: Command) -> None:
        if not records:
            return
        for record in records:
            if type_of(record) == STDIN_EOF:
                self.saw_eof = True
            elif type_of(record) == STDIN:
                self._enqueue(_payload(record, self._input), command)
        self.had_bulk |= self._input.bulk_bytes > 0
        self._ends.append((self.input_bytes, (self._input.offset, self._input.bulk_bytes)))
        self._settle()

    def _look_ahead(self, command: Command) -> bool:
        """The queue is full: read on without keeping anything, and take up the input again at an interrupting key.

        What has none is read again when there is room for it.
        """
        keys = command.interrupt_keys() if command.stdin is not None else {}
        if not keys:
            self._ahead = None
            return False
        if self._ahead is None or _place(self._ahead) <= _place(self._input):
            self._ahead, self._ahead_bytes = copy(self._input), self.input_bytes
        records = self._ahead.poll()
        for position, record in enumerate(records):
            if type_of(record) != STDIN:
                continue
            data = _payload(record, self._ahead)
            if any(key in data for key in keys):
                self.input_bytes = self._ahead_bytes
                self._input, self._ahead = self._ahead, None
                self._take(records[position:], command)
                break
            self._ahead_bytes += len(data)
        return bool(records)

    def _enqueue(self, data: bytes, command: Command) -> None:
        self.input_bytes += len(data)
        if self._trace is not None:
            self._trace(data)
        if command.stdin is None:
            return  # the command has closed its input, or an earlier client has ended it
        keys = command.interrupt_keys()
        at = max((data.rfind(key) for key in keys), default=-1)
        if at >= 0 and (self._queued or command.holds_input()):
            self._overtake(keys[data[at]], data[at:], command)
            return
        if data:
            self._is_searched = bool(self._queued)
            self._queue.append(data)
            self._queued += len(data)

    def _overtake(self, number: int, data: bytes, command: Command) -> None:
        """Let the key at the start of `data` act now, in place of everything that has not been read before it.

        With the terminal emptied, the key takes its usual way: the line discipline shows it and sends its signal to
        whom it concerns.
        """
        if command.flush_terminal_input():
            self._queue = [data]
        else:
            command.send_signal(number)
            self._queue = [data[1:]] if data[1:] else []
        self._queued = sum(map(len, self._queue))
        self._is_searched = True

    def _search(self, command: Command) -> None:
        """The command takes no more now: a key that came in one piece with what is before it overtakes that."""
        self._is_searched = True
        keys = command.interrupt_keys()
        whole = b"".join(self._queue) if keys else b""
        at = max((whole.rfind(key) for key in keys), default=-1)
        if at >= 0:
            self._overtake(keys[whole[at]], whole[at:], command)

    def write(self, command: Command) -> bool:
        """Give the command what it takes without blocking. True if it took something."""
        took = False
        while self._queue and command.stdin is not None:
            data = self._queue[0]
            try:
                count = os.write(command.stdin, data[:WRITE_BYTES])
            except BlockingIOError:
                if not self._is_searched:
                    self._search(command)
                break
            except OSError:  # EPIPE, EIO: nobody reads any more, which is the command's right
                self._discard(command)
                return took
            took = True
            self._line_is_open = data[count - 1 : count] not in (b"\n", b"\r")
            self._queued -= count
            if count == len(data):
                self._queue.pop(0)
            else:
                self._queue[0] = data[count:]
        self._settle()
        if not self._queue and self.saw_eof and not self._eof_given:
            self._give_end(command)
        return took

    def _give_end(self, command: Command) -> None:
        if command.stdin is None:
            self._eof_given = True
        elif command.master is None:
            command.close_stdin()
            self._eof_given = True
        else:
            # VEOF means "hand over what is typed": behind an unfinished line it takes two (termios(3)).
            keys = command.end_of_input_keys() * (2 if self._line_is_open else 1)
            try:
                if os.write(command.stdin, keys) == len(keys):
                    self._eof_given = True
            except BlockingIOError:
                pass
            except OSError:
                self._eof_given = True

    def _discard(self, command: Command) -> None:
        self._queue.clear()
        self._queued = 0
        self._settle()
        command.close_stdin()

    def _settle(self) -> None:
        """Work out `taken`."""
        taken = self.input_bytes - self._queued
        while self._ends and self._ends[0][0] <= taken:
            self.taken = self._ends.pop(0)[1]


def _place(reader: StreamReader) -> tuple[int, int]:
    """Of two readers the one with the greater has read more."""
    return reader.offset, reader.bulk_bytes


def _payload(record: Record, tail: StreamReader) -> bytes:
    try:
        return data_of(record)
    except ValueError as error:
        raise DamagedSession(tail.path, tail.offset, str(error)) from None


def _poll(tail: Tail | StreamReader) -> list[Record]:
    """New records. An older client may make the file later; nothing has been said there then. Raises as Tail.poll."""
    try:
        return tail.poll()
    except FileNotFoundError:
        if tail.offset:
            raise
        return []
