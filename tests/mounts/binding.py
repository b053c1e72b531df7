"""The one place that touches the FUSE binding (mfusepy over libfuse).

Prefers libfuse 2: it starts a thread for every request that finds none free, so stalled requests never use up those
of the others, and it answers `renameat2` flags with EINVAL, as an NFS mount does. libfuse 3 works too; it is given
room for 1,000 threads (10 by default), but the binding drops rename flags there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import importlib.util
import os
import signal
from typing import Any

_LIBRARIES = ("libfuse.so.2", "libfuse3.so.3")
_COMMON = {
    "foreground": True,
    "raw_fi": True,
    "use_ino": True,
    # Every request comes to us: the caches that are imitated are our own, and those of the kernel stay empty.
    "direct_io": True,
    "attr_timeout": 0,
    "negative_timeout": 0,
}


def missing() -> str | None:
    """Why no filesystem can be mounted here, or None."""
    if importlib.util.find_spec("mfusepy") is None:
        return "the package `mfusepy` is not installed"
    if _library() is None:
        return "neither libfuse.so.2 nor libfuse3.so.3 is installed"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "`/dev/fuse` is missing or not ours to open"
    return None


def _library() -> str | None:
    chosen = os.environ.get("FUSE_LIBRARY_PATH")
    for name in (chosen,) if chosen else _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


class Binding:
    """The loaded library: mounts, and says on whose behalf the calling thread works."""

    def __init__(self) -> None:
        self.library = _library()
        if self.library is None:
            raise OSError("no libfuse found")
        os.environ["FUSE_LIBRARY_PATH"] = self.library  # or the binding runs compilers to look for one
        self._module: Any = importlib.import_module("mfusepy")

    def mount(self, operations: object, mountpoint: str, **options: object) -> None:
        """Mount and serve; returns when the filesystem has been unmounted."""
        if self._module.fuse_version_major == 2:
            options["big_writes"] = True  # 128 KiB at a time instead of 4
        else:
            options["max_threads"] = 1000
        if os.geteuid() == 0:
            options["allow_other"] = True
        self._module.FUSE(operations, mountpoint, **_COMMON, **options)

    def caller(self) -> tuple[int, int, int]:
        """uid, gid and thread id of the process that made the request which this thread serves."""
        uid, gid, pid = self._module.fuse_get_context()
        return uid, gid, pid

    def interrupted(self) -> bool:
        """Did any signal reach the waiting caller?"""
        return bool(self._module._libfuse.fuse_interrupted())

    def killed(self) -> bool:
        """Did a signal reach the waiting caller that ends it, with no handler in the way?"""
        if not self.interrupted():
            return False
        try:
            with open(f"/proc/{self.caller()[2]}/status") as status:
                pending = next(line for line in status if line.startswith("SigPnd:"))
        except (OSError, StopIteration):
            return True
        # The kernel marks every thread of a dying process so, whatever the signal was.
        return bool(int(pending.split()[1], 16) & (1 << (signal.SIGKILL - 1)))
