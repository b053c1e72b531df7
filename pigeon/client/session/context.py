"""What a command inherits of its client beside the environment: umask, limits, and which directory it is."""

from __future__ import annotations

import os

from pigeon import procfs
from pigeon.wire.way import UMASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.wire.documents import Request

_LIMITS = {
    b"Max cpu time": "cpu",
    b"Max file size": "fsize",
    b"Max data size": "data",
    b"Max stack size": "stack",
    b"Max core file size": "core",
    b"Max open files": "nofile",
    b"Max address space": "as",
}
"""As /proc/<pid>/limits (proc(5)) calls them -> as the request does. Importing `resource` would cost more."""

_NAME_BYTES = 25


def add(request: Request) -> None:
    """Put it into the request, as far as it can be known."""
    request.umask = UMASK
    try:
        request.limits = _limits(procfs.content("/proc/self/limits"))
    except (OSError, ValueError):
        request.limits = {}
    request.directory = _directory(request.cwd)


def _limits(table: bytes) -> dict[str, tuple[int | None, int | None]]:
    found = {}
    for line in table.splitlines():
        name = _LIMITS.get(line[:_NAME_BYTES].rstrip())
        values = line[_NAME_BYTES:].split()[:2]
        if name is not None and len(values) == 2 and values != [b"unlimited", b"unlimited"]:
            soft, hard = (None if value == b"unlimited" else int(value) for value in values)
            found[name] = (soft, hard)
    return found


def _directory(cwd: str) -> tuple[int, int, str] | None:
    """What tells it from another of its name on another host; the type is "" where the kernel's list has no mount of
    that device (btrfs)."""
    try:
        here = os.stat(cwd)
        mounts = procfs.content("/proc/self/mountinfo")
    except OSError:
        return None
    device = b" %d:%d " % (os.major(here.st_dev), os.minor(here.st_dev))
    line = mounts[mounts.find(device) :].partition(b"\n")[0] if device in mounts else b""
    kind = line.partition(b" - ")[2].partition(b" ")[0]
    return here.st_ino, here.st_mtime_ns, kind.decode("ascii", "replace")
