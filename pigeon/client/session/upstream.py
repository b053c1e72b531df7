"""What this client writes to the share: input and control records, heartbeats and acknowledgements.

Everything is queued and written in turns; what a failing share does not take is kept and written again.
"""

from __future__ import annotations

from pigeon.client.session.owner import OwnerState
from pigeon.client.signals import SIGINT, SIGQUIT
from pigeon.client.tty import pixel_size
from pigeon.wire import records
from pigeon.wire.files import Appender
from pigeon.wire.input_end import stdin_eof_line
from pigeon.wire.names import SessionFiles, input_stem
from pigeon.wire.pacing import HEARTBEAT_S
from pigeon.wire.records import BULK_AFTER_BYTES, MAX_DATA_BYTES, stdin_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.options import Options
    from pigeon.wire.segment_writer import SegmentWriter

WINDOW_BYTES = 16 * 1024 * 1024
"""How far input runs ahead of a command that does not read, where the runner acknowledges."""

KEYBOARD_BYTES = 64 * 1024 * 1024
"""The same for a keyboard: further, since an interrupting key behind a giant paste has to reach the runner, which finds
it there (`Inbound`). No memory holds so much: the runner leaves it in the file."""

EAGER_BYTES = 1024 * 1024
"""And ahead of a command that has not been started."""

ACK_BYTES = 8 * 1024 * 1024
EYES_ACK_BYTES = 64 * 1024
"""On a terminal, where little is to be under way when the user presses Ctrl-C (feature `ack_often`)."""
RETRY_S = 0.2
REDRAW_S = 0.2


