"""Waiting for conditions, never for time, and showing everything that is known when one does not come true.

Whoever starts things that can get stuck registers a witness (`WITNESSES`); what the witnesses say stands in
the failure. `PIGEON_TEST_PATIENCE` multiplies every limit, for slow machines and slow mounts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("PIGEON_TEST_PATIENCE", "1"))

WITNESSES: list[Callable[[], str]] = []
"""Each tells, as text, what it knows at the moment of a failure."""


def patient(timeout_s: float) -> float:
    """`timeout_s`, stretched for the machine that the tests run on."""
    return timeout_s * PATIENCE


def testimony() -> str:
    """What all witnesses say; one that fails says how it failed, so that it does not hide the others."""
    parts = []
    for witness in WITNESSES:
        try:
            parts.append(witness())
        except Exception as error:  # a witness must never replace the failure that it explains
            parts.append(f"(a witness failed: {error!r})")
    return "\n".join(parts)


class NotInTime(AssertionError):
    """A condition did not come true in time."""

    def __init__(self, text: str, evidence: str) -> None:
        super().__init__(text)
        self.evidence = evidence

    def __str__(self) -> str:
        return f"{self.args[0]}\n{self.evidence}"


def wait_until(
    condition: Callable[[], T],
    timeout_s: float = 15.0,
    describe: str | Callable[[], str] = "the condition",
    *,
    interval_s: float = 0.01,
) -> T:
    """The first true value of `condition()`, which is asked every `interval_s` seconds.

    Raises:
        NotInTime: it stayed false for `timeout_s`; tells what `describe` says, and the testimony of that moment.
    """
    deadline = time.monotonic() + patient(timeout_s)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            what = describe if isinstance(describe, str) else describe()
            raise NotInTime(f"not within {patient(timeout_s):g} s: {what}", testimony())
        time.sleep(interval_s)
