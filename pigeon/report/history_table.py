"""How `pigeon history` looks: a table cut to the terminal, one session's story, records for JSON and CSV.

Pure: rows in, text out. What a command, a path or an error holds never reaches the terminal as it is: control
characters, the marks that reorder text, and bytes that are not UTF-8 are shown as escapes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from pigeon import clock, text
from pigeon.journal import states
from pigeon.journal.rows import Event, Row, Wait
from pigeon.printing import visible as visible
from pigeon.text import cut as cut
from pigeon.text import typed
from pigeon.text import width as columns_of

RECORD_TIMES = ("seen_at", "claimed_at", "started_at", "ended_at", "final_at")

_COLOURS = {"ok": "32", "failed": "31", "cancelled": "33", "open": "36"}
_SHORT_ID = 8
"""Characters behind the dash of a session id that a narrow table shows; `history` takes them for the id."""

_WIDE = 130
"""Columns from which there is room for whole session ids."""


@dataclass(frozen=True)
class Look:
    """Where it is printed. `columns` None: do not cut. `now`: unix seconds."""

    columns: int | None
    colour: bool
    now: float
    ellipsis: str


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """`text` filled up with blanks to `columns`."""
    space = " " * (columns - columns_of(text))
    return space + text if right else text + space


def duration(seconds: float | None) -> str:
    """As `text.duration`; `-` if not known."""
    return "-" if seconds is None else text.duration(seconds)


def size(count: int | None) -> str:
    """`812`, `3.4K`, `12M`, in powers of 1024; `-` if not known."""
    if count is None:
        return "-"
    value, units = float(count), iter("KMGTPE")
    unit = ""
    while value >= 999.5:
        value, unit = value / 1024, next(units)
    return f"{value:.1f}{unit}" if unit and value < 9.95 else f"{value:.0f}{unit}"


# One row


_STANDS = {states.STARTING: states.RUNNING, states.EXITED: "ending"}
"""Where a session stands, in words, where those of the journal say too much or too little."""


def ending(row: Row) -> tuple[str, str]:
    """(kind, words) of how a session ended, or where it stands: `ok`, `exit 3`, `SIGKILL`, `cancelled`, `running`."""
    if not row.is_final:
        return "open", _STANDS.get(row.state, row.state)
    if row.outcome == "succeeded":
        return "ok", "ok"
    if row.outcome == "cancelled":
        return "cancelled", "cancelled"
    if row.return_code is not None and row.return_code < 0:
        return "failed", signal_name(-row.return_code)
    if row.ended_by is not None and row.return_code is None:
        return "failed", "lost"
    if row.exit_code is not None:
        return "failed", f"exit {row.exit_code}"
    return "failed", "failed"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 64` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def record(row: Row) -> dict[str, object]:
    """A row for JSON: the journal's columns by name, stamps as UTC text, the argv as a list."""
    fields: dict[str, object] = asdict(row)
    for name in RECORD_TIMES:
        at = getattr(row, name)
        fields[name] = None if at is None else clock.utc_text(at)
    fields["terminal"] = None if row.terminal is None else bool(row.terminal)
    return fields


def wait_record(wait: Wait) -> dict[str, object]:
    """A wait for JSON."""
    return {**asdict(wait), "since": clock.utc_text(wait.since)}


def event_record(event: Event) -> dict[str, object]:
    """An event for JSON."""
    return {**asdict(event), "at": clock.utc_text(event.at)}


# The table

_HEADINGS = ("WHEN", "ENDED", "TOOK", "WAIT", "IN/OUT", "SESSION", "DIRECTORY", "COMMAND")
_RIGHT = ("TOOK", "WAIT", "IN/OUT")


