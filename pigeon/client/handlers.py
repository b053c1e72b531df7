"""Which signals the client's two processes watch, pass on or leave alone."""

from __future__ import annotations

from pigeon.client.signals import signals

FORWARDED = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_WATCHED = (*FORWARDED, "SIGTSTP", "SIGCONT", "SIGWINCH", "SIGCHLD")


def install(wakeup: int) -> list[int]:
    """Watch the signals; those that were ignored already (nohup, a background job) stay ignored. Returns those.

    The number of each signal that comes is written to `wakeup`, where the loop finds it.
    """
    ignored = []
    for name in _WATCHED:
        number = getattr(signals, name)
        if name != "SIGCHLD" and signals.getsignal(number) == signals.SIG_IGN:
            ignored.append(number)
        else:
            signals.signal(number, do_nothing)
    signals.set_wakeup_fd(wakeup)
    return ignored


def do_nothing(_number: int, _frame: object) -> None:
    """The number has been written to the wake-up pipe; the loop acts on it."""


def become_pump(ignored: list[int]) -> None:
    """Signals are the guardian's business, also those sent to the whole process group: it passes them on as frames."""
    signals.set_wakeup_fd(-1)
    for name in _WATCHED:
        number = getattr(signals, name)
        if number not in ignored:
            signals.signal(number, signals.SIG_DFL if name == "SIGCHLD" else signals.SIG_IGN)
