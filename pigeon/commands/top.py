"""`pigeon top`: workers, what runs, and what waits for whom, drawn anew each second; keys attach, watch, read, stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pigeon import clock
from pigeon.commands.arguments import Parser, add_common, flags_of, load_config, seconds
from pigeon.errors import PigeonError
from pigeon.printing import say
from pigeon.report import session_view
from pigeon.report.overview import collect, describe, table
from pigeon.report.screen import END, QUIT_KEYS, Line, Screen
from pigeon.report.text import clean, table_lines
from pigeon.text import cut, duration, width
from pigeon.wire import states
from pigeon.wire.names import Namespace
from pigeon.wire.worker_file import WorkerFile, WorkerFiles

LIVES_S = 5.0
"""A worker writes its file every second; a mount's cache may hide it for some more."""

ALIGNED = 500
"""So many sessions share their columns' widths; of more, those on the screen, since each key draws anew."""

_ORDERS: dict[str, tuple[list[str], str]] = {
    "enter": (["attach"], "attach to"),
    "a": (["attach"], "attach to"),
    "w": (["attach", "--read-only"], "watch"),
    "l": (["logs"], "read the output of"),
    "i": (["inspect"], "inspect"),
}
"""Key -> the verb that it runs for the chosen session."""

_HELP = "↑↓ choose   Enter attach   w watch   l logs   i inspect   s stop   q quit"


@dataclass
class Picture:
    """One look at the namespace."""

    workers: Mapping[str, WorkerFile] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    rows: list[dict[str, object]] = field(default_factory=list)
    """As `pigeon sessions --json` has them: what runs first, then what waits."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Until `q`. Raises PigeonError."""
    parser = Parser(
        prog="pigeon top",
        description="Show the workers, what runs, and what waits for whom, until `q`. Keys: arrows or j, k choose; "
        "Enter attaches, w watches, l shows the output, i inspects, s stops.",
        epilog="With other arguments, `pigeon top …` runs the program of that name over there.",
    )
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="TIME", help="look again after TIME (1s)"
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    common = [f"--{name}={value}" for name, value in flags_of(arguments, globals_).items() if "." not in name]
    return Top(namespace, max(0.1, arguments.interval), common).run()