class Upstream:
    """The writer of one client's (or attacher's) two files."""

    def __init__(
        self, session: SessionFiles, peer: OwnerState, options: Options, attachment: int, now: float
    ) -> None:
        self.is_open = True
        """False until the runner has accepted an attacher, who may not write before."""
        self.is_started = False
        """The command has been started, or was seen to run."""
        self.has_ended = False
        self.types_to_terminal = False
        """What is typed goes to the command's terminal, which is not its stdin, or has been asked for."""
        self.passed_bytes = 0
        """Keys passed on to the share since somebody has set this to 0."""
        self._keys: list[bytes] = []
        self._session = session
        self._stem = input_stem(attachment)
        self._bulk: SegmentWriter | None = None
        """What input goes into, once it goes into segments."""
        self.input = Appender(session.stdin(attachment))
        self.control = Appender(session.control(attachment))
        self.heartbeat_at = now if attachment else now + HEARTBEAT_S  # to be published is a sign of life, too
        self._peer = peer
        self._options = options
        self._erased = self._erased_keys = 0
        """Nothing is left before these bytes of the two files of what was sent or typed."""
        self._keys_end = 0
        self._has_sent = False
        self._input_seq = 0
        self._control_seq = 0
        self._acknowledged = self._acknowledged_bulk = 0
        self._bulk_from = 0
        """Where the line ends that tells the runner of the segments."""
        self._retry_at = 0.0
        self._size_at: float | None = None

    @property
    def is_stuck(self) -> bool:
        """The share has no room for what the session has to say."""
        return self._peer.is_refused_room or self._peer.finds_no_room

    @property
    def given_up(self) -> int:
        """The signal that has not been answered and cannot be, since the share has long had no room; 0: none."""
        return self._peer.interrupted if self._peer.is_held_up else 0

    # What to say

    def send(self, data: bytes) -> None:
        """Input for the command."""
        if self._options.read_only or self.has_ended:
            return
        if self._bulk is None and self.input.end >= BULK_AFTER_BYTES and not self._options.pty:
            self._begin_bulk()
        if self._bulk is not None:
            self._bulk.put(records.STDIN, data)
            return
        self._has_sent = True
        for start in range(0, len(data), MAX_DATA_BYTES):
            self.input.put(stdin_line(self._input_seq, data[start : start + MAX_DATA_BYTES]))
            self._input_seq += 1

    def _begin_bulk(self) -> None:
        """From here on input goes into segments, if the runner reads them. Keys stay in the lines, of which people read
        a terminal's session, and they come one at a time."""
        if not self._peer.takes_bulk():
            return
        from pigeon.wire.segment_writer import SegmentWriter  # few clients send as much

        # While there is room: on a share that its own input fills, a client without one could show no sign of life.
        self.heartbeat_at = 0.0
        self._bulk = SegmentWriter(self._session, self._stem)
        self.input.put(records.stdin_bulk_line(1))
        self._bulk_from = self.input.end

    def type(self, keys: bytes) -> None:
        """Input from a keyboard, b"" at its end. What is more than a window ahead of the command waits here."""
        self._keys.append(keys)
        self._pass_keys()

    def _pass_keys(self) -> None:
        while self._keys and self._takes_keys:
            keys = self._keys.pop(0)
            self.passed_bytes += len(keys)
            if self.types_to_terminal:
                self._erased_keys = self._erased_keys or self.control.end
                self._put(records.keys_line(keys))
                self._keys_end = self.control.end
            elif keys:
                self.send(keys)
            else:
                self.end()

    @property
    def _takes_keys(self) -> bool:
        """More of what was typed may be passed on now."""
        if self.types_to_terminal:
            return self._keys_end - max(self._erased_keys, self._peer.keys_acknowledged) < EAGER_BYTES
        return self._has_room(KEYBOARD_BYTES, KEYBOARD_BYTES)

    def _has_room(self, window: int, unstarted: int) -> bool:
        """Whether the command is less than so much behind; `unstarted`: before it has been started."""
        ahead = self.input.end + self._bulk_bytes - sum(self._peer.input_acknowledged)
        if not self.is_started:
            return ahead < unstarted
        return ahead < window or not self._peer.acknowledges()

    def end(self) -> None:
        """The end of the input."""
        if not self.has_ended and not self._options.read_only:
            self.has_ended = True
            if self._bulk is not None:
                self._bulk.put_mark()
            self.input.put(stdin_eof_line(self._input_seq, self._bulk_bytes))

    @property
    def _bulk_bytes(self) -> int:
        """Input in segments, written or queued, removed ones included."""
        return self._bulk.end if self._bulk is not None else 0

    @property
    def _queued_input(self) -> int:
        return self.input.queued_bytes + (self._bulk.queued_bytes if self._bulk is not None else 0)

    def release(self) -> None:
        """Remove what the command has taken of the input: a password is not to lie there any longer."""
        lines, bulk = self._peer.input_acknowledged
        self._erase(lines, self._peer.keys_acknowledged)
        if self._bulk is None:
            return
        self._bulk.release(bulk)
        if self.has_ended and lines >= self.input.end:
            self._bulk.clear()

    def clear(self) -> None:
        """The command has ended: nobody reads the input any more."""
        if self._options.read_only:
            return
        if self._keys_end or self._has_sent:
            self._erase(self.input.offset, min(self._keys_end, self.control.offset))
        if self._bulk is not None:
            self._bulk.clear()

    def ended_before(self, written_bytes: int) -> None:
        """The end of the input was published with the session, in so many bytes of its file."""
        self.has_ended = True
        self._input_seq = 1
        self.input.offset = written_bytes

    def _erase(self, lines: int, keys: int) -> None:
        from pigeon.wire.erasing import erase

        try:
            if lines > self._erased and self._has_sent:
                erase(self.input.path, self._erased, lines)
                self._erased = lines
            if keys > self._erased_keys:
                erase(self.control.path, self._erased_keys, keys)
                self._erased_keys = keys
        except OSError:
            pass  # at the next turn, or by whoever ends the session

    def say(self, event: str) -> None:
        """A `client` record."""
        self._put(records.client_line(event))

    def ask_for_company(self, session_id: str) -> None:
        """To be run beside that session, which has the directory: they are of one job, and wait for each other."""
        self._put(records.client_line(records.BESIDE, session_id))

    def signal(self, number: int) -> None:
        """A signal for the command."""
        if number in (SIGINT, SIGQUIT):
            self._peer.interrupted = number
        self._put(records.signal_line(self._control_seq, number))
        self._control_seq += 1

    def size(self, cols: int, rows: int) -> None:
        """The terminal has this size now."""
        self._put(records.resize_line(self._control_seq, cols, rows, pixel_size()))
        self._control_seq += 1

    def redraw(self, now: float) -> None:
        """Make a full-screen program draw itself again: a size that does not change sends no SIGWINCH, so it does."""
        if self._options.pty and self._options.window is not None:
            cols, rows = self._options.window
            self.size(cols, rows - 1 if rows > 1 else rows + 1)
            self._size_at = now + REDRAW_S

    def acknowledge(self, printed: tuple[int, int], base_bytes: int = 0, *, at_least: int = 0) -> None:
        """So much has been printed: everything before this byte of stream.jsonl, and so many bytes of segments; and of
        these `base_bytes` in such as are full and go by it."""
        at_least = at_least or (EYES_ACK_BYTES if self._options.pty else ACK_BYTES)
        if self._acknowledged_bulk <= base_bytes < printed[1] and base_bytes:
            at_least = 1
        if sum(printed) - self._acknowledged >= at_least:
            self._acknowledged, self._acknowledged_bulk = sum(printed), printed[1]
            self._put(records.ack_line(*printed))

    def _put(self, line: bytes) -> None:
        if not self._options.read_only:
            self.control.put(line)

    # When

    def wants_input(self) -> bool:
        """Whether more may be read from stdin now."""
        if self.has_ended or not self.is_open or self._queued_input >= EAGER_BYTES:
            return False
        return self._has_room(WINDOW_BYTES, EAGER_BYTES)

    def due(self, now: float) -> list[float]:
        """Seconds until something has to be written; empty if nothing has."""
        if not self.is_open:
            return []
        waits = [self.heartbeat_at - now]
        if self._keys and self._takes_keys:
            waits.append(self._retry_at - now)
        if self._queued_input or self.control.queued_bytes:
            waits.append(self._retry_at - now)
        if self._size_at is not None:
            waits.append(self._size_at - now)
        return waits

    def write(self, now: float, printed: tuple[int, int], base_bytes: int = 0) -> bool:
        """Write what is queued, and what is due; whether there was anything. `printed`: bytes of each of the two lanes;
        `base_bytes`: as of `acknowledge`.

        Raises:
            OSError: the share did not take it; it is written at a later turn.
        """
        if not self.is_open or now < self._retry_at:
            return False
        self._pass_keys()
        if self._size_at is not None and now >= self._size_at and self._options.window is not None:
            self._size_at = None
            self.size(*self._options.window)
        if now >= self.heartbeat_at:
            self.heartbeat_at = now + HEARTBEAT_S
            self._put(records.heartbeat_line())
            self.acknowledge(printed, at_least=1)
        self.acknowledge(printed, base_bytes)
        if not self.control.queued_bytes and not self._queued_input:
            return False
        self._retry_at = now + RETRY_S
        self.flush()
        self._retry_at = 0.0
        return True

    def flush(self) -> None:
        """Write what is queued now, control first. Raises OSError."""
        self._flush_lines(self.control)
        if self._bulk is not None:
            self._bulk.begin()
            self.input.flush_first(self._bulk_from - self.input.offset)
            self._bulk.flush()  # before the line that tells of its end
        self._flush_lines(self.input)

    def _flush_lines(self, lines: Appender) -> None:
        try:
            lines.flush()
        except OSError as error:
            if self._bulk is None or not self._bulk.make_room(error):
                raise
            lines.flush()
