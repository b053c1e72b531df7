"""An error that nobody foresaw: one line for the user, the rest in a file for whoever mends it.

A report holds what was typed, so it is private and has an end: a worker removes old ones, and so does the next report.
"""

from __future__ import annotations

import os
import platform
import stat
import sys
import tempfile
import traceback

from pigeon import __version__, clock

PREFIX, SUFFIX = "pigeon-crash-", ".txt"

KEPT_S = 30 * 24 * 3600.0
"""How long a report stays where no worker says otherwise (`[worker] journal_retention`)."""

PACKAGES = ("filelock", "ptyprocess", "sqlite_utils", "tomli")
"""What a checkout may lack: the client does without."""


def report(error: BaseException) -> str:
    """Write versions and traceback to a new private file; the line to print, its path in it."""
    if isinstance(error, ModuleNotFoundError) and error.name in PACKAGES:
        return (
            f"pigeon: this needs the package `{error.name}`, which {sys.executable} does not have\n"
            "pigeon: hint: commands can be sent without; for the rest `pip install .` in pigeon's checkout, "
            "or run the file that `tools/build-zipapp` makes\n"
        )
    text = "".join(traceback.format_exception(error))
    header = f"pigeon {__version__}, Python {platform.python_version()}, {platform.platform()}\nargv: {sys.argv!r}\n"
    remove_old(KEPT_S)
    try:
        fd, path = tempfile.mkstemp(prefix=PREFIX, suffix=SUFFIX)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(header + text)
    except OSError:
        return f"pigeon: unexpected error: {error!r}\n{text}"
    return (
        f"pigeon: unexpected error: {type(error).__name__}: {error}\n"
        f"pigeon: hint: this is a bug of pigeon; `{path}` holds what a report needs\n"
    )


def remove_old(older_than_s: float) -> None:
    """Remove this user's reports that are older, by this host's clock; what cannot be removed stays."""
    try:
        directory = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for name in os.listdir(directory):
            if name.startswith(PREFIX) and name.endswith(SUFFIX):
                _remove_if_old(directory, name, older_than_s)
    except OSError:
        pass
    finally:
        os.close(directory)


def _remove_if_old(directory: int, name: str, older_than_s: float) -> None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if is_ours and clock.wall() - found.st_mtime > older_than_s:
            os.unlink(name, dir_fd=directory)
    except OSError:
        pass  # somebody else was quicker
