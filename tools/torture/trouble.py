"""The share having a bad time: filling up, failing, hanging. One class for each kind of share."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.share import Share
from tests.mounts.control import Control, Fault
from tools.torture import plan

TMPFS_BYTES = 512 * 1024 * 1024
ROOM_BYTES = 20_000
"""What a share that fills up has left at that moment: some writes still work, so it does not fail at the same one."""


class Trouble:
    """A share that never has any."""

    is_gone = False
    """It is not there at all."""
    was_gone = False
    """It has not been there at some time."""

    def begin(self, action: plan.Action) -> str:
        """Let it begin; what it is, in words."""
        return f"none on this share ({action.kind})"

    def turn(self, now: float) -> None:
        """End what is over."""

    def end(self) -> None:
        """No trouble from here on."""

    def lose(self) -> None:
        """Not of this kind."""
        raise NotImplementedError("only a plain share is lost for good")


class Vanishing(Trouble):
    """A share that is not there for a while, as one that is mounted elsewhere, and comes back as it was."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._away = place.with_name("share-away")
        self._until = 0.0

    def begin(self, action: plan.Action) -> str:
        if not self.is_gone:
            self._place.rename(self._away)
            self.is_gone = self.was_gone = True
        self._until = max(self._until, time.monotonic() + action.seconds)
        return f"not there for {action.seconds} s"

    def turn(self, now: float) -> None:
        if self.is_gone and now >= self._until:
            self.end()

    def lose(self) -> None:
        """It does not come back."""
        if not self.is_gone:
            self._place.rename(self._away)
        self.is_gone = self.was_gone = True
        self._until = float("inf")
        shutil.rmtree(self._away, ignore_errors=True)  # whoever holds a directory of it has lost that, too

    def end(self) -> None:
        if self.is_gone:
            self._away.rename(self._place)  # fails if somebody has made another: pigeon must not
            self.is_gone = False


class Full(Trouble):
    """A filesystem of its own that is filled up for a while."""

    def __init__(self, mounted: Path) -> None:
        self._filler = mounted / "filler"
        self._until = 0.0

    def begin(self, action: plan.Action) -> str:
        free = os.statvfs(self._filler.parent)
        size = free.f_bavail * free.f_frsize - int(ROOM_BYTES * action.pick)
        with self._filler.open("wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        self._until = time.monotonic() + action.seconds
        return f"full for {action.seconds} s"

    def turn(self, now: float) -> None:
        if self._until and now >= self._until:
            self.end()

    def end(self) -> None:
        self._until = 0.0
        self._filler.unlink(missing_ok=True)


class Faulty(Trouble):
    """The filesystem of tests/mounts."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._faults: list[tuple[float, Fault]] = []
        self._space_until = 0.0

    def begin(self, action: plan.Action) -> str:
        until = time.monotonic() + action.seconds
        mount = "a" if action.other < 0.5 else "b"
        if action.kind == "fill":
            self._control.limit_space(
                int(ROOM_BYTES * action.pick), at="close" if action.other < 0.5 else "write"
            )
            self._space_until = until
            return f"full for {action.seconds} s"
        act, op, path = plan.FAULTS[int(action.target)]
        nth = 1 + int(action.pick * 5)
        details: dict[str, object] = {"nth": nth, "times": 1 + int(action.other * 6), "mount": mount}
        if act == "error":
            details["error"] = ("EIO", "ESTALE", "ENOSPC", "EDQUOT", "ETIMEDOUT")[int(action.pick * 5)]
        elif act in ("stall", "tear"):
            details["seconds"] = action.seconds
        elif act == "short":
            details["size_bytes"] = int(action.pick * 200)
        self._faults.append((until + 2 * action.seconds, self._control.add(act, op, path, **details)))
        return f"{act} {op} {path} {details}"

    def turn(self, now: float) -> None:
        if self._space_until and now >= self._space_until:
            self._space_until = 0.0
            self._control.limit_space(None)
        for entry in [entry for entry in self._faults if entry[0] <= now]:
            self._faults.remove(entry)
            entry[1].remove()

    def end(self) -> None:
        self._faults.clear()
        self._control.clear()


@contextlib.contextmanager
def share_on(kind: str, base: Path) -> Iterator[tuple[Share, Trouble]]:
    """A share of a kind for a run below `base`, and what can go wrong with it."""
    if kind == plan.TMPFS:
        with _tmpfs(base) as place:
            yield Share(place, place), Full(place.parent)
    elif kind == plan.TWOCACHE:
        from tests.mounts.rigs import two_mounts

        with two_mounts(ttl_s=1, negative_ttl_s=5) as (a, b, control):
            (a / "share").mkdir(mode=0o700)
            os.listdir(b)
            yield Share(a / "share", b / "share"), Faulty(control)
            shutil.copytree(a / "share", base / "share", symlinks=True)
    else:
        place = base / "share"
        place.mkdir(mode=0o700)
        yield Share(place, place), Vanishing(place)


@contextlib.contextmanager
def _tmpfs(base: Path) -> Iterator[Path]:
    point = Path(tempfile.mkdtemp(prefix="torture-share-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(point)], check=True)
    try:
        place = point / "share"
        place.mkdir(mode=0o700)
        yield place
        shutil.copytree(place, base / "share", symlinks=True)
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
        point.rmdir()
