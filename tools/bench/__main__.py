"""`tools/bench/run`: chooses cases, sets up the lab, runs, prints, writes.

Exit code 1 if a target was missed, 255 if it could not run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from . import cases as rows
from .contenders import BARE_CLIENT, Contender, Pigeon, Python, Served, Ssh, TwoCaches
from .lab import Failed, Lab
from .report import Json, as_json, case_lines, comparison_lines, judge, target_lines
from .rounds import run_case, run_curve, say
from .sshd import Sshd
from .svg import line_chart
from .table import Case

_REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    options = _parser().parse_args(argv)
    if options.list:
        print("\n".join(f"{case.name:<20} {case.what}" for case in rows.CASES))
        return 0
    if options.report:
        return _compare_files(options.report, options.compare)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # so that what was started is ended
    try:
        return _run(options)
    except Failed as error:
        say(f"bench: {error}")
        return 255


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench/run", description="How fast pigeon is and what it costs, beside bash and ssh."
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="CASE",
        help="this case only (may be repeated; `--list` names them)",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of every case (default: the case's own number)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a third of the rounds, nothing that waits for a minute, no curves",
    )
    parser.add_argument(
        "--long", action="store_true", help="also the cases that wait for ten minutes and an hour"
    )
    parser.add_argument(
        "--curves", choices=("yes", "no", "only"), help="whether to draw curves (default: yes in a full run)"
    )
    parser.add_argument(
        "--pigeon",
        metavar="COMMAND",
        help="the pigeon to measure (default: installed with pip into a fresh venv)",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another executable with the same command line; gets a worker, if `COMMAND worker` stays up",
    )
    parser.add_argument(
        "--shares",
        metavar="CLIENT:WORKER",
        help="two directories: one share, as the client and as the worker see it",
    )
    parser.add_argument(
        "--served",
        metavar="DIR",
        help="a `true` and an echo, as they are from here to a worker that runs already, with DIR as its `cache` and "
        "`bench` as its namespace",
    )
    parser.add_argument(
        "--out",
        default="bench-results",
        metavar="DIR",
        help="for results.json, report.txt and *.svg (default: %(default)s)",
    )
    parser.add_argument(
        "--compare", metavar="OLD.json", help="say what changed since an earlier results file"
    )
    parser.add_argument(
        "--report",
        metavar="NEW.json",
        help="measure nothing; print this results file (with --compare: what changed)",
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    return parser


def _run(options: argparse.Namespace) -> int:
    out = os.path.abspath(options.out)
    old = _load(options.compare) if options.compare else None
    chosen = _chosen(options)
    shares = tuple(os.path.abspath(path) for path in options.shares.split(":")) if options.shares else None
    if shares is not None and len(shares) != 2:
        raise Failed("`--shares` takes two directories with a colon between them")
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab((shares[0], shares[1]) if shares else None, options.served))
        pigeon = _command(options.pigeon) if options.pigeon else _install(lab)
        if options.served:
            contenders = {one.name: one for one in (Contender(rows.BASH), Served(rows.PIGEON, pigeon))}
        else:
            contenders = _contenders(stack.enter_context(Sshd(lab)), pigeon, options.peer)
        results: Json = {"about": _about(pigeon, shares), "cases": {}, "targets": [], "curves": {}}
        lines: list[str] = []
        for case in chosen:
            rounds = options.rounds or (max(1, -(-case.rounds // 3)) if options.quick else case.rounds)
            say(f"{case.name} …")
            result = run_case(lab, case, _those(contenders, case, options.peer), rounds)
            print("\n".join(case_lines(result)), flush=True)
            lines += case_lines(result)
            results["cases"][case.name] = as_json(result)
            results["targets"] += judge(result)
            _write(out, results, lines)
        few = options.quick or options.only or options.served
        if (options.curves or ("no" if few else "yes")) != "no":
            _draw(lab, contenders, results, out)
    lines += ["", *target_lines(results["targets"])]
    if old:
        lines += ["", f"compared with {options.compare}:", *comparison_lines(old, results)]
    _write(out, results, lines)
    print("\n".join(lines[len(lines) - _tail(lines) :]))
    say(f"written: {out}/results.json, report.txt")
    return 1 if any(t["verdict"].startswith(("MISSED", "FAILED")) for t in results["targets"]) else 0


def _tail(lines: list[str]) -> int:
    return len(lines) - lines.index("")


def _chosen(options: argparse.Namespace) -> list[Case]:
    if options.served:
        return [replace(case, targets=()) for case in rows.CASES if case.name in rows.SERVED]
    if options.curves == "only":
        return []
    if options.only:
        unknown = set(options.only) - {case.name for case in rows.CASES}
        if unknown:
            raise Failed(f"no case is called {', '.join(sorted(unknown))}; `--list` names them")
        return [case for case in rows.CASES if case.name in options.only]
    return [
        case
        for case in rows.CASES
        if (options.long or not case.long) and not (options.quick and case.minutes)
    ]


def _contenders(sshd: Sshd, pigeon: list[str], peers: list[str]) -> dict[str, Contender]:
    found: list[Contender] = [
        Contender(rows.BASH),
        Ssh(rows.SSH, sshd, "-T", False),
        Ssh(rows.MUX, sshd, "-T", True),
        Ssh(rows.SSH_TT, sshd, "-tt", False),
        Ssh(rows.MUX_TT, sshd, "-tt", True),
        Python(rows.PYTHON, _interpreter(pigeon[0])),
        Python(rows.BARE_CLIENT, _interpreter(pigeon[0]), BARE_CLIENT),
        Pigeon(rows.PIGEON, pigeon),
        Pigeon(rows.CONFIG, pigeon, with_config=True),
        Pigeon(rows.CROWD, pigeon, crowd=rows.CROWD_SIZE),
        Pigeon(rows.TRACED, pigeon, traced=True),
        TwoCaches(rows.TWO_CACHES, pigeon),
    ]
    for peer in peers:
        name, equals, command = peer.partition("=")
        if not equals or not command:
            raise Failed(f"`--peer {peer}`: write NAME=COMMAND")
        found.append(Pigeon(name, _command(command)))
    return {contender.name: contender for contender in found}


def _interpreter(script: str) -> str:
    """What runs an installed script, from its first line; the bench's own for anything else."""
    path = shutil.which(script)
    if path is None:
        return sys.executable
    with open(path, "rb") as file:
        first = file.readline(4096)
    return (
        os.fsdecode(first[2:].strip()) if first.startswith(b"#!/") and b" " not in first else sys.executable
    )


