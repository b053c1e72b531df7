"""Where the fronts of this user on this host have their Unix sockets, so that one finds another."""

from __future__ import annotations

import hashlib
import os
import stat

from pigeon.errors import PigeonError

PROXY, NET = "proxy", "net"

LONGEST_BYTES = 60
"""Of XDG_RUNTIME_DIR: a socket's whole path may have 107 bytes (unix(7))."""


def directory() -> str:
    """A directory that is this user's alone: below XDG_RUNTIME_DIR, or in /tmp. Made if need be.

    Raises:
        PigeonError: somebody else has made it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and len(os.fsencode(runtime)) <= LONGEST_BYTES and _is_private(runtime):
        path = f"{runtime}/pigeon"
    else:
        path = f"/tmp/pigeon-{os.getuid()}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise PigeonError(f"cannot make the directory `{path}`: {error.strerror}") from error
    if not _is_private(path):
        raise PigeonError(
            f"`{path}` belongs to somebody else, or others can write there",
            hint="set XDG_RUNTIME_DIR to a directory of your own with mode 700",
        )
    return path


def _is_private(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def socket_path(kind: str, where: tuple[str, ...]) -> str:
    """For a front of this process. `where`: what settings it serves (share, namespace, route). Raises PigeonError."""
    return f"{directory()}/{kind}-{_digest(where)}-{os.getpid()}.sock"


def find(kind: str | None = None, where: tuple[str, ...] | None = None) -> list[str]:
    """Paths of sockets, perhaps of processes that have died. Raises PigeonError."""
    base = directory()
    found = []
    for name in sorted(os.listdir(base)):
        parts = name.removesuffix(".sock").split("-")
        is_meant = len(parts) == 3 and kind in (None, parts[0])
        if is_meant and (where is None or parts[1] == _digest(where)):
            found.append(f"{base}/{name}")
    return found


def _digest(where: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(where).encode("utf-8", "surrogateescape")).hexdigest()[:12]