class Top:
    """What is shown, what is chosen, and what a key does."""

    def __init__(self, namespace: Namespace, interval_s: float, common: list[str]) -> None:
        self._namespace = namespace
        self._interval_s = interval_s
        self._common = common
        self._workers = WorkerFiles(namespace)
        self._ended: set[str] = set()
        self._picture = Picture()
        self._chosen: str | None = None
        self._asks_to_stop = False
        self._said = ""
        self._began = clock.monotonic()

    def run(self) -> int:
        """Returns the exit code."""
        with Screen() as screen:
            look_at = clock.monotonic()
            while True:
                now = clock.monotonic()
                if now >= look_at:
                    self._look(now)
                    # A share that is slow to answer gets as much time to itself as it took.
                    look_at = clock.monotonic() + max(self._interval_s, clock.monotonic() - now)
                screen.draw(self.lines(screen.columns, screen.rows))
                key = screen.key(max(0.0, look_at - clock.monotonic()))
                if key == END or (key in QUIT_KEYS and not self._asks_to_stop):
                    return screen.exit_code
                if key and self._obey(key, screen):
                    look_at = clock.monotonic()

    def _look(self, now: float) -> None:
        try:
            session_view.look(self._workers, now)
            views = collect(self._namespace, ended=self._ended)
            # None is called silent before it has been watched for long enough.
            is_new = now - self._began < LIVES_S
            names = self._workers.workers
            live = {name for name in names if is_new or self._workers.lives(name, now, LIVES_S)}
            rows = describe(views, self._workers.workers, live)
        except PigeonError as error:
            self._said = error.message
            return
        rows.sort(key=lambda row: (row["state"] != states.RUNNING, str(row["session_id"])))
        self._picture = Picture(self._workers.workers, live, rows)
        ids = [str(row["session_id"]) for row in rows]
        if self._chosen not in ids:
            self._chosen = ids[0] if ids else None
            self._asks_to_stop = False

    def lines(self, columns: int, height: int) -> list[Line]:
        """The whole screen."""
        found = self._picture
        running = sum(row["state"] == states.RUNNING for row in found.rows)
        title = (
            f"pigeon top · namespace {clean(self._namespace.name)} · {_number(len(found.live), 'worker')} · "
        )
        lines = [
            (cut(f"{title}{running} running, {len(found.rows) - running} waiting", columns), "1"),
            ("", ""),
        ]
        lines += self._worker_lines(columns, max(3, (height - 5) // 3))
        lines.append(("", ""))
        lines += self._session_lines(columns, max(1, height - len(lines) - 2))
        foot = self._said or _HELP
        if self._asks_to_stop and self._chosen:
            foot = f"stop {session_view.short_id(self._chosen)}? y / n"
        lines = lines[: height - 1]
        lines += [("", "")] * (height - 1 - len(lines))
        return [*lines, (cut(foot, columns), "1" if self._said or self._asks_to_stop else "2")]

    def _worker_lines(self, columns: int, most: int) -> list[Line]:
        found = self._picture
        names = sorted(found.workers, key=lambda name: (name not in found.live, name))
        if not names:
            return [("no worker: start `pigeon worker` on the machine with internet", "33")]
        lines = []
        for name in names:
            worker = found.workers[name]
            state = "draining" if worker.is_draining else "full" if worker.is_full else "ready"
            up = session_view.seconds_since(worker.started_at)
            busy = f"{len(worker.entries)}/{worker.max_jobs if worker.max_jobs is not None else '?'}"
            shown = state if name in found.live else "silent"
            up_for = duration(up) if up is not None and name in found.live else "-"
            lines.append((name, shown, busy, up_for, worker.version or "?", worker.route or "-"))
        texts = table_lines(("WORKER", "STATE", "BUSY", "UP", "VERSION", "ROUTE"), lines, columns)
        looks = ["2", *("" if name in found.live else "31" for name in names)]
        drawn = list(zip(texts, looks, strict=True))
        return (
            drawn
            if len(drawn) <= most
            else [*drawn[: most - 1], (f"… and {len(drawn) - most + 1} more", "2")]
        )

    def _session_lines(self, columns: int, most: int) -> list[Line]:
        rows = self._picture.rows
        if not rows:
            return [("nothing runs or waits", "2")]
        place = next((n for n, row in enumerate(rows) if row["session_id"] == self._chosen), 0)
        first = max(0, min(place - most // 2, len(rows) - (most - 1)))
        end = first + most - 1
        if len(rows) > ALIGNED:
            rows, first, end = rows[first:end], 0, most - 1
        heading, *lines = table(rows, columns)
        shown: list[Line] = [(heading, "2")]
        for row, line in list(zip(rows, lines, strict=True))[first:end]:
            is_troubled = row["worker_alive"] is False or row["client"] == "silent"
            look = "31" if is_troubled else "" if row["state"] == states.RUNNING else "33"
            if row["session_id"] == self._chosen:
                line, look = line + " " * (columns - width(line)), "7"
            shown.append((cut(line, columns), look))
        return shown

    def _obey(self, key: str, screen: Screen) -> bool:
        """Do what the key means; True if the picture may have changed by it."""
        self._said = ""
        ids = [str(row["session_id"]) for row in self._picture.rows]
        if self._asks_to_stop:
            self._asks_to_stop = False
            if key == "y" and self._chosen is not None:
                self._said = self._ask(["stop", self._chosen])
            return True
        if key in ("up", "k", "down", "j") and self._chosen in ids:
            place = ids.index(str(self._chosen)) + (1 if key in ("down", "j") else -1)
            self._chosen = ids[max(0, min(place, len(ids) - 1))]
        elif key == "s" and self._chosen is not None:
            self._asks_to_stop = True
        elif key in _ORDERS and self._chosen is not None:
            self._lend(screen, [*_ORDERS[key][0], self._chosen])
            return True
        return False

    def _lend(self, screen: Screen, words: Sequence[str]) -> None:
        """Let a verb have the terminal, and wait for its end."""
        screen.give_back()
        # Its Ctrl-C reaches us as well; a handler, unlike SIG_IGN, is not inherited.
        former = signal.signal(signal.SIGINT, lambda _number, _frame: None)
        try:
            code = subprocess.run(self._pigeon(words)).returncode
            if words[0] != "attach" or code:
                say(
                    f"\n[{' '.join(words[:-1])}: exit code {code}; Enter goes back to pigeon top]",
                    lines=True,
                    flush=True,
                )
                sys.stdin.readline()
        finally:
            signal.signal(signal.SIGINT, former)
            screen.take()

    def _ask(self, words: Sequence[str]) -> str:
        """The first line that a verb says."""
        argv = self._pigeon(words)
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        said = (done.stdout + done.stderr).strip().splitlines()
        return clean(said[0]) if said else ""

    def _pigeon(self, words: Sequence[str]) -> list[str]:
        from pigeon.commands.itself import own_command  # heavy, and needed for an order only

        return [*own_command(), *self._common, *words]


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
