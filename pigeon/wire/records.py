"""The records of the `.jsonl` files: building, decoding, and what fields each has. No I/O.

`RECORDS`, `EVENTS` and what is optional in them are the tables of FORMAT.md, which a test compares with them; whoever
builds a record is held to them. Readers ignore types and fields that are not listed. What no client needs is elsewhere:
`events.py` and `stream.py` build what a runner writes, `client_records.py` reads what it is told.
"""

from __future__ import annotations

from pigeon.clock import utc_text
from pigeon.wire.documents import pixel_fields
from pigeon.wire.input_end import STDIN_EOF as STDIN_EOF
from pigeon.wire.jsontext import CHECKS, decode, encode

MAX_DATA_BYTES = 128 * 1024
"""Payload of one output or stdin record. A record costs about 100 bytes and 20 µs beside its payload; larger ones
only delay the first byte."""

BULK_AFTER_BYTES = 1024 * 1024
"""What a direction says first stays in the lines, where people read it; more may go into segments."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is damage: no peer writes one."""

OUTPUT, EVENT = "output", "event"
"""Types of stream.jsonl."""

STDIN, STDIN_BULK = "stdin", "stdin_bulk"
"""Of stdin.jsonl, beside STDIN_EOF."""

SIGNAL, RESIZE, HEARTBEAT, ACK, CLIENT = "signal", "resize", "heartbeat", "ack", "client"
KEYS, BLANK = "keys", "blank"
"""Of control.jsonl; a runner's HEARTBEAT and ACK are events."""

STARTED, EXIT, WORKER_ERROR, FALLBACK = "started", "exit", "worker_error", "pty_fallback_to_pipes"
CLIENT_LOST, ATTACHED, NOTICE = "client_lost", "attached", "notice"
BULK_EVENT, LINES_EVENT = "bulk", "lines"
STOPPED, READS_TERMINAL = "command_stopped", "reads_terminal"
"""Events of stream.jsonl beside HEARTBEAT and ACK."""

SUSPENDED, RESUMED, DETACHED, HANGUP = "suspended", "resumed", "detached", "hangup"
KILL, OUTPUT_CLOSED, VISITOR, BESIDE = "kill", "output_closed", "visitor", "beside"
CLIENT_EVENTS = (SUSPENDED, RESUMED, DETACHED, HANGUP, KILL, OUTPUT_CLOSED, VISITOR, BESIDE)
"""What a CLIENT record can say."""

RECORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "stream.jsonl": {
        OUTPUT: ("seq", "ts", "channel", "data_b64"),
        EVENT: ("event", "ts"),
    },
    "stdin.jsonl": {
        STDIN: ("seq", "ts", "data_b64"),
        STDIN_EOF: ("seq", "ts"),
        STDIN_BULK: ("segment", "ts"),
    },
    "control.jsonl": {
        SIGNAL: ("seq", "ts", "signal"),
        RESIZE: ("seq", "ts", "cols", "rows"),
        HEARTBEAT: ("ts",),
        ACK: ("offset", "ts"),
        CLIENT: ("event", "ts"),
        KEYS: ("ts", "data_b64"),
        BLANK: (),
    },
}
"""File -> record type -> fields beside `type`."""

