"""What is pending and running in a namespace, one mapping a session: `pigeon sessions`, `top` and `inspect` show it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pigeon.errors import NotFoundError
from pigeon.report import newest, session_view
from pigeon.report.session_view import View
from pigeon.report.text import table_lines
from pigeon.text import cut, duration
from pigeon.wire import states
from pigeon.wire.names import Namespace
from pigeon.wire.records import DETACHED
from pigeon.wire.worker_file import WorkerFile

HEADINGS = ("SESSION", "STATE", "AGE", "QUIET", "WORKER", "NOTE", "CWD", "COMMAND")
PATH_COLUMNS = 30
"""So much of a directory's end is shown where it is narrow."""

WIDE = 130
"""Columns from which there is room for whole session ids."""

ERROR_COLUMNS = 48
"""`pigeon inspect` has the rest."""


def collect(
    namespace: Namespace, *, everything: bool = False, cwd: str | None = None, ended: set[str] | None = None
) -> list[View]:
    """The sessions to show, oldest first; one that vanishes meanwhile is left out.

    `ended`: who looks again and again keeps here what need not be read again, since an end is for ever.
    """
    views = []
    for session_id in session_view.session_ids(namespace):
        if ended is not None and session_id in ended:
            continue
        if not everything and session_view.has_ended(namespace, session_id):
            if ended is not None:
                ended.add(session_id)
            continue  # most have, and need no closer look
        try:
            view = session_view.view(namespace, session_id)
        except NotFoundError:
            continue
        if not everything and (view.state in states.FINAL or view.state == "?"):
            continue
        if cwd is not None and (view.request is None or view.request.cwd != cwd):
            continue
        views.append(view)
    return views


def describe(
    views: Sequence[View], workers: Mapping[str, WorkerFile], live: Collection[str]
) -> list[dict[str, object]]:
    """The sessions of `collect` as `--json` shows them."""
    first = session_view.first_waiting(views)
    return [_describe(view, first, workers, live) for view in views]


def _describe(
    view: View, first: Mapping[str, str], workers: Mapping[str, WorkerFile], live: Collection[str]
) -> dict[str, object]:
    request = view.request
    ended = view.state in states.FINAL
    watcher = None if ended else session_view.watcher_of(view, workers, live)
    wait = session_view.wait_of(view, first, workers, live)
    return {
        "session_id": view.session_id,
        "state": view.state,
        "exit_code": view.status.exit_code if view.status else None,
        "error": view.status.error if view.status else None,
        "age_s": round(view.age_s(), 1),
        "quiet_s": _rounded(newest.output_quiet_s(view)),
        "cwd": request.cwd if request else None,
        "command": view.command,
        "requester": request.requester.document() if request else None,
        "terminal": request.pty if request else None,
        "worker": view.owner,
        "worker_alive": None if ended or view.owner is None else watcher is not None,
        "watched_by": watcher,
        "client": None if ended else newest.client_state(view),
        "waits_for": str(wait) if wait is not None else None,
        "client_version": (request.version or None) if request else None,
        "worker_version": workers[watcher].version or None
        if watcher is not None and watcher in workers
        else None,
        "attachable": view.state == states.RUNNING and view.claim is not None and view.claim.takes_attachers,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def notes(row: Mapping[str, object]) -> list[str]:
    """What a person should know: for what it waits, who is silent, whether it can be attached to, why it failed."""
    said = [f"waits for {row['waits_for']}"] if row["waits_for"] else []
    if row["worker_alive"] is False:
        said.append("worker silent")
    if row["watched_by"] not in (None, row["worker"]):
        said.append(f"watched by {row['watched_by']}")
    if row["client"] not in (None, newest.ALIVE):
        said.append(str(row["client"]) if row["client"] == DETACHED else f"client {row['client']}")
    if row["attachable"] and row["client"] != newest.ALIVE:
        said.append("attachable")
    if row["error"]:
        said.append(cut(str(row["error"]), ERROR_COLUMNS))
    return said


def _shortened(noted: str) -> str:
    """A note for a narrow table."""
    for long, short in (
        ("the directory, held by ", ""),
        ("for the directory, behind ", "behind "),
        (f"{DETACHED}; attachable", DETACHED),
    ):
        noted = noted.replace(long, short)
    return noted.removesuffix(f"; {DETACHED}") if noted.startswith("waits for ") else noted


def table(rows: Sequence[Mapping[str, object]], columns: int | None) -> list[str]:
    """Lines for people, cut to so many columns, heading first.

    Where it is narrow, ids are their short beginnings, and what one looks for last is left out.
    """
    narrow = columns is not None and columns < WIDE
    lines: list[tuple[str, ...]] = []
    for row in rows:
        tells = row["state"] == states.FAILED and row["exit_code"] is not None  # of the others it is no news
        state = f"{row['state']} ({row['exit_code']})" if tells else str(row["state"])
        quiet, noted, one = (
            row["quiet_s"],
            session_view.shorten_ids("; ".join(notes(row))),
            str(row["session_id"]),
        )
        age = duration(float(str(row["age_s"])))
        where, what = str(row["cwd"] or "?"), str(row["command"])
        if narrow:
            where = cut(where, PATH_COLUMNS, keep_end=True)
            lines.append((session_view.short_id(one), state, age, _shortened(noted), where, what))
        else:
            silent = duration(quiet) if isinstance(quiet, float) else ""
            lines.append((one, state, age, silent, str(row["worker"] or ""), noted, where, what))
    left_out = ("QUIET", "WORKER") if narrow else ()
    return table_lines([name for name in HEADINGS if name not in left_out], lines, columns)
