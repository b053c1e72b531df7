"""Who could put something else at a path: the check of owners and modes, for every place whose content is believed.

The rule is sshd's (StrictModes) and that of sudo and cron: a path is as safe as the weakest directory on the way to it.
Each directory must belong to this user or to root, and nobody else may write it; a sticky one (`/tmp`) may be passed
through, since nobody can exchange in it what is not his, but is no place to look for something. A symbolic link on the
way must be as safe as the directory that it lies in, or be this user's or root's.

Reads only, and answers by what is there now: whoever acts later on what lies in an unsafe place acts too late.
"""

from __future__ import annotations

import os
import stat

_OTHERS_WRITE = 0o022
_MOST_LINKS = 40
"""As many symbolic links as the kernel follows (path_resolution(7))."""

ROOT = 0


class Fault:
    """Why a place cannot be trusted: which path is to blame, what is wrong with it, and the command that mends it."""

    __slots__ = ("path", "reason", "remedy")

    def __init__(self, path: str, reason: str, remedy: str | None = None) -> None:
        self.path = path
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"`{self.path}` {self.reason}"


def file_fault(path: str, found: os.stat_result) -> Fault | None:
    """What speaks against the content of one file or directory: another owner than us or root, or others can write it.

    Says nothing about the way to it.
    """
    if found.st_uid not in (os.geteuid(), ROOT):
        return Fault(path, f"belongs to another user (uid {found.st_uid})")
    if found.st_mode & _OTHERS_WRITE:
        return Fault(
            path, f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}"
        )
    return None


def ours_fault(path: str, found: os.stat_result, *, directory: bool = False) -> Fault | None:
    """What speaks against a regular file (or a directory) that only this user can have made."""
    if directory and not stat.S_ISDIR(found.st_mode):
        return Fault(path, "is not a directory")
    if not directory and not stat.S_ISREG(found.st_mode):
        return Fault(path, "is not a regular file")
    if found.st_uid != os.geteuid():
        return Fault(path, f"belongs to another user (uid {found.st_uid})")
    return file_fault(path, found)


def way_fault(directory: str) -> Fault | None:
    """What is unsafe about `directory` (absolute) as a place where files are looked for or made, and on the way to it.

    Raises:
        OSError: the way cannot be looked at, or something on it is not there.
    """
    return walk(directory)[1]


def walk(directory: str) -> tuple[str, Fault | None]:
    """(where `directory` leads, the first fault on the way or in it).

    The way is walked as the kernel walks it, so that a directory is judged although a symbolic link stands for it, and
    the link although it leads to a safe directory.

    Raises:
        OSError: as `way_fault`.
    """
    pending = [part for part in directory.split("/") if part not in ("", ".")][::-1]
    here, found, links = "/", os.lstat("/"), 0
    fault = directory_fault(here, found, passed=bool(pending))
    may_hold_strangers = False
    while pending:
        part = pending.pop()
        if part == "..":
            here = os.path.dirname(here)
            continue
        may_hold_strangers = bool(os.lstat(here).st_mode & _OTHERS_WRITE)
        here = f"{here.rstrip('/')}/{part}"
        found = os.lstat(here)
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(40, os.strerror(40), directory)
            if may_hold_strangers and found.st_uid not in (os.geteuid(), ROOT):
                fault = fault or Fault(here, f"is a symbolic link of another user (uid {found.st_uid})")
            target = os.readlink(here)
            here = "/" if target.startswith("/") else os.path.dirname(here)
            pending += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(20, os.strerror(20), here)
        fault = fault or directory_fault(here, found, passed=bool(pending), in_open=may_hold_strangers)
    if fault is None:
        fault = directory_fault(here, os.lstat(here), passed=False, in_open=may_hold_strangers)
    return here, fault


def directory_fault(path: str, found: os.stat_result, *, passed: bool, in_open: bool = False) -> Fault | None:
    """What is unsafe about one directory.

    `passed`: it is only on the way, where a sticky one does no harm. `in_open`: it lies in one that others can write.
    """
    if found.st_uid not in (os.geteuid(), ROOT) and (in_open or not is_unmapped(found.st_uid)):
        return Fault(path, f"belongs to another user (uid {found.st_uid})")
    if not found.st_mode & _OTHERS_WRITE or (passed and found.st_mode & stat.S_ISVTX):
        return None
    if not found.st_mode & stat.S_IWOTH and is_private_group(found.st_gid):
        return None
    remedy = None if found.st_mode & stat.S_ISVTX else f"chmod go-w {path}"
    return Fault(path, f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", remedy)


def is_unmapped(uid: int) -> bool:
    """Whether the owner is nobody of this user namespace (user_namespaces(7)): in a container without root, root is."""
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            if int(file.read()) != uid:
                return False
        with open("/proc/self/uid_map", "rb") as file:
            return file.read().split() != [b"0", b"0", b"4294967295"]
    except (OSError, ValueError):
        return False


def is_private_group(gid: int) -> bool:
    """Whether a group is this user's alone, as many systems make one for each: his own, of his name, without members.

    Root has none: what its group may write is no question of habits.
    """
    if os.geteuid() == ROOT or gid != os.getegid():
        return False
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return (user.pw_gid, group.gr_name) == (gid, user.pw_name) and set(group.gr_mem) <= {user.pw_name}
