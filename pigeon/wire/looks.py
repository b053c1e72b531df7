"""A cheaper question than opening a file: how long is it now? statx(2) asks the server, whatever a cache holds.

On NFS an open with its close is two calls of the server (version 4), this is one. Which filesystems are asked so is
decided by their kind, and tried once. Whoever asks (`Tail`) opens the file now and then all the same, and gives the
question up where that finds what it had denied. Python has no statx before 3.15, and ctypes takes 10 ms to load: so
this is for sessions that have lasted a while.
"""

from __future__ import annotations

import os

from pigeon.wire.share import at, mount_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = frozenset(("nfs", "nfs4"))
"""Elsewhere an open is as cheap, or nobody has measured whether the answer is fresh."""

_AT_FDCWD = -100
_NOFOLLOW, _EMPTY_PATH, _FORCE_SYNC = 0x100, 0x1000, 0x2000
_SIZE = 0x200
_STAMPS = 0x4 | 0x40 | 0x80 | 0x100 | _SIZE
"""Of linux/stat.h and linux/fcntl.h; the second: nlink, mtime, ctime, ino and size."""

_STATX_BYTES, _MASK_AT, _NLINK_AT, _INO_AT, _SIZE_AT, _CTIME_AT, _MTIME_AT = 256, 0, 16, 32, 40, 96, 112
"""struct statx: its length, and where in it things are."""


def question_for(path: str) -> Callable[[str], int] | None:
    """What tells the length of a file below the directory of `path`, in bytes, and may raise OSError; None where an
    open is to be preferred, or nothing else can be had."""
    ask = _question_for(path, _SIZE)
    return None if ask is None else lambda name: _number(ask(name), _SIZE_AT, 8)


def stamps_for(path: str) -> Callable[[str], tuple[int, ...]] | None:
    """The same for what tells whether something has changed in the directory `path`: its number, mtime and ctime in
    nanoseconds, nlink and size, as fstat(2) has them."""
    # Of what is held, where it is: a look-up of its name would be a question of its own.
    ask = _question_for(f"{path}/.", _STAMPS)
    return None if ask is None else lambda name: _stamps(ask(f"{name}/."))


def _number(answer: bytes, start: int, size: int) -> int:
    return int.from_bytes(answer[start : start + size], "little")


def _stamps(answer: bytes) -> tuple[int, ...]:
    mtime, ctime = (
        _number(answer, at, 8) * 1_000_000_000 + _number(answer, at + 8, 4) for at in (_MTIME_AT, _CTIME_AT)
    )
    return (
        _number(answer, _INO_AT, 8),
        mtime,
        ctime,
        _number(answer, _NLINK_AT, 4),
        _number(answer, _SIZE_AT, 8),
    )


def _question_for(path: str, wanted: int) -> Callable[[str], bytes] | None:
    from pigeon.mountinfo import filesystem_of

    if filesystem_of(mount_of(path)).fstype not in KINDS:
        return None
    try:
        ask = _statx(wanted)
        ask(path)
    except (ImportError, OSError, AttributeError):
        return None
    return ask


def _statx(wanted: int) -> Callable[[str], bytes]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    statx = libc.statx  # glibc 2.28, musl 1.2.5
    answer = ctypes.create_string_buffer(_STATX_BYTES)

    def answer_for(path: str) -> bytes:
        def ask(name: str, directory: int | None) -> bytes:
            place, flags = _AT_FDCWD if directory is None else directory, _NOFOLLOW | _FORCE_SYNC
            if name == ".":
                name, flags = "", flags | _EMPTY_PATH
            if statx(place, os.fsencode(name), flags, wanted, answer) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), path)
            if _number(answer.raw, _MASK_AT, 4) & wanted != wanted:
                raise OSError(0, "not all that was asked for", path)
            return answer.raw

        return at(path, ask)

    return answer_for
