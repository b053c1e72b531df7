"""`pigeon history`: what ran, where, and how it ended, from the journal of this machine or of a worker's.

Reads only; never makes a journal. Where this machine has none, the same question goes through a session to a worker,
with paths and times made absolute first, since `.` and `2d` mean something else there.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from pigeon import clock
from pigeon.commands.arguments import Parser, add_common, directory_of, flags_of, load_config
from pigeon.config import Config
from pigeon.errors import JournalError, NotFoundError, UsageError
from pigeon.journal import place, queries
from pigeon.journal.queries import Filter, Row
from pigeon.report import history_table as text

DEFAULT_COUNT = 20

STATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "claimed": (("claiming", "claimed"), ()),
    "running": (("starting", "running"), ()),
    "exited": (("exited",), ()),
    "final": (("final",), ()),
    "succeeded": ((), ("succeeded",)),
    "failed": ((), ("failed",)),
    "cancelled": ((), ("cancelled",)),
}
"""`--state` -> the journal's states and outcomes that it means."""

CSV_FIELDS = (
    "session_id state outcome exit_code error seen_at claimed_at started_at ended_at final_at run_s lock_wait_s"
    " slot_wait_s bytes_in bytes_out signals terminal cwd command requester_user requester_host worker_host namespace"
).split()

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_EPILOG = """\
times: a duration before now (90s, 30m, 2h, 2d, 1w) or an ISO date or time (2026-01-31, 2026-01-31T08:09), local
unless it says otherwise. --until with a date includes that day.

examples:
  pigeon history --cwd . --since 2d     what ran in this directory
  pigeon history --failed -n 5          the last five that failed
  pigeon history 1f2e3d4c               everything about one session
  pigeon history --json -n 0 | jq       all of them, for programs

On a machine without a journal the question goes to a worker. PIGEON_JOURNAL names the journal; NO_COLOR switches
colours off. Exit codes: 0; 1 no such session; 2 wrong usage; 255 no journal and no worker.
"""


