"""A session is in exactly one state, whatever happens to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pigeon.journal.rows import Row
from pigeon.wire.documents import Request
from pigeon.worker.scheduler.sessions import (
    IGNORED,
    ORPHAN,
    OWNED,
    Adopted,
    Candidate,
    Ending,
    Final,
    Ignored,
    Incomplete,
    Orphan,
    Owned,
    Running,
    Sessions,
    State,
    Tried,
    Unpublished,
    Waiting,
)

KINDS = (Incomplete, Unpublished, Waiting, Tried, Running, Adopted, Ending, Owned, Orphan, Final, Ignored)
ROW = Row("t", "s", 1, "running")


def candidate(session_id: str, seen: float = 0.0) -> Candidate:
    return Candidate(session_id, Request(session_id, ["true"], "/a"), 0.0, seen)


def states_of(session_id: str) -> list[State]:
    """One of each kind."""
    one = candidate(session_id)
    return [
        Incomplete(0.0),
        Unpublished(0.0),
        Waiting(one),
        Tried(one, 5.0, held_elsewhere=False),
        Running(one, 7, 0.0, is_retry=False),
        Adopted(ROW, 0.0),
        Ending(ROW, 8),
        OWNED,
        ORPHAN,
        Final(0.0),
        IGNORED,
    ]


NAMES = ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, len(KINDS) - 1)), max_size=40))
def test_it_is_where_it_was_put_last_and_nowhere_else(moves: list[tuple[str, int]]) -> None:
    sessions, last = Sessions(), dict[str, State]()
    for name, number in moves:
        last[name] = states_of(name)[number]
        sessions.put(name, last[name])
    assert len(sessions) == len(last)
    for name in NAMES:
        assert (name in sessions) == (name in last)
        assert sessions.get(name) is last.get(name)
        assert [kind for kind in KINDS if name in sessions.of(kind)] == [
            type(s) for n, s in last.items() if n == name
        ]


@given(st.sets(st.sampled_from(NAMES)), st.integers(0, len(KINDS) - 1))
def test_what_is_gone_is_forgotten_unless_somebody_is_at_it(listed: set[str], number: int) -> None:
    sessions = Sessions()
    for name in NAMES:
        sessions.put(name, states_of(name)[number])
    sessions.keep_only(listed)
    at_it = KINDS[number] in (Waiting, Tried, Running, Adopted, Ending)
    assert {name for name in NAMES if name in sessions} == (set(NAMES) if at_it else listed)
    assert set(sessions.of(KINDS[number])) == {name for name in NAMES if name in sessions}


def test_those_that_wait_keep_the_order_in_which_they_were_seen() -> None:
    sessions = Sessions()
    for name, seen in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        sessions.put(name, Waiting(candidate(name, seen)))
    sessions.put("a", Running(candidate("a", 1.0), 7, 4.0, is_retry=False))
    assert [one.candidate.session_id for one in sessions.in_order()] == ["b", "c"]
    sessions.put("a", Tried(candidate("a", 1.0), 6.0, held_elsewhere=True))
    assert [one.candidate.session_id for one in sessions.in_order()] == ["a", "b", "c"]
    assert sessions.next_retry() == 6.0
    sessions.put("a", OWNED)
    assert sessions.next_retry() == float("inf")
