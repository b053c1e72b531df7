"""Writing ahead: what a step promises whoever dies, races, or finds the disk full; what bookkeeping may lose."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import queries, writing
from pigeon.journal.connection import JournalUnavailable
from pigeon.journal.queries import Filter
from pigeon.journal.store import Journal
from tests.helpers.journals import child, integrity, row, run
from tests.helpers.privileges import mount_small, needs_root, unmount

STATES = ("claiming", "claimed", "starting", "running", "exited", "final")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pigeon.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(str(path)) as opened:
        yield opened


def advance_to(journal: Journal, token: str, state: str) -> None:
    """Take a new row there, step by step."""
    journal.begin_claim(row(token))
    for frm, to in itertools.pairwise(STATES[: STATES.index(state) + 1]):
        assert journal.advance(token, 1, frm=(frm,), to=to)


# -- compare and set ---------------------------------------------------------------------------------------


def test_a_session_from_claim_to_end(journal: Journal) -> None:
    journal.begin_claim(row("a", seen_at=1.5))
    assert journal.advance("a", 1, frm=("claiming",), to="claimed", claimed_at=2.0)
    assert journal.advance("a", 1, frm=("claimed",), to="starting", durable=True)
    assert journal.advance("a", 1, frm=("starting", "running"), to="exited", return_code=-9, exit_code=137)
    assert journal.advance("a", 1, frm=STATES, to="final", outcome="failed", error="killed")
    found = journal.get("a")
    assert found is not None
    assert (found.epoch, found.state, found.seen_at, found.claimed_at) == (1, "final", 1.5, 2.0)
    assert (found.return_code, found.exit_code, found.outcome, found.error) == (-9, 137, "failed", "killed")
    assert found.command == ["bash", "-lc", "true"]
    events = queries.events_of(journal.connection, found.session_id)
    assert [event.event for event in events] == ["claiming", "claimed", "starting", "exited", "final"]
    assert events[-1].detail == {"outcome": "failed", "error": "killed"}


@pytest.mark.parametrize(
    ("token", "epoch", "frm"),
    [
        ("b", 1, ("claiming",)),
        ("a", 2, ("claiming",)),
        ("a", 0, ("claiming",)),
        ("a", 1, ("claimed",)),
        ("a", 1, ()),
    ],
)
def test_a_step_of_somebody_else_changes_nothing(
    journal: Journal, token: str, epoch: int, frm: tuple[str, ...]
) -> None:
    journal.begin_claim(row("a"))
    before = journal.get("a")
    assert not journal.advance(token, epoch, frm=frm, to="claimed", error="no")
    assert journal.get("a") == before
    assert len(queries.events_of(journal.connection, str(row("a")["session_id"]))) == 1


def test_a_raised_epoch_stops_whoever_knows_the_old_one(journal: Journal) -> None:
    advance_to(journal, "a", "running")
    assert journal.raise_epoch("a", 1)
    assert not journal.raise_epoch("a", 1)
    assert not journal.advance("a", 1, frm=("running",), to="exited")
    assert journal.advance("a", 2, frm=("running",), to="final")
    assert not journal.raise_epoch("a", 2)


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
    with pytest.raises(AssertionError, match="step"):
        journal.note("a", state="final")


@pytest.mark.parametrize("step", ["advance('a', 1, frm=('claimed',), to='starting')", "raise_epoch('a', 1)"])
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


# -- death -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_a_step_that_returned_outlives_a_sigkill(path: Path, state: str) -> None:
    code = f"""
        import itertools
        journal = Journal.open(path)
        journal.begin_claim(row("a"))
        states = {STATES[: STATES.index(state) + 1]!r}
        for frm, to in itertools.pairwise(states):
            assert journal.advance("a", 1, frm=(frm,), to=to, durable=to == "starting")
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


@pytest.mark.parametrize(
    "step", ["begin_claim(row('b'))", "advance('a', 1, frm=('claimed',), to='starting')"]
)
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
            assert journal.advance(token, 1, frm=("claiming",), to="claimed"); say(f"{token} claimed")
            journal.note(token, bytes_in=number)
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


