"""An error that nobody foresaw: one line for the user, the rest in a file for whoever mends it."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback

from pigeon import __version__

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
    try:
        fd, path = tempfile.mkstemp(prefix="pigeon-crash-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(header + text)
    except OSError:
        return f"pigeon: unexpected error: {error!r}\n{text}"
    return (
        f"pigeon: unexpected error: {type(error).__name__}: {error}\n"
        f"pigeon: hint: this is a bug of pigeon; `{path}` holds what a report needs\n"
    )
