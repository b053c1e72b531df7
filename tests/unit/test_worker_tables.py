"""The worker side's tables: what may follow what in the journal, and how a command is hung up."""

from __future__ import annotations

import signal

import pytest

from pigeon.journal.states import (
    AT_WORK,
    CLAIMED,
    EXITED,
    FINAL,
    NOT_STARTED,
    RUNNING,
    STARTING,
    STEPS,
    origins,
)
from pigeon.worker.hangup import HANGUP, UNKILLABLE_S, Steps

LIFE = {
    "claiming": "claimed launched final",
    "launched": "final",
    "claimed": "starting final",
    "starting": "running exited final",
    "running": "exited final",
    "exited": "final",
    "final": "",
}
"""What a newcomer would write down."""


@pytest.mark.parametrize("state", LIFE)
def test_the_steps_from(state: str) -> None:
    assert STEPS[state] == frozenset(LIFE[state].split())
    assert list(STEPS) == list(LIFE)


@pytest.mark.parametrize("to", LIFE)
def test_the_origins_of_a_step_are_the_steps_read_backwards(to: str) -> None:
    expected = tuple(state for state, after in LIFE.items() if to in after.split())
    if expected:
        assert origins(to) == expected
    else:
        with pytest.raises(ValueError, match=to):
            origins(to)


def test_the_command_has_not_been_started_or_may_have_been_or_has_ended() -> None:
    assert NOT_STARTED == ("claiming", "claimed")
    assert AT_WORK == ("starting", "running")


def test_every_state_leads_to_the_end() -> None:
    for state in STEPS:
        seen, todo = set(), {state}
        while todo:
            one = todo.pop()
            seen.add(one)
            todo |= STEPS[one] - seen
        assert FINAL in seen


def test_the_command_starts_only_behind_its_write_ahead_row() -> None:
    assert STEPS[CLAIMED] == {STARTING, FINAL}
    assert origins(RUNNING) == (STARTING,)
    assert origins(EXITED) == (STARTING, RUNNING)


# -- the hang-up -----------------------------------------------------------------------------------------

MOMENTS = [
    (0.0, (signal.SIGHUP, signal.SIGCONT)),
    (5.0, (signal.SIGTERM, signal.SIGCONT)),
    (10.0, (signal.SIGKILL,)),
]
"""Seconds after the decision, and what the command is sent then."""


def test_each_step_comes_in_its_moment_and_once() -> None:
    steps = Steps(100.0)
    for after, numbers in MOMENTS:
        assert list(steps.due(100.0 + after - 0.001)) == []
        assert list(steps.due(100.0 + after)) == [numbers]
        assert list(steps.due(100.0 + after)) == []
    assert list(steps.due(1e6)) == []


def test_who_comes_late_takes_the_steps_in_their_order() -> None:
    assert list(Steps(0.0).due(60.0)) == [numbers for _, numbers in MOMENTS]


def test_a_hangup_ends_in_what_cannot_be_ignored_and_then_is_given_up() -> None:
    assert HANGUP[-1][1] == (signal.SIGKILL,)
    steps = Steps(0.0)
    assert not steps.is_hopeless(20.0)
    assert steps.is_hopeless(20.001)
    assert 2 * HANGUP[-1][0] == UNKILLABLE_S
