"""The records of the `.jsonl` files: encode, decode, and what fields each has. No I/O.

`RECORDS` and `EVENTS` are the tables of FORMAT.md, which a test compares with them. Readers ignore types and fields
that are not listed.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

from pigeon.clock import utc_text
from pigeon.wire.jsontext import decode, encode

MAX_DATA_BYTES = 128 * 1024
"""Payload of one output or stdin record. A record costs about 100 bytes and 20 µs beside its payload; larger ones
only delay the first byte."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is damage: no peer writes one."""

RECORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "stream.jsonl": {
        "output": ("seq", "ts", "channel", "data_b64"),
        "event": ("event", "ts"),
    },
    "stdin.jsonl": {
        "stdin": ("seq", "ts", "data_b64"),
        "stdin_eof": ("seq", "ts"),
    },
    "control.jsonl": {
        "signal": ("seq", "ts", "signal"),
        "resize": ("seq", "ts", "cols", "rows"),
        "heartbeat": ("ts",),
        "ack": ("offset", "ts"),
        "client": ("event", "ts"),
    },
}
"""File -> record type -> fields beside `type`."""

EVENTS: dict[str, tuple[str, ...]] = {
    "started": ("pid",),
    "exit": ("exit_code", "raw_return_code"),
    "worker_error": ("message",),
    "pty_fallback_to_pipes": (),
    "heartbeat": (),
    "ack": ("offset",),
    "client_lost": ("message",),
    "attached": ("n",),
    "notice": ("message",),
}
"""Event of stream.jsonl -> fields beside `type`, `event` and `ts`."""

CLIENT_EVENTS = ("suspended", "resumed", "detached", "hangup", "kill", "output_closed", "visitor")
"""What a `client` record of control.jsonl can say."""

CHANNELS = ("pty", "stdout", "stderr")

Record = dict[str, object]

DECODED = " data"
"""Where a Tail leaves the decoded payload in a record; what a peer writes there is overwritten."""

_NAME = b"data_b64"
_PAYLOAD = b'"data_b64":"'
_CUT = b"="
"""Stands in place of a payload that was cut out; by itself it is not base64."""


def output_line(seq: int, channel: str, data: bytes) -> bytes:
    """An `output` record. Written by concatenation: the general encoder would scan the payload once more."""
    return b'{"channel":"%s","data_b64":"%s","seq":%d,"ts":"%s","type":"output"}\n' % (
        channel.encode(),
        b2a_base64(data, newline=False),
        seq,
        utc_text().encode(),
    )


def stdin_line(seq: int, data: bytes) -> bytes:
    """A `stdin` record, written like `output_line`."""
    return b'{"data_b64":"%s","seq":%d,"ts":"%s","type":"stdin"}\n' % (
        b2a_base64(data, newline=False),
        seq,
        utc_text().encode(),
    )


def stdin_eof_line(seq: int) -> bytes:
    """The end of the input."""
    return _line({"type": "stdin_eof", "seq": seq})


def event_line(event: str, **fields: object) -> bytes:
    """An `event` record of stream.jsonl."""
    return _line({"type": "event", "event": event, **fields})


def control_line(kind: str, **fields: object) -> bytes:
    """A record of control.jsonl."""
    return _line({"type": kind, **fields})


def _line(record: Record) -> bytes:
    record["ts"] = utc_text()
    return encode(record) + b"\n"


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
    """The payload of an `output` or `stdin` record; decoded once, where a Tail has read it.

    Raises:
        ValueError: it has none, or not in base64.
    """
    known = record.get(DECODED)
    if isinstance(known, bytes):
        return known
    text = record.get("data_b64")
    if not isinstance(text, str):
        raise ValueError("no `data_b64`")
    try:
        return a2b_base64(text, strict_mode=True)
    except Base64Error as error:
        raise ValueError(f"`data_b64`: {error}") from None


def integer(record: Record, field: str) -> int | None:
    """An integer field, or None when it is absent or something else."""
    value = record.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