# -- trouble -----------------------------------------------------------------------------------------------


def holder_of(path: Path) -> sqlite3.Connection:
    """Another program, in the middle of a transaction."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_step_waits_for_a_busy_database_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_STEP_BUSY_MS", 50)
    Journal.open(str(path)).close()
    holder = holder_of(path)
    told: list[str] = []

    def on_trouble(text: str) -> None:
        told.append(text)
        if len(told) % 3 == 0:
            holder.execute("COMMIT")

    with Journal.open(str(path), on_trouble=on_trouble) as journal:
        journal.begin_claim(row("a"))
        for to in ("claimed", "starting"):
            holder.execute("BEGIN IMMEDIATE")
            assert journal.advance("a", 1, frm=("claiming", "claimed"), to=to)
        holder.execute("BEGIN IMMEDIATE")
        assert journal.raise_epoch("a", 1)
        journal.begin_claim(row("b"))
        holder.execute("BEGIN IMMEDIATE")
        assert journal.forget("b", 1)
    holder.close()
    assert len(told) == 15
    assert all(str(path) in text and "locked" in text for text in told)


def test_what_the_callback_raises_ends_the_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_STEP_BUSY_MS", 20)
    Journal.open(str(path)).close()
    holder = holder_of(path)

    def on_trouble(text: str) -> None:
        raise TimeoutError(text)

    with Journal.open(str(path), on_trouble=on_trouble) as journal:
        with pytest.raises(TimeoutError):
            journal.begin_claim(row("a"))
        holder.close()
        assert journal.get("a") is None
        journal.begin_claim(row("a"))


def test_bookkeeping_waits_for_nobody(path: Path, journal: Journal) -> None:
    advance_to(journal, "a", "running")
    holder = holder_of(path)
    began = clock.monotonic()
    journal.note("a", bytes_in=5)
    journal.event("s", "resized")
    journal.begin_wait("s", "w", "slot", None, 1.0)
    journal.end_wait("s", "w", "slot", 1.0)
    assert journal.prune(0.0) == 0
    assert clock.monotonic() - began < 10  # eight tries of 0.1 s; far from the 30 s of a reader
    holder.close()
    found = journal.get("a")
    assert found is not None
    assert found.bytes_in is None
    journal.note("a", bytes_in=6)
    assert journal.get("a") != found


@needs_root
def test_a_step_waits_for_a_full_disk(tmp_path: Path) -> None:
    mount_small(tmp_path, "700k")
    try:
        ballast = tmp_path / "ballast"
        told: list[str] = []

        def on_trouble(text: str) -> None:
            told.append(text)
            if len(told) % 2 == 0:
                ballast.unlink(missing_ok=True)

        path = str(tmp_path / "pigeon.db")
        with Journal.open(path) as journal:
            journal.begin_claim(row("old"))
        fill(ballast)
        with Journal.open(path, on_trouble=on_trouble, patient=True) as journal:
            journal.event("s", "lost")
            journal.begin_claim(row("a", error="x" * 20000))
            assert len(told) == 2
            assert "full" in told[0]
            fill(ballast)
            assert journal.advance("a", 1, frm=("claiming",), to="claimed", durable=True, error="y" * 40000)
            assert len(told) == 4
            fill(ballast)
            journal.note("a", error="z" * 80000)
            found = journal.get("a")
            assert found is not None
            assert found.error == "y" * 40000
            ballast.unlink()
        assert integrity(Path(path)) == "ok"
    finally:
        unmount(tmp_path)


def fill(path: Path) -> None:
    """Until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_a_step_waits_until_writing_works_again(path: Path) -> None:
    """A file that may not grow: the kernel refuses the write itself, and the step goes on once it is allowed."""
    code = """
        import resource
        told = []
        def on_trouble(text):
            told.append(text)
            if len(told) == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Journal.open(path, on_trouble=on_trouble) as journal:
            journal.begin_claim(row("a"))
            size = os.path.getsize(path + "-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            say(journal.advance("a", 1, frm=("claiming",), to="claimed", error="x" * 50000))
        say(len(told))
    """
    assert run(code, path) == "True\n2\n"
    assert integrity(path) == "ok"


