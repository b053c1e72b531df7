"""Which configuration files in directories that one happens to be in the user has allowed: by path and by content.

A clone, an unpacked archive or a colleague's directory may bring a `.pigeon.toml` along, and it is the user's own file
then. So what could run something (`Setting.harmless` says what cannot) counts from there only after `pigeon config
trust`, and only for exactly the text that was there (as with `direnv allow`).

One small file for each that was allowed, in `$XDG_STATE_HOME/pigeon/trusted` (`~/.local/state/…`). A memory that
somebody else could have written is none. Loaded only where a file needs it.
"""

from __future__ import annotations

import os
from hashlib import sha256

from pigeon import trust
from pigeon.errors import ConfigError
from pigeon.settings import TABLES
from pigeon.wire import directories, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOWED = "allowed"
CHANGED = "changed"
UNKNOWN = "unknown"

_MOST_BYTES = 65536


def counting(
    path: str,
    text: bytes,
    parsed: dict[str, object],
    held: list[str],
    warnings: list[str],
    environ: Mapping[str, str],
) -> dict[str, object]:
    """What counts of a file in the current directory: all of it if the user has allowed it, else all but `held`."""
    found = standing(path, text, environ)
    if found == ALLOWED:
        return parsed
    why = "it has changed since you trusted it" if found == CHANGED else "it is not trusted"
    warnings.append(
        f"`{path}`: {', '.join(f'`{key}`' for key in held)} passed over, since {why}; "
        "to let it count: `pigeon config trust`"
    )
    kept: dict[str, object] = {}
    for key, value in parsed.items():
        if key in TABLES and isinstance(value, dict):
            value = {name: inner for name, inner in value.items() if f"{key}.{name}" not in held}
        if key not in held:
            kept[key] = value
    return kept


def standing(path: str, text: bytes, environ: Mapping[str, str]) -> str:
    """ALLOWED, CHANGED (another text of the file was) or UNKNOWN. Whatever is wrong with the memory means UNKNOWN."""
    try:
        directory = _directory(environ)
        if trust.way_fault(directory) is not None:
            return UNKNOWN
        written = files.read(_place(directory, path), _MOST_BYTES, one_link=True)
    except (OSError, ConfigError):
        return UNKNOWN
    return ALLOWED if written == _entry(path, text) else CHANGED


def allow(path: str, text: bytes, environ: Mapping[str, str]) -> None:
    """Remember that the user allows the file as it is.

    Raises:
        ConfigError: it cannot be remembered in a place that only the user can write.
    """
    directory = _directory(environ)
    try:
        directories.make_directories(directory)
        fault = trust.way_fault(directory)
        if fault is not None:
            raise ConfigError(
                f"what you trust cannot be remembered in `{directory}`: {fault}",
                hint=f"`{fault.remedy}`" if fault.remedy else "set XDG_STATE_HOME to a directory of your own",
            )
        files.replace(_place(directory, path), _entry(path, text))
    except OSError as error:
        raise ConfigError(
            f"what you trust cannot be remembered in `{directory}`: {error.strerror}"
        ) from error


def forget(path: str, environ: Mapping[str, str]) -> bool:
    """Take it back. False: it was not allowed. Raises ConfigError: it cannot be taken back."""
    place = _place(_directory(environ), path)
    try:
        os.unlink(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"`{place}` cannot be removed: {error.strerror}") from error
    return True


def _directory(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):  # its specification says that a relative one does not count
        if not environ.get("HOME", "").startswith("/"):
            raise ConfigError(
                "there is no home directory to remember it in", hint="set HOME, or XDG_STATE_HOME"
            )
        base = f"{environ['HOME']}/.local/state"
    return f"{base}/pigeon/trusted"


def _place(directory: str, path: str) -> str:
    return f"{directory}/{sha256(os.fsencode(path)).hexdigest()}"


def _entry(path: str, text: bytes) -> bytes:
    return sha256(text).hexdigest().encode() + b"\n" + os.fsencode(path) + b"\n"
