"""What becomes of a session whose runner is dead: the table as a newcomer would write it down, and its promises."""

from __future__ import annotations

import itertools

import pytest

from pigeon.journal import states
from pigeon.worker.recovery.plan import RECOVERY, TRIED_AGAIN, Facts, Finding, Recovery, decide

GRID = """
            LOST    TAKEN_OVER    UNSTARTABLE  SOUND
claiming    FORGET  CLAIM_AGAIN   CLAIM_AGAIN  CLAIM_AGAIN
launched    FOLLOW  FOLLOW        FOLLOW       FOLLOW
claimed     CLOSE   END_AS_TAKEN  END_AS_LOST  START
starting    CLOSE   END_AS_TAKEN  END_AS_LOST  END_AS_LOST
running     CLOSE   END_AS_TAKEN  END_AS_LOST  END_AS_LOST
exited      CLOSE   END_AS_TAKEN  PUBLISH      PUBLISH
"""

FACTS = {
    "LOST": Facts(is_lost=True),
    "TAKEN_OVER": Facts(is_taken_over=True),
    "UNSTARTABLE": Facts(is_startable=False),
    "SOUND": Facts(),
}


def cells() -> list[tuple[str, str, str]]:
    """(state, finding, decision) for each cell of GRID."""
    head, *lines = GRID.split("\n")[1:-1]
    return [
        (state, finding, cell)
        for state, *row in map(str.split, lines)
        for finding, cell in zip(head.split(), row, strict=True)
    ]


@pytest.mark.parametrize(("state", "finding", "decision"), cells())
def test_each_case(state: str, finding: str, decision: str) -> None:
    assert decide(state, FACTS[finding]) is Recovery[decision]


def test_only_what_was_surely_not_started_here_waits_for_its_turn_again() -> None:
    assert {one.name for one in TRIED_AGAIN} == {"CLAIM_AGAIN", "START", "FOLLOW"}


def test_the_table_has_a_cell_for_each_case_and_no_other() -> None:
    assert {(s, f.name) for s, row in RECOVERY.items() for f in row} == {(s, f) for s, f, _ in cells()}
    assert set(RECOVERY) == set(states.STEPS) - {states.FINAL}
    assert {finding.name for finding in Finding} == set(FACTS)


@pytest.mark.parametrize("state", [states.FINAL, "bananas"])
def test_what_is_over_is_not_recovered(state: str) -> None:
    with pytest.raises(KeyError):
        decide(state, Facts())


ALL_FACTS = [Facts(*values) for values in itertools.product((False, True), repeat=3)]


@pytest.mark.parametrize("facts", ALL_FACTS, ids=str)
def test_what_may_have_started_is_never_started_again(facts: Facts) -> None:
    reachable = {states.STARTING}
    while more := {after for state in reachable for after in states.STEPS[state]} - reachable:
        reachable |= more
    for state in reachable - {states.FINAL}:
        assert decide(state, facts) not in TRIED_AGAIN


@pytest.mark.parametrize("facts", ALL_FACTS, ids=str)
def test_what_is_anothers_is_left_to_him(facts: Facts) -> None:
    for state in RECOVERY:
        untouched = decide(state, facts) in (Recovery.FORGET, Recovery.CLOSE)
        assert untouched == (facts.is_lost and state != states.LAUNCHED)
        assert (decide(state, facts) is Recovery.FOLLOW) == (state == states.LAUNCHED)


@pytest.mark.parametrize("facts", ALL_FACTS, ids=str)
def test_who_only_ends_starts_nothing(facts: Facts) -> None:
    if not facts.is_startable:
        assert all(decide(state, facts) is not Recovery.START for state in RECOVERY)
