"""What is done about a launched session: the table as a newcomer would write it down, and its promises."""

from __future__ import annotations

import pytest

from pigeon.worker.engine.steps import LAUNCH_STEPS, News, Standing, Step

GRID = """
            STOP       CLIENT_GONE  ENDED   NOTHING
OPEN        GIVE_BACK  REFUSE       LAUNCH  WAIT
OURS        HANG_UP    WATCH        WATCH   WATCH
ANOTHERS    LEAVE      LEAVE        LEAVE   LEAVE
"""


def cells() -> list[tuple[str, str, str]]:
    """(standing, news, step) for each cell of GRID."""
    head, *lines = GRID.split("\n")[1:-1]
    return [
        (standing, news, cell)
        for standing, *row in map(str.split, lines)
        for news, cell in zip(head.split(), row, strict=True)
    ]


@pytest.mark.parametrize(("standing", "news", "step"), cells())
def test_each_case(standing: str, news: str, step: str) -> None:
    assert LAUNCH_STEPS[Standing[standing]][News[news]] is Step[step]


def test_the_table_has_a_cell_for_each_case_and_no_other() -> None:
    assert {(s.name, n.name) for s, row in LAUNCH_STEPS.items() for n in row} == {
        (s, n) for s, n, _ in cells()
    }
    assert set(LAUNCH_STEPS) == set(Standing)
    assert {news.name for news in News} == {news for _, news, _ in cells()}


def test_nothing_is_launched_for_a_session_that_somebody_has() -> None:
    for standing in (Standing.OURS, Standing.ANOTHERS):
        assert not {Step.LAUNCH, Step.WAIT, Step.REFUSE, Step.GIVE_BACK} & set(
            LAUNCH_STEPS[standing].values()
        )