EVENTS: dict[str, tuple[str, ...]] = {
    STARTED: ("pid",),
    EXIT: ("exit_code", "raw_return_code"),
    WORKER_ERROR: ("message",),
    FALLBACK: (),
    HEARTBEAT: (),
    ACK: ("offset",),
    CLIENT_LOST: ("message",),
    ATTACHED: ("n",),
    NOTICE: ("message",),
    BULK_EVENT: ("segment",),
    LINES_EVENT: (),
    STOPPED: ("signal",),
    READS_TERMINAL: ("raw_output",),
}
"""Event of stream.jsonl -> fields beside `type`, `event` and `ts`."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    STDIN_EOF: ("bulk_bytes",),
    RESIZE: ("xpixel", "ypixel"),
    HEARTBEAT: ("features",),
    ACK: ("bulk_bytes",),
    CLIENT: ("session",),
}
"""Record type -> fields that it may have besides."""

OPTIONAL_IN_EVENTS: dict[str, tuple[str, ...]] = {
    EXIT: ("hung_up", "bulk_bytes"),
    ACK: ("bulk_bytes", "control"),
    NOTICE: ("verbose",),
    STARTED: ("terminal",),
}
"""The same for events."""

NUMBERED_OUTPUT = (OUTPUT,)
NUMBERED_INPUT = (STDIN, STDIN_EOF)
"""The types whose `seq` counts from 0 without gaps in one file."""

PTY, STDOUT, STDERR = "pty", "stdout", "stderr"
CHANNELS = (PTY, STDOUT, STDERR)

Record = dict[str, object]

MARK = "mark"
"""What stands in the segments, among the names of channels, in place of an event."""

DECODED = " data"
"""Where a Tail leaves the decoded payload in a record; what a peer writes there is overwritten."""

_NAME = b"data_b64"
_PAYLOAD = b'"data_b64":"'
_CUT = b"="
"""Stands in place of a payload that was cut out; by itself it is not base64."""


# Building


def frame_record(channel: str, data: bytes | memoryview) -> Record:
    """What a reader gives out for a frame of a segment: as if it had been an `output` or `stdin` record."""
    if channel == STDIN:
        return {"type": STDIN, DECODED: data}
    return {"type": OUTPUT, "channel": channel, DECODED: data}


def stdin_line(seq: int, data: bytes) -> bytes:
    """A `stdin` record. Written by concatenation: the general encoder would scan the payload once more."""
    from binascii import b2a_base64

    line = b'{"data_b64":"%s","seq":%d,"ts":"%s","type":"stdin"}\n' % (
        b2a_base64(data, newline=False),
        seq,
        utc_text().encode(),
    )
    if CHECKS:
        check_payload(line, RECORDS["stdin.jsonl"][STDIN], seq, data)
    return line


def check_payload(line: bytes, fields: tuple[str, ...], seq: int, data: bytes) -> None:
    """With PIGEON_DEBUG=1: a line with a payload reads as what was written, with just these fields."""
    record = decode_payload_line(line, 0, len(line) - 1)
    assert record.keys() == {"type", DECODED, *fields}, line
    assert (data_of(record), record["seq"]) == (data, seq), line


def keys_line(data: bytes) -> bytes:
    """What was typed for a command whose stdin is not its terminal."""
    from binascii import b2a_base64

    line = b'{"data_b64":"%s","ts":"%s","type":"keys"}\n' % (
        b2a_base64(data, newline=False),
        utc_text().encode(),
    )
    if CHECKS:
        record = decode_payload_line(line, 0, len(line) - 1)
        assert record.keys() == {"type", DECODED, *RECORDS["control.jsonl"][KEYS]}, line
    return line


def stdin_bulk_line(segment: int) -> bytes:
    """From here on input is in segments, of which this is the first."""
    return _line("stdin.jsonl", STDIN_BULK, segment=segment)


def signal_line(seq: int, number: int) -> bytes:
    """A signal for the command. `seq` counts signals and sizes together."""
    return _line("control.jsonl", SIGNAL, seq=seq, signal=number)


def resize_line(seq: int, cols: int, rows: int, pixels: tuple[int, int] = (0, 0)) -> bytes:
    """The client's terminal has this size now. `pixels`: width and height, zeros where they are not known."""
    return _line("control.jsonl", RESIZE, seq=seq, cols=cols, rows=rows, **pixel_fields(pixels))


def heartbeat_line(features: tuple[str, ...] = ()) -> bytes:
    """The client lives. `features`: what an attacher can do, in the first record of its file."""
    return _line("control.jsonl", HEARTBEAT, **({"features": list(features)} if features else {}))


def ack_line(offset: int, bulk_bytes: int = 0) -> bytes:
    """The client has printed everything before this byte of stream.jsonl, and so many bytes of segments."""
    return _line("control.jsonl", ACK, offset=offset, **({"bulk_bytes": bulk_bytes} if bulk_bytes else {}))


def client_line(event: str, session: str = "") -> bytes:
    """What the client does or wants: one of CLIENT_EVENTS. `session`: beside which it is to run, for BESIDE."""
    assert event in CLIENT_EVENTS and bool(session) == (event == BESIDE), event
    return _line("control.jsonl", CLIENT, event=event, **({"session": session} if session else {}))


def event_line(event: str, **fields: object) -> bytes:
    """An event of stream.jsonl; `events.py` has a function for each."""
    assert _fits(fields, EVENTS[event], OPTIONAL_IN_EVENTS.get(event, ())), (event, fields)
    return _encode({"type": EVENT, "event": event, **fields, "ts": utc_text()})


def _line(file: str, kind: str, **fields: object) -> bytes:
    fields["ts"] = utc_text()
    assert _fits(fields, RECORDS[file][kind], OPTIONAL.get(kind, ())), (kind, fields)
    return _encode({"type": kind, **fields})


def _fits(fields: Record, table: tuple[str, ...], optional: tuple[str, ...]) -> bool:
    """Whether a record has the fields of its table, and besides only such as it may have."""
    return fields.keys() >= set(table) and fields.keys() <= {*table, *optional}


def _encode(record: Record) -> bytes:
    return encode(record) + b"\n"


# Reading


