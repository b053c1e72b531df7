"""`pigeon clean`, and the retention that workers apply by themselves."""

from __future__ import annotations

import os

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import WITHOUT_OVERRIDE
from tests.helpers.share import Session
from tests.helpers.verbs import age
from tests.helpers.waiting import wait_until


def ended(pigeon: Pigeon, *, named: str | None = None, **fields: object) -> Session:
    """A session that ended long ago."""
    session = raw.publish(pigeon, name=named)
    raw.put_status(session, "succeeded", exit_code=0, finished_at=raw.STAMP, **fields)
    return session


def test_it_says_first_and_then_does(pigeon: Pigeon) -> None:
    """Finished ones go; what waits, runs, has just ended, or is still read stays, and so do lock files."""
    gone = [ended(pigeon), ended(pigeon)]
    waits = raw.publish(pigeon)
    runs = raw.publish(pigeon)
    raw.claim(runs)
    raw.put_status(runs, "running")
    half_made = raw.lay(pigeon)
    suspended = ended(pigeon)
    raw.append(suspended, "control.jsonl", {"type": "client", "event": "suspended", "ts": raw.STAMP})
    abandoned = raw.lay(pigeon, "1000000000000-0123456789ab")
    lock = pigeon.namespace.root / "locks" / "some.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    before = pigeon.namespace.session_names()
    plan = pigeon.run("clean", "--dry-run")
    assert plan.code == 0
    lines = plan.stdout.decode().splitlines()
    for session in (*gone, abandoned):
        assert any(line.startswith(f"would remove {session.id}") for line in lines)
    for session in (waits, runs, half_made):
        assert not any(session.id in line for line in lines)
    assert lines[-1].startswith("4 finished sessions would be removed")
    assert pigeon.namespace.session_names() == before
    done = pigeon.run("clean")
    assert (done.code, done.stderr) == (0, b"")
    assert f"left {suspended.id}: its client is suspended" in done.stdout.decode()
    assert "3 finished sessions removed" in done.stdout.decode()
    assert set(pigeon.namespace.session_names()) == {waits.id, runs.id, half_made.id, suspended.id}
    assert lock.exists()


def test_what_cannot_be_removed_is_told_once_and_why(pigeon: Pigeon) -> None:
    kept = [ended(pigeon) for _ in range(3)]
    for session in kept:
        session.directory.chmod(0o500)
    gone, opened = ended(pigeon), ended(pigeon)
    # What an NFS client leaves of a file that is open; here it stays because it is a directory.
    (opened.directory / ".nfs000001").mkdir()
    result = pigeon.start_process(*WITHOUT_OVERRIDE, *pigeon.command("clean")).wait()
    for session in kept:
        session.directory.chmod(0o700)
    assert result.code == 255
    assert result.stdout.decode().splitlines()[:-1] == [
        f"left {opened.id}: a file of it is still open somewhere"
    ]
    assert result.stdout.decode().splitlines()[-1].startswith("1 finished session removed")
    assert result.words.count("ermission denied") == 1
    assert "3 cannot be removed: Permission denied" in result.words
    assert not gone.directory.exists()


def test_a_slow_reader_loses_nothing(pigeon: Pigeon) -> None:
    """Its client still acknowledges: the session ended long ago, and its output has not been printed."""
    session = ended(pigeon)
    cleaner = pigeon.start("clean")

    def has_ended() -> bool:
        raw.append(session, "control.jsonl", {"type": "heartbeat", "ts": raw.STAMP})
        return not cleaner.running

    wait_until(has_ended, 30, "its end")
    assert f"left {session.id}: somebody still reads it" in cleaner.wait().stdout.decode()
    assert session.state == "succeeded"


def test_those_that_have_just_ended_stay(warm: Pigeon) -> None:
    client, session = warm.begin("true")
    assert client.wait().code == 0
    session.wait_final()
    assert warm.run("clean").stdout == b"0 finished sessions removed\n"
    assert session.directory.exists()
    assert (
        warm.run("clean", "--older-than", "0", "-n").stdout.decode().startswith(f"would remove {session.id}")
    )
    assert warm.run("clean", "--older-than", "soon").code == 2


@pytest.mark.slow
def test_a_worker_removes_what_has_been_kept_long_enough(pigeon: Pigeon) -> None:
    """Terminals, whose input may hold passwords, sooner than the rest; a session that is still read not at all."""
    pigeon.configure(worker={"retention": 3600, "terminal_retention": 0})
    pigeon.worker()
    pairs = [pigeon.begin("true", options=options) for options in (("-t",), ())]
    assert [client.wait().code for client, _ in pairs] == [0, 0]
    terminal, pipes = (session for _, session in pairs)
    pty = {"stdin_isatty": True, "stdout_isatty": True, "size": None, "pty": True}
    read = ended(pigeon)
    raw.replace(read.directory / "request.json", raw.dump(raw.a_request(read.id, "/", "true", terminal=pty)))

    def removed() -> bool:
        raw.append(read, "control.jsonl", {"type": "heartbeat", "ts": raw.STAMP})
        return not os.path.exists(terminal.directory)

    wait_until(removed, 40, "the removal of the session that had a terminal", interval_s=0.2)
    assert pipes.directory.exists()
    assert read.directory.exists()
    assert list((pigeon.namespace.root / "locks").iterdir())
    row = pigeon.journal_row(terminal.id)
    assert row is not None, "the journal keeps what the share has lost"
    assert row["outcome"] == "succeeded"


@pytest.mark.slow
def test_a_worker_removes_what_ended_under_a_runner_of_the_worker_before(
    pigeon: Pigeon, notes: Notes
) -> None:
    pigeon.configure(worker={"retention": 0})
    first = pigeon.worker()
    client, session = pigeon.begin(notes.holding("it"))
    notes.wait_started("it")
    first.kill()
    pigeon.worker()
    notes.release("it")
    assert client.wait().code == 0
    wait_until(lambda: not os.path.exists(session.directory), 60, "its removal", interval_s=0.2)


def test_a_suspended_client_is_known_by_its_last_word(pigeon: Pigeon) -> None:
    session = ended(pigeon)
    for event in ("suspended", "resumed"):
        raw.append(session, "control.jsonl", {"type": "client", "event": event, "ts": raw.STAMP})
    age(session, "control.jsonl", 100)
    assert b"1 finished session removed" in pigeon.run("clean").stdout
