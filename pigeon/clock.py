"""The only module that asks for the time.

Durations are differences of `monotonic()`; `utc_text()` is for people and decides nothing (FORMAT.md, "Time").
"""

import time

monotonic = time.monotonic
"""Seconds of this host's steady clock; the zero point means nothing."""


def boottime() -> float:
    """Like `monotonic()`, but it also counts the time that the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


sleep = time.sleep

wall = time.time
"""Seconds since 1970 by this host's clock; only for stamps and for ids."""


def utc_text(seconds: float | None = None) -> str:
    """`2026-01-31T08:09:10.123456Z` for `seconds` since 1970 (default: now)."""
    if seconds is None:
        seconds = time.time()
    whole = int(seconds // 1)
    micros = int((seconds - whole) * 1_000_000)
    t = time.gmtime(whole)
    return f"{t[0]:04d}-{t[1]:02d}-{t[2]:02d}T{t[3]:02d}:{t[4]:02d}:{t[5]:02d}.{micros:06d}Z"


def utc_seconds(text: str) -> float | None:
    """Seconds since 1970 of a stamp that `utc_text` made; None for anything else."""
    from calendar import timegm

    fraction = text[19:].rstrip("Z") or ".0"
    try:
        return timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(f"0{fraction}")
    except ValueError:
        return None


def local_text(seconds: float) -> str:
    """`2026-01-31 08:09:10` in this host's time zone, for tables that people read."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
