"""What stands in the journal comes back as it was, is found again, and goes when it is old."""

from __future__ import annotations

import pytest

from pigeon import clock
from pigeon.journal import queries
from pigeon.journal.queries import Filter
from pigeon.journal.store import Journal
from tests.helpers.journals import advance_to, row

UGLY = [
    "/caf\udce9",
    "\udcff",
    "/with space/and 'quotes'/and\nnewline",
    "/\x01\x1b[31m",
    "/nul\0inside",
    "/工作",
    "",
    "\ud83d",
]


@pytest.mark.parametrize("name", UGLY, ids=ascii)
def test_ugly_names_come_back_and_are_found(journal: Journal, name: str) -> None:
    journal.begin_claim(row("a", cwd=name, cache=name, command=[name, "x"], requester_user=name, error=name))
    journal.begin_claim(row("b", cwd=name + "x", cache=name + "x"))
    journal.begin_wait("1-a", "w", "directory", name, 1.0)
    found = journal.get("a")
    assert found is not None
    assert found.command == [name, "x"]
    if name != "\ud83d":  # stands for no byte, so it can be no path; it must only do no harm
        assert (found.cwd, found.requester_user, found.error) == (name, name, name)
        assert queries.waits_of(journal.connection, "1-a")[0].held_by == name
    assert [one.claim_token for one in queries.select(journal.connection, Filter(cwd=name))] == ["a"]
    assert [one.claim_token for one in journal.unfinished(name, "lab")] == ["a"]
    assert "a" in [one.claim_token for one in queries.select(journal.connection, Filter(command=name))]


def test_values_that_do_not_fit_do_no_harm(journal: Journal) -> None:
    journal.begin_claim(row("a", requester_pid=10**30, requester_host="x" * 100_000, seen_at=float("nan")))
    journal.event("s", "odd", value=object, words=["\udcff"])
    found = journal.get("a")
    assert found is not None
    assert (found.requester_pid, found.seen_at) == (None, None)


def test_a_wait_behind_one_and_then_another(journal: Journal) -> None:
    journal.begin_wait("s", "w", "directory", "first", 100.0)
    journal.begin_wait("s", "w", "slot", None, 100.0)
    journal.begin_wait("s", "other", "directory", "first", 100.0)
    journal.begin_wait("s", "w", "directory", "second", 103.5)
    journal.end_wait("s", "w", "directory", 2.0)
    waits = [
        (w.worker_id, w.reason, w.held_by, w.waited_s) for w in queries.waits_of(journal.connection, "s")
    ]
    assert waits == [
        ("w", "directory", "first", 3.5),
        ("w", "slot", None, None),
        ("other", "directory", "first", None),
        ("w", "directory", "second", 2.0),
    ]


def test_pruning_removes_what_is_old_and_final(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now - 1000)
    for number in range(1100):
        journal.begin_claim(row(f"{number:012x}"))
        assert journal.advance(f"{number:012x}", 1, to="final", final_at=now - 1000)
    advance_to(journal, "aaaaaaaaaaaa", "running")
    journal.begin_wait("1-0", "w", "slot", None, now - 1000)
    monkeypatch.setattr(clock, "wall", lambda: now)
    journal.begin_claim(row("bbbbbbbbbbbb"))
    assert journal.advance("bbbbbbbbbbbb", 1, to="final", final_at=now)
    journal.event("1-1", "recent")
    assert journal.prune(2000) == 0
    assert journal.prune(500) == 1100
    left = queries.select(journal.connection, Filter())
    assert [found.claim_token for found in left] == ["aaaaaaaaaaaa", "bbbbbbbbbbbb"]
    count = journal.connection.execute
    assert count("SELECT count(*) FROM events WHERE session_id = '1-1'").fetchone() == (1,)
    assert count("SELECT count(*) FROM waits").fetchone() == (0,)
    assert len(queries.events_of(journal.connection, left[0].session_id)) == 4
    assert count("SELECT count(*) FROM events").fetchone() == (4 + 2 + 1,)


def test_recovery_does_not_pay_for_what_has_finished(journal: Journal) -> None:
    advance_to(journal, "a", "claimed")
    statements: list[str] = []
    journal.connection.set_trace_callback(statements.append)
    assert len(journal.unfinished("/cache", "lab")) == 1
    assert journal.unfinished("/cache", "other") == []
    journal.connection.set_trace_callback(None)
    (sql,) = {text for text in statements if text.startswith("SELECT") and "'lab'" in text}
    plan = str(journal.connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
    assert "sessions_unfinished" in plan
