"""Where the milliseconds go: with PIGEON_TRACE=FILE each step of client and worker appends a line with its time.

`<monotonic seconds> <pid> <step>`; on one host the clocks of all processes agree. `tools/bench` reads it.
"""

from __future__ import annotations

import os

from pigeon.clock import monotonic

_PATH = os.environ.get("PIGEON_TRACE")


def mark(step: str) -> None:
    """This process has come to `step`. Costs a comparison when tracing is off."""
    if _PATH is None:
        return
    line = f"{monotonic():.6f} {os.getpid()} {step}\n".encode()
    try:
        fd = os.open(_PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
    except OSError:
        pass  # whoever marks a step must not take this for trouble of his own
