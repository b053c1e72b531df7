"""`pigeon history`: what ran, where, and how it ended, from the journal of this machine or of a worker's.

Reads only; never makes a journal. Where this machine has none, the same question goes through a session to a worker,
with paths and times made absolute first, since `.` and `2d` mean something else there.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Mapping

from pigeon import clock
from pigeon.commands.arguments import Parser, add_common, add_settings, directory_of, flags_of, load_config
from pigeon.config import Config
from pigeon.errors import JournalError, PigeonError, UsageError
from pigeon.journal import place, states
from pigeon.journal.queries import Filter
from pigeon.printing import complain, say
from pigeon.report import history_table as text
from pigeon.report.history_answer import ORDERS, Answer, Question, answer
from pigeon.report.moments import moment
from pigeon.report.statistics import GROUPS

DEFAULT_COUNT = 20
DEFAULT_GROUPS = 12
PAGE_COUNT = 5000
"""A page of so many is some megabytes, and is drawn in a moment."""

STATES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "claimed": (states.NOT_STARTED, ()),
    "running": (states.AT_WORK, ()),
    "exited": ((states.EXITED,), ()),
    "final": ((states.FINAL,), ()),
    "succeeded": ((), ("succeeded",)),
    "failed": ((), ("failed",)),
    "cancelled": ((), ("cancelled",)),
}
"""`--state` -> the journal's states and outcomes that it means."""

_EPILOG = """\
times: a duration before now (90s, 30m, 2h, 2d, 1w), `today`, `yesterday`, or an ISO date or time (2026-01-31,
2026-01-31T08:09), local unless it says otherwise. --until with a day includes that day.

columns: TOOK is the command's own time; WAIT what it waited before, for a free slot and for its directory.

examples:
  pigeon history --cwd . --since 2d     what ran in this directory
  pigeon history --failed -n 5          the last five that failed
  pigeon history 1f2e3d4c               everything about one session
  pigeon history --stats directory      how much ran, failed and waited, and where
  pigeon history --sort waited -n 5     the five that waited longest
  pigeon history --html day.html        a page to look at: who waited for whom, bytes, failures
  pigeon history --json -n 0 | jq       all of them, for programs

On a machine without a journal the question goes to a worker. PIGEON_JOURNAL names the journal; NO_COLOR switches
colours off. Exit codes: 0; 1 no such session; 2 wrong usage; 255 no journal and no worker.
"""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Raises PigeonError; BrokenPipeError when the reader of its output has gone."""
    arguments = _parser().parse_args(args)
    question = _question(arguments, flags_of(arguments, globals_), clock.wall())
    config = load_config(arguments, globals_)
    explicit = "worker.journal" in flags_of(arguments, globals_)
    path = config.worker.journal or place.default_path()
    if not explicit and not os.path.lexists(path):
        if arguments.html is not None:
            return _write_page(arguments.html, lambda: _ask(question, path, config))
        return _ask(question, path, config)
    from pigeon.journal.store import Journal  # heavy, and not needed to ask a worker

    look = _look()
    with Journal.open_readonly(path) as journal:
        answered = journal.read(lambda: answer(question, journal.connection, journal.path, look))
    if arguments.html is not None:
        return _write_page(arguments.html, lambda: _print(answered))
    return _print(answered)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pigeon history",
        usage="pigeon history [OPTIONS] [SESSION]",
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
    parser.add_argument("--all", action="store_true", help="pigeon's own questions to a worker as well")
    parser.add_argument(
        "--sort", choices=tuple(ORDERS), help="the largest first, by running time, waiting time or bytes"
    )
    parser.add_argument(
        "--stats",
        nargs="?",
        const="day",
        choices=tuple(GROUPS),
        help="sums by day, directory or program (day)",
    )
    parser.add_argument(
        "--net", action="store_true", help="where `pigeon net` was connected to; with --since, -n and --json"
    )
    parser.add_argument(
        "-n", dest="count", type=int, metavar="N", help="the newest N; 0: all (20; --stats: 12; --html: 5000)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", dest="form", action="store_const", const="json", help="one JSON array, stamps in UTC"
    )
    form.add_argument(
        "--csv", dest="form", action="store_const", const="csv", help="CSV with a heading, stamps in UTC"
    )
    form.add_argument(
        "--path",
        dest="form",
        action="store_const",
        const="path",
        help="where the journal is; on a terminal, how large as well",
    )
    form.add_argument(
        "--html", metavar="FILE", help="write one page to look at, which needs no network; `-`: to stdout"
    )
    add_settings(parser, "worker.journal")
    add_common(parser)
    return parser


def _question(arguments: argparse.Namespace, flags: Mapping[str, str], now: float) -> Question:
    form = "html" if arguments.html is not None else arguments.form or "table"
    usual = {"html": PAGE_COUNT}.get(form, DEFAULT_COUNT if arguments.stats is None else DEFAULT_GROUPS)
    count = usual if arguments.count is None else arguments.count
    if count < 0:
        raise UsageError(f"`-n {count}`: a count cannot be negative", hint="`-n 0` shows all")
    _refuse_together(arguments, form)
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
        own=arguments.all,
    )
    return Question(
        wanted,
        tuple(words),
        count,
        form,
        arguments.session,
        order=arguments.sort,
        stats=arguments.stats,
        net=arguments.net,
    )


def _refuse_together(arguments: argparse.Namespace, form: str) -> None:
    if arguments.session is not None and form in ("csv", "html"):
        raise UsageError(
            f"one session's story has no {form.upper()} form",
            hint="`--json` has everything; the page of `--html` tells each story on a click",
        )
    if arguments.net and (arguments.session is not None or form in ("csv", "html", "path")):
        raise UsageError("`--net` goes neither with SESSION nor with another form than `--json`")
    if arguments.stats is not None and (arguments.session is not None or form == "html"):
        raise UsageError("`--stats` sums up sessions, so it goes neither with SESSION nor with `--html`")


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
    asked += ["--net"] if question.net else []
    asked += ["--all"] if wanted.own else []
    asked += [f"--sort={question.order}"] if question.order is not None else []
    asked += [f"--stats={question.stats}"] if question.stats is not None else []
    asked += (
        ["--html=-" if question.form == "html" else f"--{question.form}"] if question.form != "table" else []
    )
    return asked + ([question.session] if question.session is not None else [])


# What stdout is


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


def _print(answered: Answer) -> int:
    """To stdout, in its encoding; what that cannot express becomes an escape."""
    for line in answered.lines:
        say(line, lines=True, colours=True)
    sys.stdout.flush()
    # Beside a path that a program takes, nobody wants to read how large the file is.
    for note in answered.notes if answered.lines == [] or sys.stdout.isatty() else ():
        complain(note)
    return 0


def _write_page(path: str, write: Callable[[], int]) -> int:
    """Let `write` fill `path` (`-`: stdout) through stdout, whoever answers; the file appears when it is whole.

    Raises:
        PigeonError: it cannot be written.
    """
    if path == "-":
        return write()
    temporary = f"{path}.{os.getpid()}.tmp"
    terminal = os.dup(1)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.dup2(fd, 1)
        finally:
            os.close(fd)
        try:
            code = write()
        finally:
            os.dup2(terminal, 1)
        if code == 0:
            os.replace(temporary, path)
    except OSError as error:
        raise PigeonError(f"`{text.visible(path)}` cannot be written: {error.strerror}") from error
    finally:
        os.close(terminal)
        if os.path.lexists(temporary):
            os.unlink(temporary)
    if code == 0:
        complain(f"wrote {os.path.abspath(path)}")
    return code
