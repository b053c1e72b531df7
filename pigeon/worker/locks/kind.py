"""What each kind of directory lock offers. A module of this package is one kind: it has these functions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pigeon.mountinfo import Mount


class Lock(Protocol):
    """A held lock. The command inherits `descriptor`, so that the directory stays held while its processes live."""

    descriptor: int

    def release(self) -> None:
        """Free the directory at once, whatever background process still has a copy of the descriptor."""

    def is_lost(self) -> bool:
        """Whether the server has dropped the lock. False also where nothing can be told."""


class Holder(NamedTuple):
    """Who a lock names as its holder: what the kernel does not take away when the holder is killed."""

    host: str
    is_here: bool
    """On this host, and in this process's pid namespace."""
    pid: int
    started: int | None
    """In clock ticks since boot; None: not known."""
    name: str
    """By which its kind knows it."""


class Fit(NamedTuple):
    """Whether a kind excludes across hosts on a filesystem, and why or why not."""

    is_exact: bool
    why: str


class Kind(Protocol):
    """One kind of lock. Each function takes the path of the directory's lock file (`Namespace.lock`)."""

    INSTEAD: str
    """What it takes where another kind is in doubt, in words that follow "so pigeon also takes"."""
    NEEDS_LINKS: bool
    """It is made of hard links."""

    def judge(self, mount: Mount) -> Fit:
        """By the mount's type and options; never by a call that merely succeeded."""

    def try_lock(self, lock_path: str) -> Lock | None:
        """The lock, or None if another holds it.

        Raises:
            OSError: the filesystem cannot say (ENOLCK, EIO, …) or has no such locks (ENOSYS, EOPNOTSUPP).
        """

    def holders(self, lock_path: str) -> list[Holder]:
        """Whom it names; empty if it names nobody, or nobody holds it. Raises OSError."""

    def break_holder(self, lock_path: str, holder: Holder) -> None:
        """Free it from that one. Only for who can prove the holder, command included, dead. Raises OSError."""