def _those(contenders: dict[str, Contender], case: Case, peers: list[str]) -> list[Contender]:
    extra = [peer.partition("=")[0] for peer in peers] if case.peers else []
    return [contenders[name] for name in (*case.who, *extra) if name in contenders]


def _command(text: str) -> list[str]:
    words = shlex.split(text)
    if os.sep in words[0]:
        words[0] = os.path.abspath(words[0])
    return words


def _install(lab: Lab) -> list[str]:
    """As the README says: `pip install` into a virtual environment."""
    say("installing pigeon …")
    venv = f"{lab.root}/venv"
    for step in (
        [lab.python, "-m", "venv", venv],
        [f"{venv}/bin/pip", "install", "-q", "--disable-pip-version-check", _REPOSITORY],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"`{shlex.join(step)}`: {(done.stderr or done.stdout).strip()[-400:]}")
    return [f"{venv}/bin/pigeon"]


def _about(pigeon: list[str], shares: tuple[str, ...] | None) -> Json:
    version = subprocess.run(
        [*pigeon, "--version"], capture_output=True, text=True, check=False
    ).stdout.strip()
    commit = subprocess.run(
        ["git", "-C", _REPOSITORY, "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "pigeon": version,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "shares": shares,
    }


def _draw(lab: Lab, contenders: dict[str, Contender], results: Json, out: str) -> None:
    for curve in rows.CURVES:
        say(f"curve {curve.name} …")
        series = run_curve(lab, curve, [contenders[name] for name in curve.who])
        results["curves"][curve.name] = series
        with open(f"{_made(out)}/{curve.name}.svg", "w", encoding="utf-8") as file:
            file.write(line_chart(curve.title, curve.x_label, curve.y_label, series, curve.log_x))


def _made(out: str) -> str:
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/.gitignore", "w", encoding="ascii") as file:
        file.write("*\n")  # results belong to the machine, not to the repository
    return out


def _write(out: str, results: Json, lines: list[str]) -> None:
    with open(f"{_made(out)}/results.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    with open(f"{out}/report.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _load(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as file:
            loaded: Json = json.load(file)
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be read: {error}") from error
    return loaded


def _compare_files(new: str, old: str | None) -> int:
    results = _load(new)
    lines = comparison_lines(_load(old), results) if old else target_lines(results["targets"])
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