def test_what_still_writes_to_a_removed_journal_does_not_harm_the_next(path: Path) -> None:
    old = Journal.open(str(path))
    old.begin_claim(row("a"))
    path.unlink()
    with Journal.open(str(path)) as journal:
        journal.begin_claim(row("b"))
        old.begin_claim(row("c"))
        old.close()
        journal.begin_claim(row("d"))
        assert os.path.exists(f"{path}-wal")
    with Journal.open(str(path)) as journal:
        assert [found.claim_token for found in queries.select(journal.connection, Filter())] == ["b", "d"]
    assert integrity(path) == "ok"


def test_a_damaged_journal_is_not_waited_for(path: Path) -> None:
    with Journal.open(str(path)) as journal:
        for number in range(300):
            journal.begin_claim(row(f"{number:032x}", error="x" * 400))
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = path.read_bytes()
    path.write_bytes(data[: 16 * 4096] + b"\xaa" * (len(data) - 16 * 4096))
    with Journal.open(str(path)) as journal, pytest.raises(JournalError, match="damaged") as caught:
        for number in range(300):
            journal.advance(f"{number:032x}", 1, frm=("claiming",), to="claimed")
    assert not isinstance(caught.value, JournalUnavailable)


# -- what is kept ------------------------------------------------------------------------------------------

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
        assert journal.advance(f"{number:012x}", 1, frm=("claiming",), to="final", final_at=now - 1000)
    advance_to(journal, "aaaaaaaaaaaa", "running")
    journal.begin_wait("1-0", "w", "slot", None, now - 1000)
    monkeypatch.setattr(clock, "wall", lambda: now)
    journal.begin_claim(row("bbbbbbbbbbbb"))
    assert journal.advance("bbbbbbbbbbbb", 1, frm=("claiming",), to="final", final_at=now)
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


def test_a_durable_step_reaches_the_disk(path: Path) -> None:
    """Seen by the system calls: only a durable step syncs the log."""
    code = """
        journal = Journal.open(path)
        journal.begin_claim(row("a"))
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
        journal.advance("a", 1, frm=("claiming",), to="claimed", durable=True)
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
        journal.advance("a", 1, frm=("claimed",), to="starting")
        say(journal.connection.execute("PRAGMA synchronous").fetchone()[0])
    """
    assert run(code, path).split() == ["1", "2", "1"]


def test_two_workers_share_a_journal(path: Path) -> None:
    """Short-lived connections, as runners have them, from several processes at once."""
    code = """
        for number in range(60):
            token = f"{sys.argv[2]}-{number}"
            with Journal.open(path) as journal:
                journal.begin_claim(row(token, namespace=sys.argv[2]))
            with Journal.open(path) as journal:
                assert journal.advance(token, 1, frm=("claiming",), to="claimed", durable=number % 10 == 0)
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


def test_a_stopped_writer_holds_nobody_up_for_long(path: Path, journal: Journal) -> None:
    """A process that was stopped inside a transaction and killed later: the step waits, then works."""
    code = """
        journal = Journal.open(path)
        journal.connection.execute("BEGIN IMMEDIATE")
        say("holds")
        os.kill(os.getpid(), signal.SIGSTOP)
    """
    with child(code, path) as process:
        assert process.line() == "holds"
        told: list[str] = []

        def on_trouble(text: str) -> None:
            told.append(text)
            os.kill(process.pid, signal.SIGKILL)

        with Journal.open(str(path), on_trouble=on_trouble) as waiting:
            waiting.begin_claim(row("a"))
        assert len(told) == 1
        process.died()
    assert journal.get("a") is not None
