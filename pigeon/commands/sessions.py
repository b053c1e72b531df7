"""`pigeon sessions`: what is pending and running in the namespace, and who waits for whom."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from pigeon.commands.arguments import Parser, add_common, directory_of, load_config
from pigeon.errors import NotFoundError
from pigeon.report import newest, session_view
from pigeon.report.session_view import View
from pigeon.report.text import clean, print_table
from pigeon.text import cut, duration
from pigeon.wire import states
from pigeon.wire.names import Namespace
from pigeon.wire.records import DETACHED
from pigeon.wire.worker_file import WorkerFile

WATCH_S = 2.5
"""How long to look for life: a worker says something every second, a client every five, so only workers for sure."""

ERROR_COLUMNS = 48
"""`pigeon inspect` has the rest."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """List sessions. Raises PigeonError."""
    parser = Parser(prog="pigeon sessions", description="List what is pending and running in the namespace.")
    parser.add_argument(
        "--all", action="store_true", help="finished ones too, as long as they are on the share"
    )
    parser.add_argument("--cwd", metavar="PATH", help="only those in this directory")
    parser.add_argument("--json", action="store_true", help="as one JSON array")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    cwd = directory_of(arguments.cwd) if arguments.cwd else None
    views = collect(namespace, everything=arguments.all, cwd=cwd)
    workers, live = session_view.live_workers(namespace, patience_s=WATCH_S if views else 0.0)
    rows = [describe(view, views, workers, live) for view in views]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    elif rows:
        _print(rows)
    else:
        print(f"no session is pending or running in namespace `{clean(namespace.name)}`", file=sys.stderr)
    return 0


def collect(namespace: Namespace, *, everything: bool, cwd: str | None) -> list[View]:
    """The sessions to show, oldest first; one that vanishes meanwhile is left out."""
    views = []
    for session_id in session_view.session_ids(namespace):
        if not everything and session_view.has_ended(namespace, session_id):
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
    view: View, views: list[View], workers: Mapping[str, WorkerFile], live: set[str]
) -> dict[str, object]:
    """One session as `--json` shows it."""
    request = view.request
    ended = view.state in states.FINAL
    watcher = None if ended else session_view.watcher_of(view, workers, live)
    wait = session_view.wait_of(view, views, workers, live)
    return {
        "session_id": view.session_id,
        "state": view.state,
        "exit_code": view.status.exit_code if view.status else None,
        "error": view.status.text("error") if view.status else None,
        "age_s": round(view.age_s(), 1),
        "quiet_s": _rounded(newest.output_quiet_s(view)),
        "cwd": request.cwd if request else None,
        "command": view.command,
        "requester": request.requester if request else None,
        "terminal": request.pty if request else None,
        "worker": view.owner,
        "worker_alive": None if ended or view.owner is None else watcher is not None,
        "watched_by": watcher,
        "client": None if ended else newest.client_state(view),
        "waits_for": str(wait) if wait is not None else None,
        "attachable": view.state == states.RUNNING and view.claim is not None and view.claim.takes_attachers,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _print(rows: list[dict[str, object]]) -> None:
    table = []
    for row in rows:
        state = str(row["state"]) + (f" ({row['exit_code']})" if row["exit_code"] is not None else "")
        quiet = row["quiet_s"]
        table.append(
            (
                str(row["session_id"]),
                state,
                duration(float(str(row["age_s"]))),
                duration(quiet) if isinstance(quiet, float) else "",
                str(row["worker"] or ""),
                "; ".join(_notes(row)),
                str(row["cwd"] or "?"),
                str(row["command"]),
            )
        )
    print_table(("SESSION", "STATE", "AGE", "QUIET", "WORKER", "NOTE", "CWD", "COMMAND"), table)


def _notes(row: Mapping[str, object]) -> list[str]:
    """What a person should know: for what it waits, who is silent, whether it can be attached to, why it failed."""
    notes = [f"waits for {row['waits_for']}"] if row["waits_for"] else []
    if row["worker_alive"] is False:
        notes.append("worker silent")
    if row["watched_by"] not in (None, row["worker"]):
        notes.append(f"watched by {row['watched_by']}")
    if row["client"] not in (None, newest.ALIVE):
        notes.append(str(row["client"]) if row["client"] == DETACHED else f"client {row['client']}")
    if row["attachable"] and row["client"] != newest.ALIVE:
        notes.append("attachable")
    if row["error"]:
        notes.append(cut(str(row["error"]), ERROR_COLUMNS))
    return notes
