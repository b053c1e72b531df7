"""The check of `pigeon doctor` for a quota, which seldom shows in the free space.

Promises one finding: what a write of some size meets, then what quota(1) says of the filesystem, if it is installed and
answers in time. That it says nothing is no proof: some filesystems tell of quotas only to programs of their own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess

from pigeon import mountinfo
from pigeon.commands.doctor.checks import FAIL, MAKE_ROOM, PASS, WARN, Finding, Patient
from pigeon.config import Config
from pigeon.wire import directories, files

ROOM_BYTES = 64 * 1024
"""A session begins with less."""

ANSWER_S = 5.0
"""quota(1) may ask a file server that does not answer."""

NEAR = 0.95

FIELDS = 9
"""filesystem, then for blocks and for files each: used, quota, limit, grace (a number with `-p`)."""


def check_quota(patient: Patient, _: Config) -> list[Finding]:
    """Is there one, and is it used up?"""
    directories.make_directories(patient.room)
    path = f"{patient.room}/{os.urandom(4).hex()}"
    try:
        files.create(path, bytes(ROOM_BYTES))
    except OSError as error:
        if error.errno == errno.EDQUOT:
            return [Finding(FAIL, "your quota here is used up", f"{MAKE_ROOM}; or ask for more")]
        raise
    finally:  # the other checks may need the room
        with contextlib.suppress(OSError):
            files.remove_if_there(path)
    if shutil.which("quota") is None:
        return [Finding(PASS, "no quota is visible from here (the program `quota` is not installed)")]
    limits = parse(_ask(), mountinfo.filesystem_of(patient.cache).source)
    if not limits:
        return [Finding(PASS, "no quota is visible from here (`quota` tells of none on this filesystem)")]
    text = "your quota: " + ", ".join(
        f"{used / 1024:.1f} of {limit / 1024:.1f} MiB" if unit == "KiB" else f"{used} of {limit} files"
        for used, limit, unit in limits
    )
    if any(used >= NEAR * limit for used, limit, _unit in limits):
        return [Finding(WARN, text, f"{MAKE_ROOM}; or ask for more")]
    return [Finding(PASS, text)]


def _ask() -> str:
    """What quota(1) prints; its exit code only tells whether somebody is above a limit."""
    try:
        done = subprocess.run(
            ["quota", "-u", "-g", "-w", "-p"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def parse(text: str, source: str) -> list[tuple[int, int, str]]:
    """(used, the lower of the two limits, unit) of each limit of this mount's source; a `*` marks one exceeded."""
    found = []
    for line in text.splitlines():
        words = line.replace("*", " ").split()
        if len(words) != FIELDS or words[0] != source or not all(w.isdecimal() for w in words[1:]):
            continue
        for first, unit in ((1, "KiB"), (5, "files")):
            used, *limits = map(int, words[first : first + 3])
            if any(limits):
                found.append((used, min(limit for limit in limits if limit), unit))
    return found
