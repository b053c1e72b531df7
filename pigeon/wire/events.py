"""The events that a runner appends to stream.jsonl, each with its fields (FORMAT.md, "Records")."""

from __future__ import annotations

from pigeon.wire import records
from pigeon.wire.records import EVENT, event_line

MARKED_LINE = b'"type":"%s"' % EVENT.encode()
"""Stands once in each line that has a mark in the segments, and in no other: as `event_line` writes it."""


def started(pid: int, *, terminal: bool = False) -> bytes:
    """The command has been started. `terminal`: with the one that `terminal.on_terminal` asks for."""
    return event_line(records.STARTED, pid=pid, **({"terminal": True} if terminal else {}))


def stopped(number: int) -> bytes:
    """The command has been stopped, by this signal."""
    return event_line(records.STOPPED, signal=number)


def reads_terminal(*, raw_output: bool) -> bytes:
    """The command wants what is typed. `raw_output`: its terminal changes nothing of what is written to it."""
    return event_line(records.READS_TERMINAL, raw_output=raw_output)


def exited(exit_code: int, return_code: int, *, bulk_bytes: int = 0, hung_up: str | None = None) -> bytes:
    """The command has ended, and every output stands before this, `bulk_bytes` of it in segments. `hung_up`: why the
    runner ended it, for people."""
    more: dict[str, object] = {} if hung_up is None else {"hung_up": hung_up}
    if bulk_bytes:
        more["bulk_bytes"] = bulk_bytes
    return event_line(records.EXIT, exit_code=exit_code, raw_return_code=return_code, **more)


def worker_error(message: str) -> bytes:
    """The command could not be started."""
    return event_line(records.WORKER_ERROR, message=message)


def fallback_to_pipes() -> bytes:
    """No terminal could be had for a command that was to have one."""
    return event_line(records.FALLBACK)


def heartbeat() -> bytes:
    """The runner lives."""
    return event_line(records.HEARTBEAT)


def ack(offset: int, bulk_bytes: int = 0, control: int = 0) -> bytes:
    """The command has taken everything before this byte of stdin.jsonl, so many bytes of segments, and the keys before
    `control` of control.jsonl."""
    more = {"bulk_bytes": bulk_bytes, "control": control}
    return event_line(records.ACK, offset=offset, **{name: value for name, value in more.items() if value})


def client_lost(message: str) -> bytes:
    """The client has been silent for too long."""
    return event_line(records.CLIENT_LOST, message=message)


def attached(number: int) -> bytes:
    """From now on the files of this attacher are read."""
    return event_line(records.ATTACHED, n=number)


def bulk(segment: int) -> bytes:
    """From here on output is in segments, of which this is the first to read."""
    return event_line(records.BULK_EVENT, segment=segment)


def lines() -> bytes:
    """From here on output is in lines again."""
    return event_line(records.LINES_EVENT)


def notice(message: str, *, verbose: bool = False) -> bytes:
    """Something that the user should know; `verbose`: if he has asked for more words."""
    return event_line(records.NOTICE, message=message, **({"verbose": True} if verbose else {}))
