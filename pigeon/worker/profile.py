"""Whether a login shell's profile lets the shell come to the command: `exec zsh -l` at its end takes its place.

Then nothing that was asked for runs, and the other shell takes the command's input for its own commands. Only
a profile that has the word is tried, by running the shell with another text; and only once a minute, since the home
may lie on a slow filesystem.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import signal
import subprocess
from collections.abc import Mapping

from pigeon import clock

_READ_FIRST = (".bash_profile", ".bash_login", ".profile")
"""bash(1), INVOCATION: the first that can be read; many read .bashrc in turn."""

_WORD = re.compile(rb"^(?:[^#\n]|(?<=\S)#)*?\bexec\s", re.MULTILINE)
"""Outside a comment: many a profile begins with "executed by bash(1)"."""

_MARK = "pigeon-was-here"
PATIENCE_S = 5.0
"""A profile that takes longer is not judged."""

GOOD_FOR_S = 60.0
_LOOK_BYTES = 1 << 18


REMEDY = (
    "let it do so only in an interactive shell (`case $- in *i*) exec …;; esac`), "
    'or keep login shells out of it: `[client] shell = ["bash", "-c"]`'
)


def said_of(path: str) -> str:
    """What `fault_of` has found, in words."""
    return f"`{path}` runs another shell in place of the command"


def fault_of(argv: list[str], env: Mapping[str, str], memory: str | None = None) -> str | None:
    """The file because of which `argv`, a login shell and its text, would never come to its text; None: there is none,
    or nothing can be said. `memory`: a directory of ours for what has been found good.
    """
    if len(argv) != 3 or os.path.basename(argv[0]) != "bash" or argv[1] != "-lc":
        return None
    home = env.get("HOME", "")
    known = None if memory is None else f"{memory}/profile-{_digest(home, argv[0])}"
    if known is not None and _is_fresh(known):
        return None
    found = [f"{home}/{name}" for name in _READ_FIRST if os.access(f"{home}/{name}", os.R_OK)][:1]
    texts = [_read(path) for path in (*found, f"{home}/.bashrc")]
    if found and any(map(_WORD.search, texts)) and _is_taken_over(argv[0], env):
        return found[0]
    _remember(known)
    return None


def _is_taken_over(shell: str, env: Mapping[str, str]) -> bool:
    try:
        process = subprocess.Popen(
            [shell, "-lc", f"echo {_MARK}"],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
    except OSError:
        return False
    assert process.stdout is not None
    with process.stdout as said:
        if not _ends(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
        process.wait()
        os.set_blocking(said.fileno(), False)  # what the profile has left running may hold it open
        return _MARK.encode() not in (said.read() or b"")


def _ends(pid: int) -> bool:
    """Whether that child ends in time."""
    fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(PATIENCE_S * 1000))
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LOOK_BYTES)
    except OSError:
        return b""


def _digest(home: str, shell: str) -> str:
    return hashlib.sha256(f"{shell}\0{home}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _is_fresh(path: str) -> bool:
    try:
        return 0 <= clock.wall() - os.stat(path).st_mtime < GOOD_FOR_S
    except OSError:
        return False


def _remember(path: str | None) -> None:
    if path is None:
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.utime(fd)
        os.close(fd)
    except OSError:
        pass  # it is tried again
