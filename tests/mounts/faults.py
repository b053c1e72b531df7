"""What a test wants to go wrong: the control file's format, and the mount's reading of it.

A rule names requests (kinds, a pattern of paths, a mount), says from which of them on and for how many it acts, and
what it does. Requests are counted over all mounts that the rule means (`tally`). The file is replaced as a whole and
looked at (one `stat`) at every request, so that a change holds from the next request on.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.mounts.counters import KINDS
from tests.mounts.tally import Tally

ACTS = ("error", "stall", "delay", "short", "lost_reply", "tear")
UNSTOPPABLE = ("release", "releasedir")
"""Nobody waits for these; the kernel sends them behind the caller's back. No rule means them unless it names them."""

LATE = ("unlink", "rename", "link", "rmdir")
"""Requests that need nothing of their caller, so that they can outlive it."""

_LOOK_AGAIN_S = 0.02
"""How often a stalled request looks whether it may go on: short for a person, nothing for the machine."""


@dataclass(frozen=True)
class Rule:
    """One fault. `nth`, `times` and `for_s` count the requests that it means."""

    id: int
    act: str
    """error: fail, nothing done · stall: hang, then do it · delay: wait `seconds`, then do it · short: take only
    `size_bytes` (of a read or write; of a write-back: write that much, then fail) · lost_reply: do it, then fail ·
    tear: write back the last half first, and the rest `seconds` later"""
    ops: tuple[str, ...] = ()
    """Kinds of `KINDS`; empty: all but releases."""
    path: str = "*"
    """Pattern of the path from the mount's root, with a leading slash; `*` crosses slashes. Of two names, either."""
    mount: str | None = None
    nth: int = 1
    times: int | None = 1
    """None: no end."""
    for_s: float | None = None
    """Ends this long after it first took effect."""
    error: str = "EIO"
    seconds: float | None = None
    """Of a stall or a tear, None means until the rule is taken away."""
    size_bytes: int = 0
    killable: bool = True
    """A caller that is killed while it hangs is let go, as on a `hard` NFS mount; False: not even then."""
    late: bool = False
    """What a caller was killed in (of `LATE`) is carried out all the same when the stall ends."""

    def __post_init__(self) -> None:
        if self.act not in ACTS or not set(self.ops) <= set(KINDS):
            raise ValueError(f"no such fault: {self}")
        self.failure()

    def failure(self) -> OSError:
        """What the caller is told."""
        number = getattr(errno, self.error)
        return OSError(number, f"{os.strerror(number)} (fault {self.id})")

    def means(self, mount: str, kind: str, paths: tuple[str, ...]) -> bool:
        """Is this request one of those that it counts?"""
        if self.mount not in (None, mount):
            return False
        if kind not in self.ops if self.ops else kind in UNSTOPPABLE:
            return False
        return any(fnmatch.fnmatchcase(path, self.path) for path in paths)


@dataclass(frozen=True)
class Settings:
    """The whole control file."""

    latency_s: dict[str, float] = field(default_factory=dict)
    """What an answer of the server takes, by mount."""
    space_bytes: int | None = None
    """How much more the files may grow in all; None: no limit."""
    space_error: str = "ENOSPC"
    space_at: str = "close"
    """`close`: told when the data are written back; `write`: told at once."""
    lost_locks: dict[str, int] = field(default_factory=dict)
    """How often, by mount, the server has forgotten the locks of that client."""
    rules: tuple[Rule, ...] = ()

    def encode(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def decode(cls, data: bytes) -> Settings:
        """The reverse; keys that are absent have their defaults, so that people can write such a file by hand."""
        raw: dict[str, Any] = json.loads(data)
        rules = raw.pop("rules", ())
        for rule in rules:
            rule["ops"] = tuple(rule.get("ops", ()))
        return cls(**raw, rules=tuple(Rule(**rule) for rule in rules))


class RuleBook:
    """The control file as one mount's process knows it, and which of its rules act now."""

    def __init__(self, path: Path, mount: str, tally: Tally) -> None:
        self._path = path
        self._mount = mount
        self._tally = tally
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self.settings = Settings()
        self.on_change: Callable[[Settings], None] = lambda settings: None

    @property
    def latency_s(self) -> float:
        """What each answer of the server takes now."""
        return self.settings.latency_s.get(self._mount, 0.0)

    def look(self) -> None:
        """Take in what the control file says now; a broken one is left alone until it is right."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if version == self._version:
            return
        with self._lock:
            if version == self._version:
                return
            try:
                self.settings = Settings.decode(self._path.read_bytes())
            except (ValueError, TypeError, AttributeError) as error:
                print(f"the control file is wrong and was not taken: {error!r}", file=sys.stderr)
            self._version = version
        self.on_change(self.settings)

    def match(self, kind: str, *paths: str) -> Rule | None:
        """The rule that acts on this request, if any; counts the request for every rule that means it."""
        self.look()
        acting = None
        for rule in self.settings.rules:
            if rule.means(self._mount, kind, paths) and self._is_due(rule) and acting is None:
                acting = rule
        return acting

    def _is_due(self, rule: Rule) -> bool:
        return self._tally.is_due(rule.id, nth=rule.nth, times=rule.times, for_s=rule.for_s)

    def hold(self, rule: Rule, killed: Callable[[], bool]) -> None:
        """Return when the stall is over.

        Raises:
            InterruptedError: the caller is being killed, and the rule lets go of such.
        """
        end = None if rule.seconds is None else time.monotonic() + rule.seconds
        while end is None or time.monotonic() < end:
            self.look()
            if all(rule.id != other.id for other in self.settings.rules):
                return
            if rule.killable and killed():
                raise InterruptedError(errno.EINTR, "killed while the server does not answer")
            time.sleep(_LOOK_AGAIN_S)
