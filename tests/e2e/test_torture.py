"""A short torture: real processes are killed at random and at named steps, and no promise is broken.

The long form is `tools/torture/run`. Each seed is a schedule of its own; the one that failed is printed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mounts.rigs import require
from tools.torture import plan
from tools.torture.__main__ import torture


@pytest.mark.slow
def test_no_promise_is_broken(tmp_path: Path) -> None:
    report = torture(tmp_path, wanted=plan.Wanted(1, 25, 15), parallel=8, minutes=0.2)
    # What fits into the time on a busy machine.
    assert report.kills >= 3 and report.sessions >= 8, report.summary
    assert not report.violations, "\n".join([report.summary, *report.violations])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mount", plan.MOUNTS)
def test_no_promise_is_broken_for_minutes(tmp_path: Path, mount: str) -> None:
    if mount == plan.TWOCACHE:
        require("twocache")
    report = torture(tmp_path, wanted=plan.Wanted(2, 300, 150, mount), minutes=10)
    assert not report.violations, "\n".join([report.summary, *report.violations])


def test_a_seed_is_a_schedule() -> None:
    one, again, other = (plan.make(plan.Wanted(seed, 60, 30, plan.TWOCACHE)) for seed in (5, 5, 6))
    assert one == again
    assert one.digest == again.digest != other.digest
