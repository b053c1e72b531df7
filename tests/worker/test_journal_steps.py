"""Writing ahead: each step is one compare-and-set, and outlives whoever made it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pigeon.journal import queries
from pigeon.journal.store import Journal
from tests.helpers.journals import STATES, advance_to, child, integrity, row, run

# -- compare and set -------------------------------------------------------------------------------------


def test_a_session_from_claim_to_end(journal: Journal) -> None:
    journal.begin_claim(row("a", seen_at=1.5))
    assert journal.advance("a", 1, to="claimed", claimed_at=2.0)
    assert journal.advance("a", 1, to="starting", durable=True)
    assert journal.advance("a", 1, to="exited", return_code=-9, exit_code=137)
    assert journal.advance("a", 1, to="final", outcome="failed", error="killed")
    found = journal.get("a")
    assert found is not None
    assert (found.epoch, found.state, found.seen_at, found.claimed_at) == (1, "final", 1.5, 2.0)
    assert (found.return_code, found.exit_code, found.outcome, found.error) == (-9, 137, "failed", "killed")
    assert found.command == ["bash", "-lc", "true"]
    events = queries.events_of(journal.connection, found.session_id)
    assert [event.event for event in events] == ["claiming", "claimed", "starting", "exited", "final"]
    assert events[-1].detail == {"outcome": "failed", "error": "killed"}


@pytest.mark.parametrize(("token", "epoch"), [("b", 1), ("a", 2), ("a", 0)])
def test_a_step_of_somebody_else_changes_nothing(journal: Journal, token: str, epoch: int) -> None:
    journal.begin_claim(row("a"))
    before = journal.get("a")
    assert not journal.advance(token, epoch, to="claimed", error="no")
    assert journal.get("a") == before
    assert len(queries.events_of(journal.connection, str(row("a")["session_id"]))) == 1


POSSIBLE = {
    ("claiming", "claimed"),
    ("claimed", "starting"),
    ("starting", "running"),
    ("starting", "exited"),
    ("running", "exited"),
    *((state, "final") for state in STATES[:-1]),
}
"""What a newcomer would write down; the journal's own table is states.STEPS."""


@pytest.mark.parametrize("to", [*STATES[1:]])
@pytest.mark.parametrize("state", STATES)
def test_only_the_steps_of_the_table_are_taken(journal: Journal, state: str, to: str) -> None:
    advance_to(journal, "a", state)
    before = journal.get("a")
    assert journal.advance("a", 1, to=to, error="x") == ((state, to) in POSSIBLE)
    after = journal.get("a")
    assert after is not None
    assert (after == before) == ((state, to) not in POSSIBLE)
    assert after.state == (to if (state, to) in POSSIBLE else state)


@pytest.mark.parametrize("to", ["claiming", "bananas"])
def test_no_step_leads_where_the_table_has_none(journal: Journal, to: str) -> None:
    journal.begin_claim(row("a"))
    with pytest.raises(ValueError, match=to):
        journal.advance("a", 1, to=to)


def test_a_raised_epoch_stops_whoever_knows_the_old_one(journal: Journal) -> None:
    advance_to(journal, "a", "running")
    assert journal.raise_epoch("a", 1, "running")
    assert not journal.raise_epoch("a", 1, "running")
    assert not journal.advance("a", 1, to="exited")
    assert journal.advance("a", 2, to="final")
    assert not journal.raise_epoch("a", 2, "final")


def test_a_row_that_went_on_after_it_was_read_is_not_taken_over(journal: Journal) -> None:
    """Its runner took another step, and died only then."""
    advance_to(journal, "a", "running")
    seen = journal.get("a")
    assert seen is not None
    assert journal.advance("a", 1, to="exited", return_code=7)
    assert not journal.raise_epoch("a", seen.epoch, seen.state)
    assert journal.raise_epoch("a", seen.epoch, "exited")


def test_who_takes_over_is_named_in_the_same_step(journal: Journal) -> None:
    advance_to(journal, "a", "running")
    assert journal.raise_epoch("a", 1, "running", runner_pid=7, runner_lock="/proof", command_pid=None)
    found = journal.get("a")
    assert found is not None
    assert (found.epoch, found.runner_pid, found.runner_lock) == (2, 7, "/proof")
    assert not journal.raise_epoch("a", 1, "running", runner_pid=8)
    found = journal.get("a")
    assert found is not None
    assert found.runner_pid == 7


def test_only_a_claim_in_the_making_is_forgotten(journal: Journal) -> None:
    journal.begin_claim(row("a"))
    assert not journal.forget("a", 2)
    assert journal.forget("a", 1)
    assert not journal.forget("a", 1)
    assert journal.get("a") is None
    events = queries.events_of(journal.connection, str(row("a")["session_id"]))
    assert [event.event for event in events] == ["claiming", "claim_lost"]
    advance_to(journal, "b", "claimed")
    assert not journal.forget("b", 1)


def test_a_column_that_does_not_exist_is_a_bug(journal: Journal) -> None:
    with pytest.raises(AssertionError, match="colour"):
        journal.begin_claim(row("a", colour="red"))


