"""What a command has of its client beside its environment: umask, resource limits, the terminal's settings; and what it
has of nobody, the dispositions of signals.

A umask always goes along, as the directory and the terminal's settings do. Limits go along downwards only, and only
those that a user sets for a command (`ulimit -t`, `-f`, `-v`, …): what a host allows its users is its own business.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal as plain
else:
    try:
        import _signal as plain  # `signal` makes an enum's member of each number: 600 calls for each session
    except ImportError:
        import signal as plain

LIMITS = {
    "cpu": resource.RLIMIT_CPU,
    "fsize": resource.RLIMIT_FSIZE,
    "data": resource.RLIMIT_DATA,
    "stack": resource.RLIMIT_STACK,
    "core": resource.RLIMIT_CORE,
    "nofile": resource.RLIMIT_NOFILE,
    "as": resource.RLIMIT_AS,
}
"""Name in the request -> limit; the address space last, since setting the others needs some. Processes are counted for
each user and host (RLIMIT_NPROC), and locked memory is the host's: neither is here."""

Shape = tuple[bool, bool, bool]
"""Which of stdin, stdout and stderr are the command's terminal; the others are pipes."""

Limit = tuple[int | None, int | None]
"""(soft, hard) as getrlimit(2) has them; None: unlimited."""


class ProcessContext:
    """What is to be set in the child, before it executes the command. `own_path`: the worker's own PATH, in which the
    program is looked for first."""

    def __init__(
        self,
        umask: int | None = None,
        limits: Mapping[str, Limit] | None = None,
        modes: Mapping[str, int | bool] | None = None,
        own_path: str = "",
        stderr: str = "",
        shape: Shape | None = None,
    ) -> None:
        self.own_path = own_path
        self.stderr = stderr
        """Something of its own beside a terminal, or one file with stdout (`terminal.stderr` in FORMAT.md)."""
        self.shape = shape
        """None: it has no terminal."""
        self.modes = modes or {}
        """What the terminal's keys and switches shall be (`terminal.modes` in FORMAT.md)."""
        self.umask = umask
        """None: the worker's."""
        self.limits = _lowered(limits or {})
        """Limit -> (soft, hard), for those only that become lower than they are here."""

    def apply(self) -> None:
        """In the child. A limit that cannot be set now is as the worker has it."""
        if self.umask is not None:
            os.umask(self.umask)
        self.apply_limits()

    def apply_limits(self) -> None:
        """The same without the umask."""
        for which, both in self.limits.items():
            try:
                resource.setrlimit(which, both)
            except (OSError, ValueError):
                pass


def _lowered(limits: Mapping[str, Limit]) -> dict[int, tuple[int, int]]:
    found = {}
    for name, which in LIMITS.items():
        if name not in limits:
            continue
        here = resource.getrlimit(which)
        soft, hard = (_lower(mine, theirs) for mine, theirs in zip(here, limits[name], strict=True))
        if (soft, hard) != here:
            found[which] = (_lower(soft, hard), hard)
    return found


def _lower(mine: int, theirs: int | None) -> int:
    if theirs is None or theirs == resource.RLIM_INFINITY:
        return mine
    return theirs if mine == resource.RLIM_INFINITY else min(mine, theirs)


_IGNORED = tuple(number for number in plain.valid_signals() if plain.getsignal(number) == plain.SIG_IGN)
"""By who started this process, or by Python (SIGPIPE, SIGXFSZ); nothing of ours ignores one."""


def hear_all_signals() -> None:
    """Ignore and block no signal any more: a command would inherit that (execve(2)). What is caught, it does not."""
    for number in _IGNORED:
        try:
            if plain.getsignal(number) == plain.SIG_IGN:
                plain.signal(number, _nothing)
        except (OSError, ValueError):
            pass  # of the C library's own
    plain.pthread_sigmask(plain.SIG_SETMASK, ())


def _nothing(_number: int, _frame: object) -> None:
    """Heard."""
