"""The worker side's tables are complete and without a way back."""

from __future__ import annotations

import signal

from pigeon.journal.states import CLAIMED, EXITED, FINAL, RUNNING, STARTING, STEPS
from pigeon.worker.hangup import HANGUP
from pigeon.worker.recovery.plan import RECOVERY, Recovery


def test_every_unfinished_state_has_a_recovery() -> None:
    assert set(RECOVERY) == set(STEPS) - {FINAL}


def test_what_may_have_started_is_never_started_again() -> None:
    may_start = {state for state, what in RECOVERY.items() if what in (Recovery.START, Recovery.CLAIM_AGAIN)}
    reachable = {STARTING}
    while more := {after for state in reachable for after in STEPS[state]} - reachable:
        reachable |= more
    assert may_start.isdisjoint(reachable)


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
    assert {s for s, after in STEPS.items() if RUNNING in after} == {STARTING}
    assert {s for s, after in STEPS.items() if EXITED in after} == {STARTING, RUNNING}


def test_a_hangup_ends_in_what_cannot_be_ignored() -> None:
    assert [after for after, _ in HANGUP] == sorted(after for after, _ in HANGUP)
    assert HANGUP[0] == (0.0, (signal.SIGHUP, signal.SIGCONT))
    assert HANGUP[-1][1] == (signal.SIGKILL,)
