"""Who could put something else at a path: the check of owners and modes, for every place whose content is believed.

The rule is sshd's (StrictModes) and that of sudo and cron: a path is as safe as the weakest directory on the way to it.
Each directory must belong to this user or to root, and nobody else may write it; a sticky one (`/tmp`) may be passed
through, since nobody can exchange in it what is not his, but is no place to look for something. A symbolic link on the
way must be as safe as the directory that it lies in, or be this user's or root's.

`reach` goes the way and has each step judged; `directory_fault` is the rule for one directory. The way to the share
(`wire/way.py`) is gone and judged by the same two. Light: every command goes that way.

Reads only, and answers by what is there now: whoever acts later on what lies in an unsafe place acts too late. `reach`
returns a descriptor, so that who goes on from there goes on from what was judged.
"""

from __future__ import annotations

import errno
import os
import stat

from pigeon.printing import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Judge = Callable[[str, os.stat_result, bool], None]
    """Gets a path, what lstat(2) says of it, and whether it lies in a directory that others can write."""

_OTHERS_WRITE = 0o022
_MOST_LINKS = 40
"""As many symbolic links as the kernel follows (path_resolution(7))."""

_HOLD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""O_PATH: a place to go on from, which costs no open on a file server."""

ROOT = 0

OVERFLOW_UID = 65534
"""As which the kernel shows everybody whom a user namespace does not map (user_namespaces(7))."""

NOBODY = "nobody"
PRIVATE = "private"
OURS = "ours"
"""Which group may write a directory besides its owner: none, the user's private one (`is_private_group`), or each that
he is in. With `OURS` a directory of such a group may also belong to somebody else."""


class Fault:
    """Why a place cannot be trusted: which path is to blame, what is wrong with it, and the command that mends it."""

    __slots__ = ("path", "reason", "remedy")

    def __init__(self, path: str, reason: str, remedy: str | None = None) -> None:
        self.path = path
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"`{self.path}` {self.reason}"


# One file or directory


def file_fault(path: str, found: os.stat_result) -> Fault | None:
    """What speaks against the content of one file or directory: another owner than us or root, or others can write it.

    Says nothing about the way to it.
    """
    if found.st_uid not in (os.geteuid(), ROOT) or is_nobody_known():
        return _of_another(path, found)
    return _open_to_others(path, found) if found.st_mode & _OTHERS_WRITE else None


def ours_fault(path: str, found: os.stat_result, *, directory: bool = False) -> Fault | None:
    """What speaks against a regular file (or a directory) that only this user can have made."""
    if directory and not stat.S_ISDIR(found.st_mode):
        return Fault(path, "is not a directory")
    if not directory and not stat.S_ISREG(found.st_mode):
        return Fault(path, "is not a regular file")
    if found.st_uid != os.geteuid():
        return _of_another(path, found)
    return file_fault(path, found)


def directory_fault(
    path: str, found: os.stat_result, *, passed: bool, in_open: bool = False, group: str = PRIVATE
) -> Fault | None:
    """What is unsafe about one directory.

    `passed`: it is only on the way, where a sticky one does no harm. `in_open`: it lies in one that others can write.
    `group`: which may write it, or own it.
    """
    if is_strangers(found, in_open=in_open) and not (group == OURS and is_our_group(found.st_gid)):
        return _of_another(path, found)
    return mode_fault(path, found, passed=passed, group=group)


def mode_fault(path: str, found: os.stat_result, *, passed: bool, group: str) -> Fault | None:
    """The same of one whose owner is none to fear."""
    mode = found.st_mode
    if not mode & _OTHERS_WRITE or (passed and mode & stat.S_ISVTX):
        return None
    if not mode & stat.S_IWOTH and _may_write(group, found.st_gid):
        return None
    return _open_to_others(path, found)


def link_fault(path: str, found: os.stat_result, *, in_open: bool) -> Fault | None:
    """What is unsafe about a symbolic link on the way, wherever it lies."""
    if is_strangers(found, in_open=in_open):
        return Fault(path, f"is a symbolic link of another user ({_number(found)})")
    return None


def is_strangers(found: os.stat_result, *, in_open: bool) -> bool:
    """Whether it belongs neither to us nor to root, nor to the root of the host that this container runs on.

    That one is recognised only where nobody else could have put it (`in_open`): its number stands for all users whom
    the container does not know.
    """
    if found.st_uid in (os.geteuid(), ROOT) and not is_nobody_known():
        return False
    return in_open or not is_unmapped(found.st_uid)


def _of_another(path: str, found: os.stat_result) -> Fault:
    return Fault(path, f"belongs to another user ({_number(found)})")


def _number(found: os.stat_result) -> str:
    is_unknown = is_unmapped(found.st_uid)
    return f"uid {found.st_uid}{', which may be anybody in this user namespace' if is_unknown else ''}"


def _open_to_others(path: str, found: os.stat_result) -> Fault:
    remedy = None if found.st_mode & stat.S_ISVTX else f"chmod go-w {quote(path)}"
    return Fault(path, f"can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", remedy)


# The way to it


def way_fault(directory: str) -> Fault | None:
    """What is unsafe about `directory` (absolute) as a place where files are looked for or made, and on the way to it.

    Raises:
        OSError: the way cannot be looked at, or something on it is not there.
    """
    return walk(directory)[1]


def walk(directory: str) -> tuple[str, Fault | None]:
    """(where `directory` leads, the first fault on the way or in it).

    A directory is judged although a symbolic link stands for it, and a link although it leads to a safe directory.

    Raises:
        OSError: as `way_fault`.
    """
    faults: list[Fault | None] = []
    last_is_open = False

    def judge(path: str, found: os.stat_result, in_open: bool) -> None:
        nonlocal last_is_open
        if stat.S_ISLNK(found.st_mode):
            if in_open:  # elsewhere only who owns the directory can have put it there
                faults.append(link_fault(path, found, in_open=True))
        else:
            faults.append(directory_fault(path, found, passed=True, in_open=in_open))
            last_is_open = in_open

    fd, here = reach(directory, judge)
    try:
        faults.append(directory_fault(here, os.fstat(fd), passed=False, in_open=last_is_open))
    finally:
        os.close(fd)
    return here, next((fault for fault in faults if fault is not None), None)


def reach(directory: str, judge: Judge) -> tuple[int, str]:
    """(a descriptor of `directory`, which is absolute, to go on from; where it leads).

    Goes there as the kernel does, each step from the descriptor of the one before. `judge` is given each directory from
    `/` on, and each symbolic link before it is followed; what it raises ends the way.

    Raises:
        OSError: a part of the way is not there or is no directory (its path is in `filename`), or there are too many
            links.
    """
    shown: list[str] = []
    ahead = directory.split("/")[::-1]
    links = 0
    fd = os.open("/", _HOLD)
    try:
        above = os.fstat(fd)
        judge("/", above, False)
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            path = "/" + "/".join([*shown, name])
            in_open = above.st_mode & _OTHERS_WRITE != 0
            try:
                inner = os.open(name, _HOLD, dir_fd=fd)
            except NotADirectoryError:
                target = _target(name, fd, path, judge, in_open)
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
                ahead += target.split("/")[::-1]
                if not target.startswith("/"):
                    continue
                inner, name = os.open("/", _HOLD), ""
                shown = []
            except OSError as error:
                error.filename = path
                raise
            os.close(fd)
            fd, above = inner, os.fstat(inner)
            if name == "..":
                del shown[-1:]
            elif name:
                shown.append(name)
            judge("/" + "/".join(shown), above, in_open and name not in ("", ".."))
    except BaseException:
        os.close(fd)
        raise
    return fd, "/" + "/".join(shown)


def _target(name: str, directory: int, path: str, judge: Judge, in_open: bool) -> str:
    """Where a symbolic link leads. Raises NotADirectoryError: it is none."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
    judge(path, found, in_open)
    return os.readlink(name, dir_fd=directory)


# Users and groups


def is_nobody_known() -> bool:
    """Whether this process is itself nobody in its user namespace: then a stranger's files look like its own."""
    return os.geteuid() == OVERFLOW_UID and is_unmapped(OVERFLOW_UID)


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


def _may_write(group: str, gid: int) -> bool:
    return (group == PRIVATE and is_private_group(gid)) or (group == OURS and is_our_group(gid))


def is_our_group(gid: int) -> bool:
    """Whether this user is in the group."""
    return gid == os.getegid() or gid in os.getgroups()


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
