"""Which file a command's first word means, and why it could not be executed, in words and with a shell's exit code."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from pigeon.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_PIGEON
from pigeon.wire.text import to_here

TOO_LONG = "the argument list or environment is too long for this host"


class CannotStart(Exception):
    """The command could not be executed; `exit_code` is what a shell would give."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def find_program(name: str, path: str, own_path: str = "") -> str:
    """The file that execvp(3) would run for `name` with that PATH, relative to the current directory.

    `own_path`: the worker's own PATH, which comes first. The shell that runs a command's text is found there, whatever
    directories the client's host has.

    Raises:
        CannotStart: 127 if there is none, 126 if what is there may not be executed.
    """
    forbidden = None
    for candidate in map(to_here, [name] if "/" in name else _candidates(name, path, own_path)):
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            forbidden = candidate
    if forbidden is not None:
        raise CannotStart(f"`{forbidden}` may not be executed", EXIT_NOT_EXECUTABLE)
    raise CannotStart(f"command not found: `{name}`", EXIT_NOT_FOUND)


def _candidates(name: str, path: str, own_path: str) -> Iterator[str]:
    for entry in own_path.split(":"):
        if entry.startswith("/"):
            yield f"{entry.rstrip('/')}/{name}"
    for entry in path.split(":"):
        yield os.path.join(entry or ".", name)


def cannot_start(error: OSError, name: str) -> CannotStart:
    """What `name` could not be executed for."""
    if error.errno == errno.E2BIG:
        return CannotStart(TOO_LONG, EXIT_NOT_EXECUTABLE)
    if error.errno == errno.ENOENT:
        return CannotStart(f"`{name}`: its interpreter or loader does not exist", EXIT_NOT_FOUND)
    if error.errno in (errno.EACCES, errno.ENOEXEC, errno.EPERM):
        return CannotStart(f"`{name}` cannot be executed: {os.strerror(error.errno)}", EXIT_NOT_EXECUTABLE)
    return CannotStart(f"`{name}` could not be started: {error.strerror or error}", EXIT_PIGEON)
