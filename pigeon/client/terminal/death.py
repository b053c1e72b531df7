"""Ending as the command did: by the same signal, so that a loop or a script around it stops as it would here."""

from __future__ import annotations

import os

from pigeon.client.signals import signals

_WRITES_CORE = frozenset(
    getattr(signals, f"SIG{name}") for name in "QUIT ILL TRAP ABRT BUS FPE SEGV XCPU XFSZ SYS".split()
)
"""Signals that leave a core behind (signal(7))."""


def die_by(number: int, *, with_group: bool) -> None:
    """Send `number` to this process, for whoever waits for it. Comes back only if the signal ends nothing.

    `with_group`: to all of the foreground group, as a terminal sends what its keys mean: the key went to the command
    alone. No core is written: it would be this process's.
    """
    if number in _WRITES_CORE:
        import resource  # few commands end so, and the pump, which runs the same Python, has just told of it

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signals.SIGKILL, signals.SIGSTOP):
        signals.signal(number, signals.SIG_DFL)
    signals.pthread_sigmask(signals.SIG_UNBLOCK, [number])
    if with_group:
        os.killpg(0, number)
    os.kill(os.getpid(), number)
