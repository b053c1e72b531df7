"""Signal numbers by name, without the 3 ms that `signal` spends on enum classes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signals
else:
    try:
        import _signal as signals
    except ImportError:
        import signal as signals

__all__ = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "signal_name", "signals"]

SIGINT: int = signals.SIGINT
SIGQUIT: int = signals.SIGQUIT
SIGTERM: int = signals.SIGTERM
SIGHUP: int = signals.SIGHUP


def signal_name(number: int) -> str:
    """`SIGINT` for 2; `signal 99` for what has no name."""
    for name in dir(signals):
        if name.startswith("SIG") and not name.startswith("SIG_") and getattr(signals, name) == number:
            return name
    return f"signal {number}"
