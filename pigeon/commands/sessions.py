"""`pigeon sessions`: what is pending and running in the namespace, and who waits for whom."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pigeon import clock
from pigeon.commands.arguments import Parser, add_common, directory_of, load_config, seconds
from pigeon.printing import say
from pigeon.report import session_view
from pigeon.report.overview import collect, describe, table
from pigeon.report.screen import END, QUIT_KEYS, Screen
from pigeon.report.text import clean, terminal_columns
from pigeon.wire.names import Namespace
from pigeon.wire.worker_file import WorkerFiles

WATCH_S = 2.5
"""How long to look for life: a worker says something every second, a client every five, so only workers for sure."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """List sessions. Raises PigeonError."""
    parser = Parser(prog="pigeon sessions", description="List what is pending and running in the namespace.")
    parser.add_argument(
        "--all", action="store_true", help="finished ones too, as long as they are on the share"
    )
    parser.add_argument("--cwd", metavar="PATH", help="only those in this directory")
    parser.add_argument("--json", action="store_true", help="as one JSON array")
    parser.add_argument(
        "--watch", nargs="?", const=2.0, type=seconds, metavar="TIME", help="again each TIME (2s), until `q`"
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    cwd = directory_of(arguments.cwd) if arguments.cwd else None
    if arguments.watch is not None:
        if arguments.json:
            parser.error("--watch draws on a terminal, so it does not go with --json")
        return _watch(namespace, arguments.watch, everything=arguments.all, cwd=cwd)
    views = collect(namespace, everything=arguments.all, cwd=cwd)
    workers, live = session_view.live_workers(namespace, patience_s=WATCH_S if views else 0.0)
    rows = describe(views, workers, live)
    if arguments.json:
        say(json.dumps(rows, indent=2), lines=True)
    elif rows:
        for line in table(rows, terminal_columns()):
            say(line)
    else:
        say(_nothing(namespace), stderr=True)
    return 0


def _nothing(namespace: Namespace) -> str:
    return f"no session is pending or running in namespace `{clean(namespace.name)}`"


def _watch(namespace: Namespace, interval_s: float, *, everything: bool, cwd: str | None) -> int:
    workers = WorkerFiles(namespace)

    def lines(columns: int, rows: int) -> list[str]:
        now = clock.monotonic()
        session_view.look(workers, now)
        live = {name for name in workers.workers if workers.lives(name, now, WATCH_S)}
        views = collect(namespace, everything=everything, cwd=cwd)
        found = describe(views, workers.workers, live)
        return table(found, columns)[:rows] if found else [_nothing(namespace)]

    with Screen() as screen:
        key = ""
        while key not in (*QUIT_KEYS, END):
            screen.draw(lines(screen.columns, screen.rows))
            key = screen.key(interval_s)
        return screen.exit_code
