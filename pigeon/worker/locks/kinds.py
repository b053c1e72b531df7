"""The kinds of directory locks, which one a share gets, and what is the same for all (FORMAT.md, "The cwd lock")."""

from __future__ import annotations

from pigeon.mountinfo import Mount
from pigeon.worker.locks import flock, strict
from pigeon.worker.locks.kind import Kind

KINDS: dict[str, Kind] = {
    "flock": flock,
    "strict": strict,
}
"""What `[worker] lock` may name besides `auto`, which takes the first that excludes across hosts on the filesystem. The
last one does so on every filesystem that it can be used on."""


class Choice:
    """Which lock a share gets, why, and what to tell the operator if exclusion across hosts is in doubt: `warning`, and
    `remedy`, which helps."""

    def __init__(self, mode: str, reason: str, warning: str | None = None, remedy: str = "") -> None:
        self.mode = mode
        self.reason = reason
        self.warning = warning
        self.remedy = remedy


def choose(setting: str, mount: Mount) -> Choice:
    """`[worker] lock` and what the mount says -> the lock."""
    automatic = _automatic(mount)
    if setting == "auto":
        return automatic
    reason = "set in the configuration"
    if KINDS[setting].judge(mount).is_exact:
        return Choice(setting, reason)
    warning = (
        f"{_line(setting)} on {mount.fstype}: {automatic.reason}; workers on several hosts may run two "
        "commands in one directory"
    )
    return Choice(setting, reason, warning, f"set {_line(automatic.mode)}")


def remedy() -> str:
    """What helps where another kind was seen not to exclude."""
    return f"set {_line(next(reversed(KINDS)))}"


def without_links() -> str:
    """What a filesystem without hard links costs."""
    return (
        f"{' and '.join(_line(mode) for mode, kind in KINDS.items() if kind.NEEDS_LINKS)} cannot be used here"
    )


def _line(mode: str) -> str:
    return f'`lock = "{mode}"`'


def _automatic(mount: Mount) -> Choice:
    doubt = ""
    for mode, kind in KINDS.items():
        fit = kind.judge(mount)
        if fit.is_exact:
            return Choice(mode, f"{doubt}, so pigeon also takes {kind.INSTEAD}" if doubt else fit.why)
        doubt = doubt or fit.why
    raise AssertionError("the last kind is exact everywhere")


def break_dead(kind: Kind, lock_path: str, host: str, pid: int, started: int | None) -> int:
    """Free the lock from a holder that the caller has proven dead, command included. Returns of how many claims.

    `host`: as this host is called; another's holder, or one in another pid namespace, is not touched. `started`: its
    start in clock ticks since boot, where it is known: who got its number later is another. Raises OSError.
    """
    mine = [
        holder
        for holder in kind.holders(lock_path)
        if holder.is_here
        and (holder.host, holder.pid) == (host, pid)
        and (None in (started, holder.started) or started == holder.started)
    ]
    for holder in mine:
        kind.break_holder(lock_path, holder)
    return len(mine)
