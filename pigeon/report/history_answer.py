"""What `pigeon history` answers, from an open journal: a table, sums, a page, one session's story, JSON or CSV.

Everything that depends on the place or the moment of asking has been settled before, since a worker may answer for
another machine.
"""

from __future__ import annotations

import csv
import io
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from pigeon.errors import NotFoundError
from pigeon.journal import destinations, queries
from pigeon.journal.queries import Filter
from pigeon.journal.rows import Row
from pigeon.report import history_table as text
from pigeon.report import statistics
from pigeon.report.history_table import Look
from pigeon.report.network import destination_line
from pigeon.text import typed

CSV_FIELDS = (
    "session_id state outcome exit_code error seen_at claimed_at started_at ended_at final_at run_s lock_wait_s"
    " slot_wait_s bytes_in bytes_out signals terminal cwd command requester_user requester_host worker_host namespace"
).split()

ORDERS: dict[str, Callable[[Row], float]] = {
    "slowest": lambda row: row.run_s or 0.0,
    "waited": lambda row: row.wait_s,
    "bytes": lambda row: float((row.bytes_in or 0) + (row.bytes_out or 0)),
}
"""`--sort` -> the quantity by which sessions are ordered, largest first."""


@dataclass(frozen=True)
class Question:
    """What is asked, with nothing in it that depends on the place or the moment of asking."""

    wanted: Filter
    states: tuple[str, ...]
    """The words of `--state` and `--failed`."""
    count: int
    form: str
    """`table`, `json`, `csv`, `path` or `html`."""
    session: str | None
    order: str | None = None
    """A key of ORDERS; None: the order of the journal."""
    stats: str | None = None
    """A key of `statistics.GROUPS`: sums instead of sessions."""
    net: bool = False
    """Where lent networks were connected to, instead of sessions."""


@dataclass
class Answer:
    """Lines for stdout, and what there is to say beside them."""

    lines: list[str]
    notes: list[str] = field(default_factory=list)


def answer(question: Question, connection: queries.Connection, path: str, look: Look) -> Answer:
    """Raises NotFoundError: no such session, or several."""
    if question.form == "path":
        return _place(connection, path)
    if question.form == "html":
        from pigeon.report import page

        rows = queries.select(connection, question.wanted)
        shown = rows[-question.count :]  # 0: all
        return Answer(
            [page.html(page.contents(connection, shown, look.now, left_out=len(rows) - len(shown)))]
        )
    if question.session is not None:
        return Answer(list(_one(question, connection, look)))
    if question.net:
        return _net(question, connection, look)
    if question.stats is not None:
        return _stats(question, question.stats, connection, look)
    rows = _selected(question, connection)
    if question.form == "json":
        return Answer(list(_json(rows)))
    if question.form == "csv":
        return Answer([_csv(CSV_FIELDS, map(_csv_record, rows))])
    return Answer(list(text.table(rows, look))) if rows else Answer([], [NOTHING])


NOTHING = "no session in the journal matches"


def _selected(question: Question, connection: queries.Connection) -> list[Row]:
    if question.order is None:
        return queries.select(connection, question.wanted, question.count)
    rows = queries.select(connection, question.wanted)
    rows.sort(key=ORDERS[question.order], reverse=True)
    return rows[: question.count] if question.count else rows


def _place(connection: queries.Connection, path: str) -> Answer:
    """The path alone, as other programs want it; the rest is for people."""
    size = sum(os.path.getsize(name) for name in (path, f"{path}-wal") if os.path.exists(name))
    count = queries.count(connection)
    note = f"{text.size(size)} ({size} bytes), {count} sessions, on {socket.gethostname()}"
    return Answer([text.visible(path)], [note])


def _stats(question: Question, by: str, connection: queries.Connection, look: Look) -> Answer:
    every = statistics.sums(queries.select(connection, question.wanted), by, question.order)
    if question.form == "table":
        lines = list(statistics.table(every, question.count, by, question.order, look))
        return Answer(lines) if every else Answer([], [NOTHING])
    records = [statistics.record(one) for one in (every[: question.count] if question.count else every)]
    if question.form == "json":
        return Answer(["[" + ",\n ".join(map(json.dumps, records)) + "]"])
    return Answer([_csv([one.name for one in fields(statistics.Sum)], records)])


def _net(question: Question, connection: queries.Connection, look: Look) -> Answer:
    found = destinations.summed(connection, question.wanted.since, question.count)
    if question.form == "json":
        return Answer([json.dumps([asdict(one) for one in found], indent=1)])
    return Answer([destination_line(one, look.now) for one in found], [] if found else [NO_DESTINATION])


NO_DESTINATION = "no lent network in the journal was connected to anything"


def _one(question: Question, connection: queries.Connection, look: Look) -> Iterator[str]:
    assert question.session is not None
    typed = text.visible(question.session)
    found = queries.session_ids(connection, question.session) if question.session else []
    if not found:
        raise NotFoundError(
            f"the journal knows no session `{typed}`",
            hint="`pigeon history` lists them, `pigeon sessions` what waits",
        )
    if len(found) > 1:
        some = ", ".join(f"`{one}`" for one in found[:3]) + (", …" if len(found) > 3 else "")
        raise NotFoundError(
            f"`{typed}` could be any of {len(found)} sessions: {some}", hint="give more of the id"
        )
    rows = queries.claims_of(connection, found[0])
    waits, events = queries.waits_of(connection, found[0]), queries.events_of(connection, found[0])
    reached = destinations.of_session(connection, found[0])
    if question.form == "json":
        story = {
            "destinations": [asdict(one) for one in reached],
            "claims": [text.record(row) for row in rows],
            "events": [text.event_record(event) for event in events],
            "session_id": found[0],
            "waits": [text.wait_record(wait) for wait in waits],
        }
        yield json.dumps(story, indent=1)
    else:
        yield from text.story(rows, waits, events, look)
        yield from (destination_line(one, look.now) for one in reached)


def _json(rows: Sequence[Row]) -> Iterator[str]:
    """One array, one object a line: for programs, and for `grep`."""
    records = [json.dumps(text.record(row)) for row in rows]
    yield "[" + ",\n ".join(records) + "]"


def _csv_record(row: Row) -> dict[str, object]:
    return {**text.record(row), "bytes_out": row.bytes_out, "command": typed(row.command)}


def _csv(names: Sequence[str], records: Iterable[Mapping[str, object]]) -> str:
    """Escapes as in the table, since it may be printed on a terminal; JSON has the exact bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        values = (record[name] for name in names)
        writer.writerow(text.visible(value) if isinstance(value, str) else value for value in values)
    return out.getvalue().removesuffix("\n")