def decode_line(line: bytes) -> Record:
    """One complete line without its newline.

    Raises:
        ValueError: not a JSON object.
    """
    record = decode(line)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def decode_payload_line(data: bytes | bytearray, start: int, end: int) -> Record:
    """The line `data[start:end]`; a payload goes from there straight to DECODED, and is not in `data_b64`.

    What is not as any peer writes it (an escape in the base64, the field twice or inside another) is decoded like any
    JSON.

    Raises:
        ValueError: not a JSON object.
    """
    name = data.find(_NAME, start, end)
    first = name - 1 + len(_PAYLOAD)
    last = data.find(b'"', first, end) if name > start and data.startswith(_PAYLOAD, name - 1) else -1
    if last >= 0 and data.find(_NAME, last, end) < 0:
        from binascii import a2b_base64

        try:
            payload = a2b_base64(memoryview(data)[first:last], strict_mode=True)
            record = decode_line(bytes(data[start:first]) + _CUT + bytes(data[last:end]))
        except ValueError:
            pass
        else:
            if record.get("data_b64") == "=":
                record["data_b64"] = ""
                record[DECODED] = payload
                return record
    return decode_line(bytes(data[start:end]))


def data_of(record: Record) -> bytes:
    """The payload of an `output`, `stdin` or `keys` record; decoded once, where a Tail has read it.

    Raises:
        ValueError: it has none, or not in base64.
    """
    data = payload_of(record)
    return data if isinstance(data, bytes) else bytes(data)


def payload_of(record: Record) -> bytes | memoryview:
    """The same, as a view where it was read as one: for who only passes it on. Raises as `data_of`."""
    known = record.get(DECODED)
    if isinstance(known, (bytes, memoryview)):
        return known
    text = record.get("data_b64")
    if not isinstance(text, str):
        raise ValueError("no `data_b64`")
    from binascii import a2b_base64

    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError as error:  # its own kind, or a text that is not ASCII
        raise ValueError(f"`data_b64`: {error}") from None


def integer(record: Record, field: str) -> int | None:
    """An integer field, or None when it is absent or something else."""
    value = record.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(record: Record, field: str) -> str:
    """A field that is a text; "" when it is absent or something else."""
    value = record.get(field)
    return value if isinstance(value, str) else ""


def type_of(record: Record) -> str:
    """The record's type; "" if it has none."""
    kind = record.get("type")
    return kind if isinstance(kind, str) else ""


def event_of(record: Record) -> str:
    """Which event of stream.jsonl it is; "" for any other record."""
    return text(record, "event") if record.get("type") == EVENT else ""


def channel_of(record: Record) -> str:
    """One of CHANNELS, as far as its writer is one that is known."""
    return text(record, "channel")


def stamp_of(record: Record) -> str:
    """When it was written, by its writer's clock: for people only."""
    return text(record, "ts")


def message_of(record: Record) -> str:
    """The words of a WORKER_ERROR, NOTICE or CLIENT_LOST."""
    return text(record, "message")


def is_verbose(record: Record) -> bool:
    """Whether a NOTICE is only for users who have asked for more words."""
    return record.get("verbose") is True


def offset_of(record: Record) -> int | None:
    """Up to where an ACK, record or event, says that something has been taken."""
    return integer(record, "offset")


def bulk_bytes_of(record: Record) -> int:
    """Payload bytes of segments that an ACK says have been taken, or that stand before an EXIT or a STDIN_EOF."""
    return integer(record, "bulk_bytes") or 0


def turns_to_bulk(record: Record) -> bool:
    """Whether what follows is in segments."""
    return event_of(record) == BULK_EVENT or type_of(record) == STDIN_BULK


def segment_of(record: Record) -> int:
    """The segment with which a BULK_EVENT or a STDIN_BULK says that a reader begins."""
    return max(1, integer(record, "segment") or 1)


def has_terminal(record: Record) -> bool:
    """Whether a STARTED event says that the command has the terminal that `terminal.on_terminal` asks for."""
    return record.get("terminal") is True


def control_of(record: Record) -> int | None:
    """Up to where an ACK event says that the keys in control.jsonl have been taken."""
    return integer(record, "control")


def has_raw_output(record: Record) -> bool:
    """Whether a READS_TERMINAL event says that the command's terminal passes output on as it is (no OPOST)."""
    return record.get("raw_output") is True


def attacher_of(record: Record) -> int:
    """The number of the attacher that an ATTACHED event accepts; 0 if it makes no sense."""
    return integer(record, "n") or 0


def pid_of(record: Record) -> int | None:
    """That of the command in a STARTED event."""
    return integer(record, "pid")


class Exit:
    """An EXIT event. `return_code`: as Python gives it (`-n`: signal n); `hung_up`: why the runner ended it."""

    __slots__ = ("exit_code", "return_code", "hung_up")

    def __init__(self, record: Record) -> None:
        self.exit_code = integer(record, "exit_code")
        self.return_code = integer(record, "raw_return_code")
        self.hung_up = text(record, "hung_up")


def quoted(name: str) -> bytes:
    """The bytes that a line cannot lack if it has `name` as a type, event or field; other lines may have them too."""
    return b'"%s"' % name.encode()
