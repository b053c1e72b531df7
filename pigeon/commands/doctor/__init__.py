"""`pigeon doctor`: is the share usable from here, and what does it really do?

Each check runs in a child process with a deadline, since what it looks for may hang. What the checks make on the share
is in a directory of their own, removed at the end.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from pigeon.commands.arguments import Parser, add_common, directory_of, load_config
from pigeon.commands.doctor import checks, other_side, quota, release, sharing
from pigeon.commands.doctor.checks import FAIL, Finding, Patient
from pigeon.config import Config
from pigeon.errors import PigeonError, no_process
from pigeon.printing import say
from pigeon.report.text import clean, terminal_columns
from pigeon.text import fold

DEADLINE_S = 15.0
"""A check that takes longer hangs, as far as a user is concerned."""

_TEXT_AT = 19
"""The column in which a finding begins."""

CHECKS: tuple[tuple[str, Callable[[Patient, Config], list[Finding]]], ...] = (
    ("cache", checks.check_cache),
    ("parents", checks.check_way),
    ("filesystem", checks.check_filesystem),
    ("sharing", sharing.check_sharing),
    ("space", checks.check_space),
    ("quota", quota.check_quota),
    ("operations", checks.check_operations),
    ("speed", checks.check_speed),
    ("journal", checks.check_journal),
    ("lingering", checks.check_lingering),
    ("profile", checks.check_profile),
    ("workers", checks.check_workers),
    ("other side", other_side.check_other_side),
)


@dataclass
class Line:
    """One line of the report."""

    check: str
    level: str
    text: str
    remedy: str = ""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Exit code 1 if anything is FAIL. Raises PigeonError."""
    parser = Parser(
        prog="pigeon doctor",
        description="Look whether the share can be used from here, and what it really does.",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON array")
    parser.add_argument(
        "--release",
        metavar="DIRECTORY",
        help="free the lock of DIRECTORY, if its holder on this host is dead",
    )
    parser.add_argument(
        "--gone-host",
        metavar="HOST",
        help="with --release: if its holder on HOST is dead, which you know to be down for good",
    )
    parser.add_argument("--help-out", metavar="NAME", help=argparse.SUPPRESS)
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    if arguments.help_out:
        return other_side.help_out(arguments.help_out, config)
    if arguments.release:
        return release.release(config, directory_of(arguments.release), arguments.gone_host)
    if arguments.gone_host:
        parser.error("--gone-host HOST goes with --release DIRECTORY")
    patient = Patient(config.require_cache(), config.namespace, config.route, config.share_trust)
    lines = examine(patient, config, live=not arguments.json)
    if arguments.json:
        say(json.dumps([asdict(line) for line in lines], indent=2), lines=True)
    return 1 if any(line.level == FAIL for line in lines) else 0


def examine(patient: Patient, config: Config, *, live: bool) -> list[Line]:
    """Run every check in turn. `live`: print each line as it comes."""
    lines = []
    for name, check in CHECKS:
        for finding in bounded(lambda check=check: check(patient, config)):  # type: ignore[misc]
            line = Line(name, finding.level, finding.text, finding.remedy)
            lines.append(line)
            if live:
                _print(line)
        if name in ("cache", "parents", "filesystem") and lines[-1].level == FAIL:
            break
    bounded(lambda: checks.tidy(patient))
    return lines


def bounded(check: Callable[[], list[Finding]]) -> list[Finding]:
    """What `check` finds, run in a child; a finding of its own if the child hangs or dies.

    Raises PigeonError: no process is left.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    try:
        pid = os.fork()
    except OSError as error:
        raise no_process(error) from error
    if pid == 0:
        _in_child(check, writing)
    os.close(writing)
    data = b""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while poll.poll(DEADLINE_S * 1000):
        got = os.read(reading, 65536)
        if not got:
            break
        data += got
    else:
        os.kill(pid, signal.SIGKILL)  # not waited for: a process in a call that hangs may not even be killed
        os.close(reading)
        return [
            Finding(
                FAIL,
                f"no answer within {DEADLINE_S:.0f} s: the mount hangs",
                "`findmnt`, and the file server",
            )
        ]
    os.close(reading)
    os.waitpid(pid, 0)
    try:
        return [Finding(*item) for item in json.loads(data)]
    except ValueError:
        return [Finding(FAIL, "the check itself died", "run it again; if it stays, report it")]


def _in_child(check: Callable[[], list[Finding]], writing: int) -> None:
    try:
        try:
            found = check()
        except PigeonError as error:
            found = [Finding(FAIL, error.message, error.hint or "")]
        except OSError as error:
            where = f"`{error.filename}`: " if error.filename else ""
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = checks.MAKE_ROOM if is_full else "look at the mount and its permissions"
            found = [Finding(FAIL, f"{where}{error.strerror or error}", remedy)]
        data = json.dumps([(f.level, f.text, f.remedy) for f in found]).encode()
        while data:
            data = data[os.write(writing, data) :]
    finally:
        os._exit(0)


def _print(line: Line) -> None:
    texts = [f"{line.level:<4}  {line.check:<12} {clean(line.text)}"]
    if line.remedy:
        texts.append(f"{'':<{_TEXT_AT}}{clean(line.remedy)}")
    for text in texts:
        for part in fold(text, terminal_columns(), _TEXT_AT):
            say(part)
    sys.stdout.flush()
