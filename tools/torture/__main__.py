"""`tools/torture/run`: plan, run, judge, print.

Exit code 1 if a promise was broken; the directory is then kept, and its path and the violations are printed.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tools.torture import plan
from tools.torture.field import Field
from tools.torture.judge import Judge
from tools.torture.trouble import share_on


class Report:
    """How a run went."""

    def __init__(self, base: Path, field: Field, judge: Judge, violations: list[str], seconds: float) -> None:
        self.base = base
        self.violations = violations
        self.sessions = len(field.clients)
        self.kills = field.kills
        self.summary = (
            f"{len(field.clients)} sessions, {judge.counts['started']} commands started, {field.kills} kills, "
            f"{field.blows} other blows, {seconds:.0f} s: {len(violations)} violations"
        )
        self.details = "\n".join(
            f"  {count:6} {what}" for what, count in sorted(Counter(judge.counts).items())
        )


def say(text: str) -> None:
    """A line of progress."""
    print(f"torture: {text}", flush=True)


def torture(
    base: Path,
    *,
    wanted: plan.Wanted,
    parallel: int = 10,
    minutes: float = 600.0,
) -> Report:
    """One run below the directory `base`, which must be empty."""
    began = time.monotonic()
    the_plan = plan.make(wanted)
    say(f"{wanted.options}, plan {the_plan.digest}; in {base}")
    with share_on(wanted.mount, base) as (share, trouble):
        field = Field(base, share, the_plan, trouble, parallel=parallel, until_s=60 * minutes)
        field.run(say)
    judge = Judge(base, field.clients, field.owners, field.first_ends)
    violations = field.problems + (judge.check_lost() if wanted.is_lost else judge.check())
    return Report(base, field, judge, violations, time.monotonic() - began)


def main() -> int:
    """Run as asked."""
    parser = argparse.ArgumentParser(
        prog="tools/torture/run", description="Many sessions while whatever can die is killed."
    )
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50, help="besides those at named steps")
    parser.add_argument("--seed", type=int, default=None, help="the same seed, the same schedule")
    parser.add_argument("--mount", choices=plan.MOUNTS, default=plan.PLAIN, help="what the share lies on")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*plan.KINDS, plan.JOB),
        default=[],
        help="sessions of these kinds; can be repeated",
    )
    parser.add_argument(
        "--lost",
        action="store_true",
        help="in the end the share is taken away for good (plain only); 7 minutes",
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="begin nothing new after so long")
    parser.add_argument("--parallel", type=int, default=10, help="clients at a time, at most")
    parser.add_argument("--keep", action="store_true", help="keep the directory in any case")
    parser.add_argument("--plan", action="store_true", help="print the schedule and do nothing")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    wanted = plan.Wanted(
        seed, options.sessions, options.kills, options.mount, tuple(options.only), options.lost
    )
    if options.plan:
        for step in plan.make(wanted).steps:
            print(step)
        return 0
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        # Caught, so that clients have the default: under nohup(1) or in the background they would inherit "ignored",
        # and not hear when their window is closed.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    base = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-"))
    report = torture(base, wanted=wanted, parallel=options.parallel, minutes=options.minutes)
    print(report.details)
    for violation in report.violations:
        print(f"VIOLATION {violation}")
    say(report.summary)
    if report.violations:
        say(f"kept: {base}; again: {wanted.options}")
        return 1
    if not options.keep:
        shutil.rmtree(base)
    return 0


if __name__ == "__main__":
    sys.exit(main())
