"""Polling intervals and silence are arithmetic; a day passes in a microsecond here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.backoff import Backoff
from pigeon.wire import pacing
from pigeon.wire.pacing import (
    INTERACTIVE,
    WATCHING,
    Silence,
    Steps,
    interval,
    pending_interval,
    polite,
    scan_interval,
)


@pytest.mark.parametrize(
    "wait",
    [
        lambda s: interval(INTERACTIVE, s),
        lambda s: interval(WATCHING, s),
        pending_interval,
        lambda s: scan_interval(s, 0.25),
    ],
    ids=["input", "stream", "pending", "scan"],
)
def test_intervals_never_shrink(wait: Callable[[float], float]) -> None:
    waits = [wait(silence / 10) for silence in range(100_000)]
    assert waits == sorted(waits)


INPUT = {0.25: 1, 2: 2, 12: 4, 20: 20, 75: 80, 300: 120, 2400: 200, 1e9: 300}
STREAM = {0.25: 1, 2: 2, 12: 4, 20: 20, 75: 80, 300: 250, 1e9: 480}
"""Seconds of silence up to which a look follows after so many milliseconds; tuned by tools/bench, and no accident."""


@pytest.mark.parametrize(("name", "tuned"), [("INTERACTIVE", INPUT), ("WATCHING", STREAM)])
def test_the_pace_is_what_was_tuned(name: str, tuned: dict[float, float]) -> None:
    steps: Steps = getattr(pacing, name)
    begin = 0.0
    for until, wait_ms in tuned.items():
        assert interval(steps, begin + 1e-6) == interval(steps, until) == pytest.approx(wait_ms / 1000)
        begin = until
    assert interval(steps, float("inf")) == interval(steps, 1e9)
    assert steps[-1][0] == float("inf")


def test_a_client_that_waits_looks_less_and_less_often() -> None:
    looks, waited = 0, 0.0
    while waited < 5:
        waited += pending_interval(waited)
        looks += 1
    assert looks < 70, "200 of them must leave the machine to those that run"
    assert pending_interval(0.008) == 0.001


def test_an_idle_worker_is_quiet_soon() -> None:
    assert scan_interval(0.3, 0.25) == 0.001, "the next command is likely"
    assert scan_interval(22.0, 0.25) == 0.25


def test_interactive_budgets() -> None:
    assert interval(INTERACTIVE, 10.0) * 2 <= 0.010, "a terminal's answer within 10 ms: both sides look once"
    assert interval(INTERACTIVE, 60.0) <= 0.100, "within 100 ms in the first minute"
    assert interval(INTERACTIVE, 86_400.0) <= 0.500, "the ceiling"


def test_visits_of_an_idle_session_stay_in_their_budget() -> None:
    """The runner looks at input, and at control every other time, the client at the stream.

    Budgets: 40 a second after a minute, 12 after ten.
    """
    assert 1.5 / interval(INTERACTIVE, 60.0) + 1 / interval(WATCHING, 60.0) <= 40
    assert 1.5 / interval(INTERACTIVE, 600.0) + 1 / interval(WATCHING, 600.0) <= 12


@given(st.floats(0, 1e6), st.floats(0.01, 5))
def test_scan_interval_has_a_floor_and_a_ceiling(silence: float, ceiling: float) -> None:
    assert 0.001 <= scan_interval(silence, ceiling) <= max(ceiling, 0.001)


def test_polite_slows_down_with_the_filesystem() -> None:
    assert polite(0.001, 0.0005) == 0.001
    assert polite(0.001, 0.050) == 0.05


def test_backoff_doubles_up_to_its_ceiling_and_starts_anew() -> None:
    backoff = Backoff(ceiling_s=0.1)
    assert [backoff.failed() for _ in range(5)] == [0.02, 0.04, 0.08, 0.1, 0.1]
    backoff.succeeded()
    assert backoff.failed() == 0.02


def test_silence_counts_only_what_was_watched() -> None:
    silence = Silence()
    assert silence.looked(100.0, grew=False) == 0.0
    assert silence.looked(100.5, grew=False) == pytest.approx(0.5)
    assert silence.looked(4000.0, grew=False) == pytest.approx(1.5), "a stopped judge has seen nothing"
    assert silence.looked(4000.2, grew=True) == 0.0


def test_silence_starts_anew_after_a_failed_look() -> None:
    silence = Silence()
    silence.looked(0.0, grew=False)
    silence.looked(1.0, grew=False)
    silence.failed()
    assert silence.seconds == 0.0
    assert silence.looked(2.0, grew=False) == 0.0


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=50))
def test_silence_is_never_more_than_the_time_that_passed(looks: list[tuple[float, bool]]) -> None:
    silence, now = Silence(), 0.0
    for step, grew in looks:
        now += step
        assert 0.0 <= silence.looked(now, grew=grew) <= now
