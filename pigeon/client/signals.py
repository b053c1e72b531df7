"""Signals: their numbers by name, without the 3 ms that `signal` spends on enum classes, and which of them the client's
two processes watch, pass on or leave alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signals
else:
    try:
        import _signal as signals
    except ImportError:
        import signal as signals

__all__ = [
    "SIGHUP",
    "SIGINT",
    "SIGKILL",
    "SIGQUIT",
    "SIGTERM",
    "become_pump",
    "do_nothing",
    "install",
    "signal_name",
    "signals",
]

SIGINT: int = signals.SIGINT
SIGQUIT: int = signals.SIGQUIT
SIGTERM: int = signals.SIGTERM
SIGHUP: int = signals.SIGHUP
SIGKILL: int = signals.SIGKILL

_FORWARDED = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_WATCHED = (*_FORWARDED, "SIGTSTP", "SIGCONT", "SIGWINCH", "SIGCHLD")


def signal_name(number: int) -> str:
    """`SIGINT` for 2; `signal 99` for what has no name."""
    for name in dir(signals):
        if name.startswith("SIG") and not name.startswith("SIG_") and getattr(signals, name) == number:
            return name
    return f"signal {number}"


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