@pytest.mark.parametrize("step", ["advance('a', 1, to='starting')", "raise_epoch('a', 1, 'claimed')"])
def test_of_many_processes_one_wins(path: Path, journal: Journal, step: str) -> None:
    advance_to(journal, "a", "claimed")
    code = f"say('ready'); wait(); say(Journal.open(path).{step})"
    children = [child(code, path) for _ in range(6)]
    try:
        assert [process.line() for process in children] == ["ready"] * 6
        for process in children:
            assert process.stdin is not None
            process.stdin.close()
        assert sorted(process.line() for process in children) == ["False"] * 5 + ["True"]
    finally:
        for process in children:
            process.__exit__()


def test_two_workers_share_a_journal(path: Path) -> None:
    """Short-lived connections, as runners have them, from several processes at once."""
    code = """
        for number in range(60):
            token = f"{sys.argv[2]}-{number}"
            with Journal.open(path) as journal:
                journal.begin_claim(row(token, namespace=sys.argv[2]))
            with Journal.open(path) as journal:
                assert journal.advance(token, 1, to="claimed", durable=number % 10 == 0)
                journal.event("s", "tick")
            with Journal.open(path) as journal:
                assert journal.get(token).state == "claimed"
    """
    children = [child(code, path, name) for name in ("one", "two", "three")]
    try:
        for process in children:
            process.finish()
    finally:
        for process in children:
            process.__exit__()
    with Journal.open(str(path)) as journal:
        assert [len(journal.unfinished("/cache", name)) for name in ("one", "two", "three")] == [60] * 3
    assert integrity(path) == "ok"


# -- death -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_a_step_that_returned_outlives_a_sigkill(path: Path, state: str) -> None:
    code = f"""
        journal = Journal.open(path)
        journal.begin_claim(row("a"))
        states = {STATES[: STATES.index(state) + 1]!r}
        for to in states[1:]:
            assert journal.advance("a", 1, to=to, durable=to == "starting")
        die()
    """
    with child(code, path) as process:
        process.died()
    with Journal.open(str(path)) as journal:
        found = journal.get("a")
        assert found is not None
        assert found.state == state
        assert [one.claim_token for one in journal.unfinished("/cache", "lab")] == ["a"] * (state != "final")
    assert integrity(path) == "ok"


@pytest.mark.parametrize("step", ["begin_claim(row('b'))", "advance('a', 1, to='starting')"])
@pytest.mark.parametrize("statement", ["INSERT INTO events", "COMMIT"])
def test_a_step_that_is_killed_in_the_middle_has_not_happened(
    path: Path, journal: Journal, step: str, statement: str
) -> None:
    advance_to(journal, "a", "claimed")
    code = f"""
        journal = Journal.open(path)
        journal.connection.set_trace_callback(lambda sql: sql.startswith({statement!r}) and die())
        journal.{step}
    """
    with child(code, path) as process:
        process.died()
    found = journal.get("a")
    assert found is not None
    assert found.state == "claimed"
    assert journal.get("b") is None
    assert queries.events_of(journal.connection, str(row("b")["session_id"])) == []
    journal.begin_claim(row("c"))  # the dead process holds nothing
    assert integrity(path) == "ok"


def test_killed_at_any_moment_nothing_told_is_missing(path: Path) -> None:
    code = """
        journal = Journal.open(path)
        for number in range(100000):
            token = f"{sys.argv[2]}-{number}"
            journal.begin_claim(row(token)); say(f"{token} claiming")
            assert journal.advance(token, 1, to="claimed"); say(f"{token} claimed")
            journal.event(token, "noted", number=number)
    """
    told: dict[str, str] = {}
    for turn in range(4):
        with child(code, path, str(turn)) as process:
            for _ in range(random.randrange(20, 120)):
                token, state = process.line().split()
                told[token] = state
            process.kill()
            assert process.stdout is not None
            for line in process.stdout.read().decode().splitlines():
                token, _, state = line.partition(" ")
                told[token] = state
    with Journal.open(str(path)) as journal:
        for token, state in told.items():
            found = journal.get(token)
            assert found is not None, token
            assert STATES.index(found.state) >= STATES.index(state or "claiming")
    assert integrity(path) == "ok"


def test_a_durable_step_reaches_the_disk(path: Path) -> None:
    """Seen by the system calls: only a durable step syncs the log."""
    code = """
        journal = Journal.open(path)
        journal.begin_claim(row("a"))
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
        journal.advance("a", 1, to="claimed", durable=True)
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
        journal.advance("a", 1, to="starting")
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
    """
    assert run(code, path).split() == ["1", "2", "1"]


def test_a_lost_row_is_written_anew_once(journal: Journal) -> None:
    """Where it never was lost, whatever its epoch and state, it stays as it is."""
    advance_to(journal, "a" * 32, "claimed")
    assert journal.raise_epoch("a" * 32, 1, "claimed")
    assert not journal.restore(row("a" * 32), 1, "exited")
    kept = journal.get("a" * 32)
    assert kept is not None
    assert (kept.epoch, kept.state) == (2, "claimed")
    assert journal.restore(row("b" * 32, return_code=3), 4, "exited", durable=True)
    assert not journal.restore(row("b" * 32), 4, "starting")
    new = journal.get("b" * 32)
    assert new is not None
    assert (new.epoch, new.state, new.return_code) == (4, "exited", 3)
    assert journal.advance("b" * 32, 4, to="final")
