"""Moments as people write them: a duration before now, `today`, `yesterday`, an ISO date or time."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from pigeon import durations
from pigeon.errors import UsageError
from pigeon.report.history_table import visible

_DAYS_AGO = {"today": 0, "yesterday": 1}


def moment(typed: str, now: float, *, to_the_end: bool = False) -> float:
    """Unix seconds of what was typed, in local time unless it says otherwise. `to_the_end`: a day means its end.

    Raises:
        UsageError: it is neither a duration nor a moment.
    """
    try:
        if typed == "now":
            return now
        if typed in _DAYS_AGO:
            today = datetime.fromtimestamp(now).date()
            return _of_day(today - timedelta(days=_DAYS_AGO[typed]), to_the_end=to_the_end)
        ago = None if typed.replace(".", "").isdigit() else durations.seconds_of(typed)
        if ago is not None:
            return max(0.0, now - ago)
        if not set("T :").intersection(typed):
            return _of_day(date.fromisoformat(typed), to_the_end=to_the_end)
        return datetime.fromisoformat(typed).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"`{visible(typed)}` is neither a duration nor a time",
            hint="write `2d`, `90m`, `yesterday`, `2026-01-31` or `2026-01-31T08:09`",
        ) from None


def _of_day(day: date, *, to_the_end: bool) -> float:
    return datetime.combine(day + timedelta(days=1 if to_the_end else 0), time()).timestamp()
