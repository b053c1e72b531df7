"""The page of `pigeon history --html`: one file with its style, its program and its data, made from the journal alone.

Promises that the page asks no network for anything (its Content-Security-Policy forbids it), and that nothing a
command, a path or an error holds can act in it: texts are escaped as for a terminal, and set as text only.
"""

from __future__ import annotations

import json
import os
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pigeon
from pigeon.journal import queries
from pigeon.journal.rows import Row
from pigeon.report import history_table as text
from pigeon.text import typed

_PROGRAM = ("data.js", "page.js")


def contents(
    connection: queries.Connection, rows: Sequence[Row], now: float, *, left_out: int
) -> dict[str, object]:
    """What the page knows: `rows` with their waits and events. Stamps are unix seconds; `now` is one.

    `left_out`: how many older ones match as well.
    """
    wanted = {row.session_id for row in rows}
    waits: dict[str, list[object]] = defaultdict(list)
    for wait in queries.all_waits(connection):
        if wait.session_id in wanted:
            held_by = None if wait.held_by is None else text.visible(wait.held_by)
            waits[wait.session_id].append([wait.reason, held_by, _rounded(wait.since), wait.waited_s])
    events: dict[str, list[object]] = defaultdict(list)
    for event in queries.all_events(connection):
        if event.session_id in wanted:
            told = text.details(event.detail)
            events[event.session_id].append([_rounded(event.at), text.visible(event.event), told])
    return {
        "host": text.visible(socket.gethostname()),
        "made": _rounded(now),
        "version": pigeon.__version__,
        "left_out": left_out,
        "sessions": [_session(row, waits[row.session_id], events[row.session_id]) for row in rows],
    }


def _session(row: Row, waits: Sequence[object], events: Sequence[object]) -> dict[str, object]:
    """One command, by the names that page.js uses."""
    kind, ended = text.ending(row)
    end = next((at for at in (row.ended_at, row.final_at) if at is not None), None)
    return {
        "id": text.visible(row.session_id),
        "command": text.visible(typed(row.command)),
        "dir": text.visible(row.cwd or "-"),
        "kind": kind,
        "ended": ended,
        "seen": _rounded(row.seen_at if row.seen_at is not None else row.when),
        "start": _rounded(row.started_at),
        "end": _rounded(end) if row.has_ended else None,
        "run": row.run_s,
        "slot": row.slot_wait_s,
        "lock": row.lock_wait_s,
        "in": row.bytes_in or 0,
        "out": row.bytes_out or 0,
        "user": text.visible(row.requester_user or "?"),
        "client": text.visible(row.requester_host or "?"),
        "worker": text.visible(row.worker_id or "?"),
        "namespace": text.visible(row.namespace or "?"),
        "route": text.visible(row.route or ""),
        "terminal": bool(row.terminal),
        "beside": row.lock_mode == "none",
        "signals": row.signals or 0,
        "error": text.visible(row.error or ""),
        "by": text.visible(row.ended_by or ""),
        "waits": waits,
        "events": events,
    }


def _rounded(at: float | None) -> float | None:
    return None if at is None else round(at, 3)


def html(data: Mapping[str, object]) -> str:
    """The whole page with `data` in it."""
    page, style, program = _asset("page.html"), _asset("page.css"), "".join(map(_asset, _PROGRAM))
    # In a script element only `</script` and `<!--` mean anything, and JSON can do without `<`.
    shown = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    for name, value in (("style", style), ("program", program), ("data", shown)):
        before, mark, after = page.partition(f"/*{name}*/")
        assert mark, f"page.html has no place for {name}"
        page = before + value + after
    return page


def _asset(name: str) -> str:
    """A file that lies beside this module; inside a zipapp only the loader can read it."""
    assert __spec__ is not None
    path = os.path.join(os.path.dirname(__file__), "page_files", name)
    data: bytes = __spec__.loader.get_data(path)  # type: ignore[union-attr]  # both loaders that load packages have it
    return data.decode("utf-8")