def table(rows: Sequence[Row], look: Look) -> Iterator[str]:
    """The lines of the table, heading first, each at most `look.columns` wide."""
    wide = look.columns is None or look.columns >= _WIDE
    gap = "  " if wide else " "
    cells = [_HEADINGS, *(_cells(row, look, wide=wide) for row in rows)]
    widths = [max(columns_of(line[n]) for line in cells) for n in range(len(_HEADINGS))]
    if look.columns is not None:
        room = look.columns - sum(widths[:-2]) - len(gap) * (len(widths) - 1)
        # The directory's end and the command's beginning tell most; the command gets the larger part.
        widths[-2] = min(widths[-2], max(9, room * 2 // 5, room - widths[-1]))
        widths[-1] = max(7, room - widths[-2])
    for number, line in enumerate(cells):
        fitted = gap.join(_fitted(line, widths, look.ellipsis)).rstrip()
        if look.columns is not None:
            fitted = cut(fitted, look.columns, look.ellipsis)
        if number and look.colour:
            start = widths[0] + len(gap)
            end = start + len(line[1])
            words = _coloured(fitted[start:end], ending(rows[number - 1])[0], look)
            fitted = fitted[:start] + words + fitted[end:]
        yield fitted


def _cells(row: Row, look: Look, *, wide: bool) -> tuple[str, ...]:
    took = row.run_s
    if took is None and row.started_at is not None and not row.is_final:
        took = look.now - row.started_at
    stamp, _, code = row.session_id.partition("-")
    return (
        moment(row.when, look.now),
        ending(row)[1],
        duration(took),
        duration(row.wait_s) if row.wait_s else "-",
        f"{size(row.bytes_in)}/{size(row.bytes_out)}",
        f"{stamp}-{code}" if wide else visible(code)[:_SHORT_ID],
        visible(row.cwd or "-"),
        visible(typed(row.command)),
    )


def _fitted(cells: Sequence[str], widths: Sequence[int], ellipsis: str) -> Iterator[str]:
    for name, cell, width in zip(_HEADINGS, cells, widths, strict=True):
        yield padded(cut(cell, width, ellipsis, keep_end=name == "DIRECTORY"), width, right=name in _RIGHT)


def _coloured(text: str, kind: str, look: Look) -> str:
    return f"\x1b[{_COLOURS[kind]}m{text}\x1b[m" if look.colour else text


def moment(at: float | None, now: float) -> str:
    """The time of day if it is today, else month, day and time, else, after half a year, the date. Local time."""
    if at is None:
        return "-"
    text = clock.local_text(at)
    if text[:10] == clock.local_text(now)[:10]:
        return text[11:]
    return text[5:16] if abs(now - at) < 180 * 86400 else text[:10]


# One session's story


def story(rows: Sequence[Row], waits: Sequence[Wait], events: Sequence[Event], look: Look) -> Iterator[str]:
    """The lines of everything that the journal knows of one session."""
    for row in rows:
        for name, value in _facts(row, look):
            if value:
                yield from text.fold(f"{name:<10}{value}", look.columns, 10)
        yield ""
    moments = [(e.at, visible(e.event), details(e.detail)) for e in events]
    for wait in waits:
        behind = f", held by {visible(wait.held_by)}" if wait.held_by else ""
        moments.append((wait.since, "waits", f"for the {visible(wait.reason)}{behind}"))
        if wait.waited_s is not None:
            told = f"for the {visible(wait.reason)}: {duration(wait.waited_s)}"
            moments.append((wait.since + wait.waited_s, "waited", told))
    moments.sort(key=lambda one: one[0])  # stable: events of one moment stay as they were written
    for at, name, told in moments:
        yield from text.fold(f"{_stamp(at)}  {name:<12}{told}".rstrip(), look.columns, 37)


def _facts(row: Row, look: Look) -> Iterator[tuple[str, str]]:
    kind, words = ending(row)
    ran = f" after {duration(row.run_s)}" if row.run_s is not None else ""
    by = f", by {visible(row.ended_by)}" if row.ended_by else ""
    yield "session", visible(row.session_id)
    yield "command", visible(typed(row.command))
    yield "directory", visible(row.cwd or "")
    yield "state", visible(row.state)
    yield "ended", _coloured(words, kind, look) + ran + by if row.is_final else ""
    yield "error", visible(row.error or "")
    yield "exit code", "" if row.exit_code is None else str(row.exit_code)
    yield "waited", f"{duration(row.slot_wait_s)} for a slot, {duration(row.lock_wait_s)} for the directory"
    counts = (("pty", row.bytes_out_pty), ("stdout", row.bytes_out_stdout), ("stderr", row.bytes_out_stderr))
    channels = ", ".join(f"{name} {count}" for name, count in counts if count)
    yield (
        "bytes",
        f"in {_count(row.bytes_in)}, out {_count(row.bytes_out)}" + (f" ({channels})" if channels else ""),
    )
    yield "files", f"stream.jsonl {_count(row.stream_bytes)}, stdin.jsonl {_count(row.stdin_bytes)} bytes"
    yield "signals", str(row.signals) if row.signals else ""
    on = "a terminal" if row.terminal else "pipes"
    lock, lost = visible(row.lock_mode or "?"), visible(row.on_disconnect or "?")
    yield "mode", f"on {on}, lock {lock}, on disconnect {lost}"
    yield "asked by", f"{_or(row.requester_user)} on {_or(row.requester_host)}, pid {_or(row.requester_pid)}"
    yield "worker", f"{_or(row.worker_id)}{f', route {visible(row.route)}' if row.route else ''}"
    yield (
        "launched",
        f"on {_or(row.node)}, job {_or(row.engine_job)}, by {visible(row.launcher)}" if row.launcher else "",
    )
    yield "share", f"namespace {_or(row.namespace)} in {_or(row.cache)}"
    yield "pids", f"runner {_or(row.runner_pid)}, command {_or(row.command_pid)}"
    yield "claim", f"{visible(row.claim_token)}, epoch {row.epoch}"


def _or(value: str | int | None) -> str:
    return "?" if value is None else visible(str(value))


def _count(value: int | None) -> str:
    return "?" if value is None else str(value)


def details(detail: dict[str, object]) -> str:
    """What an event says beside its name, on one line."""
    return ", ".join(f"{visible(name)} {visible(str(value))}" for name, value in detail.items())


def _stamp(at: float) -> str:
    return f"{clock.local_text(at)}.{int(at % 1 * 1000):03d}"