@dataclass(frozen=True)
class Question:
    """What is asked, with nothing in it that depends on the place or the moment of asking."""

    wanted: Filter
    states: tuple[str, ...]
    """The words of `--state` and `--failed`."""
    count: int
    form: str
    """`table`, `json`, `csv` or `path`."""
    session: str | None


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Raises PigeonError; BrokenPipeError when the reader of its output has gone."""
    arguments = _parser().parse_args(args)
    question = _question(arguments, flags_of(arguments, globals_), clock.wall())
    config = load_config(arguments, globals_)
    explicit = "worker.journal" in flags_of(arguments, globals_)
    path = config.worker.journal or place.default_path()
    if not explicit and not os.path.lexists(path):
        return _ask(question, path, config)
    from pigeon.journal.store import Journal  # heavy, and not needed to ask a worker

    with Journal.open_readonly(path) as journal:
        lines = journal.read(lambda: list(_answer(question, journal.connection, journal.path)))
    _print(lines)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pigeon history",
        description="Show what ran through pigeon, newest last; with SESSION, one session's whole story.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "session", nargs="?", metavar="SESSION", help="an id, or a beginning that only one has"
    )
    parser.add_argument("--cwd", metavar="PATH", help="only what ran in this directory")
    parser.add_argument("--since", metavar="TIME", help="only what started at TIME or later")
    parser.add_argument("--until", metavar="TIME", help="only what started before TIME")
    parser.add_argument("--failed", action="store_true", help="only what failed; the same as --state failed")
    parser.add_argument("--state", action="append", choices=tuple(STATES), help="only these; may be repeated")
    parser.add_argument("--command", metavar="TEXT", help="only commands with TEXT in them, in any case")
    parser.add_argument(
        "-n", dest="count", type=int, default=DEFAULT_COUNT, metavar="N", help="the newest N; 0: all (20)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="one JSON array, stamps in UTC"
    )
    form.add_argument(
        "--csv", dest="form", action="store_const", const="csv", help="CSV with a heading, stamps in UTC"
    )
    form.add_argument(
        "--path", dest="form", action="store_const", const="path", help="where the journal is, its size"
    )
    parser.add_argument(
        "--journal", dest="worker.journal", metavar="PATH", help="read this journal (PIGEON_JOURNAL)"
    )
    add_common(parser)
    return parser


def _question(arguments: argparse.Namespace, flags: Mapping[str, str], now: float) -> Question:
    if arguments.count < 0:
        raise UsageError(f"`-n {arguments.count}`: a count cannot be negative", hint="`-n 0` shows all")
    if arguments.session is not None and arguments.form == "csv":
        raise UsageError("one session's story has no CSV form", hint="`--json` has everything")
    since = None if arguments.since is None else moment(arguments.since, now)
    until = None if arguments.until is None else moment(arguments.until, now, to_the_end=True)
    if since is not None and until is not None and since >= until:
        raise UsageError("`--since` is not before `--until`: nothing can have started in between")
    words = list(arguments.state or ()) + (["failed"] if arguments.failed else [])
    wanted = Filter(
        cwd=None if arguments.cwd is None else directory_of(arguments.cwd),
        since=since,
        until=until,
        states=tuple(state for word in words for state in STATES[word][0]),
        outcomes=tuple(outcome for word in words for outcome in STATES[word][1]),
        command=arguments.command,
        namespace=flags.get("namespace"),
        without=os.environ.get("PIGEON_QUESTION"),
    )
    return Question(wanted, tuple(words), arguments.count, arguments.form or "table", arguments.session)


def moment(typed: str, now: float, *, to_the_end: bool = False) -> float:
    """Unix seconds of a duration before `now` or of an ISO date or time. `to_the_end`: a date means its end.

    Raises:
        UsageError: neither.
    """
    number, unit = typed[:-1], typed[-1:]
    try:
        if unit in _UNITS and number.isascii() and number.replace(".", "", 1).isdigit():
            return max(0.0, now - float(number) * _UNITS[unit])
        if not set("T :").intersection(typed):
            day = date.fromisoformat(typed) + timedelta(days=1 if to_the_end else 0)
            return datetime.combine(day, time()).timestamp()
        return datetime.fromisoformat(typed).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"`{text.visible(typed)}` is neither a duration nor a time",
            hint="write `2d`, `90m`, `2026-01-31` or `2026-01-31T08:09`",
        ) from None


# Asking a worker


def _ask(question: Question, path: str, config: Config) -> int:
    host = socket.gethostname()
    if os.environ.get("PIGEON_SESSION"):
        raise JournalError(f"there is no journal `{path}` on {host}", hint="ask outside of a session")
    if config.cache is None:
        raise JournalError(
            f"there is no journal `{path}` on {host}, and no shared directory through which to ask a worker",
            hint="name the journal with `--journal PATH`, or the directory with `--cache DIR`",
        )
    from pigeon.client.ask import ask_worker

    return ask_worker(words(question), config)


def words(question: Question) -> list[str]:
    """The command line that asks the same anywhere."""
    wanted = question.wanted
    options: list[tuple[str, str | None]] = [
        ("cwd", wanted.cwd),
        ("since", None if wanted.since is None else clock.utc_text(wanted.since)),
        ("until", None if wanted.until is None else clock.utc_text(wanted.until)),
        *(("state", word) for word in question.states),
        ("command", wanted.command),
        ("namespace", wanted.namespace),
    ]
    asked = ["history", f"-n{question.count}"]
    asked += [
        f"--{name}={value}" for name, value in options if value is not None
    ]  # a value may begin with a dash
    asked += [f"--{question.form}"] if question.form != "table" else []
    return asked + ([question.session] if question.session is not None else [])


# Answering


def _answer(question: Question, connection: queries.Connection, path: str) -> Iterator[str]:
    if question.form == "path":
        yield from _place(connection, path)
    elif question.session is not None:
        yield from _one(question, connection)
    else:
        rows = queries.select(connection, question.wanted, question.count)
        yield from {"json": _json, "csv": _csv, "table": _table}[question.form](rows)


def _place(connection: queries.Connection, path: str) -> Iterator[str]:
    size = sum(os.path.getsize(name) for name in (path, f"{path}-wal") if os.path.exists(name))
    yield text.visible(path)
    yield f"{text.size(size)} ({size} bytes), {queries.count(connection)} sessions, on {socket.gethostname()}"


def _one(question: Question, connection: queries.Connection) -> Iterator[str]:
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
    if question.form == "json":
        story = {
            "claims": [text.record(row) for row in rows],
            "events": [text.event_record(event) for event in events],
            "session_id": found[0],
            "waits": [text.wait_record(wait) for wait in waits],
        }
        yield json.dumps(story, indent=1)
    else:
        yield from text.story(rows, waits, events, _look())


def _json(rows: Sequence[Row]) -> Iterator[str]:
    """One array, one object a line: for programs, and for `grep`."""
    records = [json.dumps(text.record(row)) for row in rows]
    yield "[" + ",\n ".join(records) + "]"


def _csv(rows: Sequence[Row]) -> Iterator[str]:
    """Escapes as in the table, since it may be printed on a terminal; JSON has the exact bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for row in rows:
        fields = {**text.record(row), "bytes_out": row.bytes_out, "command": row.text}
        values = (fields[name] for name in CSV_FIELDS)
        writer.writerow(text.visible(value) if isinstance(value, str) else value for value in values)
    yield out.getvalue().removesuffix("\n")


def _table(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        sys.stderr.write("pigeon: no session in the journal matches\n")
        return
    yield from text.table(rows, _look())


def _look() -> text.Look:
    """What stdout is. A worker that answers for another machine gets COLUMNS and FORCE_COLOR from there."""
    environ, on_terminal = os.environ, sys.stdout.isatty()
    columns = min(int(environ["COLUMNS"][:6]), 10_000) if environ.get("COLUMNS", "").isdecimal() else 0
    if not columns and on_terminal:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    colour = on_terminal and environ.get("TERM") != "dumb"
    if environ.get("NO_COLOR"):
        colour = False
    elif environ.get("FORCE_COLOR"):
        colour = True
    ellipsis = "…" if "…".encode(sys.stdout.encoding, "ignore") else "..."
    return text.Look(columns or None, colour, clock.wall(), ellipsis)


def _print(lines: Sequence[str]) -> None:
    """To stdout, in its encoding; what that cannot express becomes an escape."""
    data = "".join(f"{line}\n" for line in lines).encode(sys.stdout.encoding, "backslashreplace")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
