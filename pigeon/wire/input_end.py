"""The record that ends an input, which is all that a client without one has to say before its session is published.

Apart from `records.py`, to whose tables a test holds it: the rest of that is loaded while a worker is at the session.
"""

from __future__ import annotations

from pigeon.clock import utc_text
from pigeon.wire.jsontext import encode

STDIN_EOF = "stdin_eof"


def stdin_eof_line(seq: int, bulk_bytes: int = 0) -> bytes:
    """The end of the input. `bulk_bytes`: how much of it is in segments."""
    bulk = {"bulk_bytes": bulk_bytes} if bulk_bytes else {}
    return encode({"seq": seq, "ts": utc_text(), "type": STDIN_EOF, **bulk}) + b"\n"
