"""What becomes of a session when the process at work on it has ended: the table as a newcomer would write it down."""

from __future__ import annotations

import pytest

from pigeon.journal.rows import Row
from pigeon.wire.documents import NET_VERB, Request
from pigeon.worker.handover import RunnerExit
from pigeon.worker.scheduler.exits import DIED, MOVES, Kind, Look, Move, Next, after, kind_of, state_after
from pigeon.worker.scheduler.sessions import Candidate, Ending, Final, Orphan, Owned, Running, Tried

GRID = """
            DONE   HELD  LATER  LOST   SUPERSEDED    JOURNAL      FAILED  died
FRESH       FINAL  HELD  TRIED  OWNED  OWNED         ORPHAN+ends  -       TRIED+NOW+death+told
RESUMED     FINAL  HELD  TRIED  OWNED  OWNED         ORPHAN+ends  -       ORPHAN+NOW+death+told
ENDER       OWNED  -     -      -      OWNED+LATER+death  -       -       OWNED+LATER+death
"""
"""The state that it comes into; `+NOW`, `+LATER`: when recovery looks; `+death`: it is counted as one; `+told`: people
hear of it; `+ends`: the worker, too; `-`: not listed, and so no better than a death."""

CODES: dict[str, int] = {n: c for n, c in vars(RunnerExit).items() if n.isupper()}


def cells() -> list[tuple[str, str, str]]:
    """(kind of process, how it ended, what is done) for each cell of GRID."""
    head, *lines = GRID.split("\n")[1:-1]
    return [
        (kind, exit_, cell)
        for kind, *row in map(str.split, lines)
        for exit_, cell in zip(head.split(), row, strict=True)
    ]


def expected(cell: str) -> Move:
    to, *rest = cell.split("+")
    look = next((Look[word] for word in rest if word.isupper()), Look.AS_EVER)
    return Move(Next[to], look, "death" in rest, "told" in rest, "ends" in rest)


@pytest.mark.parametrize(("kind", "exit_", "cell"), cells())
def test_each_case(kind: str, exit_: str, cell: str) -> None:
    if exit_ == "died":
        for code in (-9, 1, 70):
            assert after(Kind[kind], code) == expected(cell)
    elif cell == "-":
        assert after(Kind[kind], CODES[exit_]) is MOVES[Kind[kind], DIED]
    else:
        assert after(Kind[kind], CODES[exit_]) == expected(cell)


def test_the_table_has_no_other_cells() -> None:
    listed = {
        (Kind[kind], DIED if exit_ == "died" else CODES[exit_])
        for kind, exit_, cell in cells()
        if cell != "-"
    }
    assert set(MOVES) == listed
    assert set(CODES) == {exit_ for _, exit_, _ in cells()} - {"died"}


ROW = Row("t", "s", 1, "claimed")


def running(row: Row | None = None) -> Running:
    """A runner at work since second 1."""
    return Running(Candidate("s", Request("s", ["true"], "/a"), 0.0, 0.0, row=row), 7, 1.0, False)


def test_which_process_it_was_shows_in_the_state() -> None:
    assert kind_of(running()) is Kind.FRESH
    assert kind_of(running(ROW)) is Kind.RESUMED
    assert kind_of(Ending(ROW, 7)) is Kind.ENDER


def test_each_state_has_its_own_data() -> None:
    assert state_after(Next.FINAL, running(), 9.0) == Final(9.0)
    assert state_after(Next.OWNED, running(), 9.0) == Owned()
    assert state_after(Next.ORPHAN, running(ROW), 9.0) == Orphan()
    assert state_after(Next.OWNED, Ending(ROW, 7), 9.0) == Owned()


@pytest.mark.parametrize(("to", "held"), [(Next.TRIED, False), (Next.HELD, True)])
def test_what_is_tried_again_waits_longer_each_time(to: Next, held: bool) -> None:
    state, waits = running(), []
    for _ in range(8):
        found = state_after(to, state, 9.0)
        assert isinstance(found, Tried)
        assert found.candidate is state.candidate
        assert found.held_elsewhere is held
        waits.append(found.retry_at - 9.0)
    assert waits[0] > 0
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(1.0)


def test_a_death_has_a_pause_of_its_own() -> None:
    found = state_after(Next.TRIED, running(), 9.0, 12.5)
    assert isinstance(found, Tried)
    assert found.retry_at == 21.5


def test_what_lends_the_network_leaves_nothing_to_be_read() -> None:
    state = running()
    state.candidate.request.verb = list(NET_VERB)
    assert state_after(Next.FINAL, state, 9.0) == Final(9.0, is_brief=True)
