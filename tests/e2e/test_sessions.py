"""`pigeon sessions`: what is pending and running, who waits for whom, and who is silent."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.verbs import age, listed, report
from tests.helpers.waiting import wait_until


@pytest.fixture
def notes(warm: Pigeon) -> Notes:
    """Where the commands of a test note their times."""
    return Notes(warm.directory(f"notes-{raw.new_id()}"))


def running(pigeon: Pigeon, text: str, *options: str) -> Session:
    """A detached session that runs `text` in a directory of its own."""
    where = pigeon.directory(raw.new_id())
    result = pigeon.run(text, options=("--detach", *options), cwd=where)
    assert result.code == 0, result.words
    session = Session(pigeon.namespace.root / "sessions" / result.stdout.decode().strip())
    session.wait_event("started")
    return session


def test_nothing_there(pigeon: Pigeon) -> None:
    result = pigeon.run("sessions")
    assert (result.stdout, result.code) == (b"", 0)
    assert "no session is pending or running in namespace `test`" in result.words
    assert pigeon.run("sessions", "--json").stdout.strip() == b"[]"


def test_who_waits_for_whom(warm: Pigeon, notes: Notes) -> None:
    where, other = warm.directory(raw.new_id()), warm.directory(raw.new_id())
    holder, held = warm.begin("echo hello; " + notes.holding("holder"), cwd=where)
    notes.wait_started("holder")
    first, waits = warm.begin("true", cwd=where)
    second, behind = warm.begin("true", cwd=where)
    beside, free = warm.begin(notes.holding("beside"), cwd=where, options=("--no-lock",))
    notes.wait_started("beside")
    directory = f"the directory, held by {held.id}"

    def known() -> dict[str, dict[str, Any]] | None:
        found = listed(warm)
        is_known = found[held.id]["state"] == "running" and found[behind.id]["waits_for"] == directory
        return found if is_known else None

    rows = wait_until(known, 20, "what runs, and for whom the last one waits")
    assert rows is not None
    assert set(rows) == {held.id, waits.id, behind.id, free.id}
    assert rows[held.id]["worker"] == warm.workers[0].id
    assert (rows[held.id]["worker_alive"], rows[held.id]["client"]) == (True, "alive")
    assert rows[held.id]["attachable"]
    assert rows[held.id]["cwd"] == str(where)
    assert rows[held.id]["waits_for"] is None
    assert rows[waits.id]["state"] == "pending"
    assert rows[waits.id]["waits_for"] == rows[behind.id]["waits_for"] == directory
    assert set(listed(warm, "--cwd", str(other))) == set()
    assert set(listed(warm, "--cwd", str(where))) == set(rows)
    for name in ("holder", "beside"):
        notes.release(name)
    assert [child.wait().code for child in (holder, first, second, beside)] == [0, 0, 0, 0]


def test_a_table_for_people(warm: Pigeon, notes: Notes) -> None:
    session = running(warm, "echo hello; : caf\u00e9; " + notes.holding("one"))
    lines = warm.run("sessions").stdout.decode().splitlines()
    assert lines[0].split() == "SESSION STATE AGE QUIET WORKER NOTE CWD COMMAND".split()
    line = next(line for line in lines if line.startswith(session.id))
    assert " running " in line
    assert "detached; attachable" in line
    assert "caf\u00e9" in line
    narrow = warm.run("sessions", env={"COLUMNS": "60"}).stdout.decode().splitlines()
    assert max(map(len, narrow)) <= 60
    notes.release("one")
    session.wait_final()
    assert session.id not in warm.run("sessions").stdout.decode()
    ended = listed(warm, "--all")[session.id]
    assert (ended["state"], ended["exit_code"], ended["attachable"]) == ("succeeded", 0, False)


def test_since_when_without_output(warm: Pigeon, notes: Notes) -> None:
    """Heartbeats are no output."""
    session = running(warm, "echo once; " + notes.holding("quiet"))
    stream = session.directory / "stream.jsonl"
    wait_until(lambda: session.output(), 15, "the output")
    began = time.time()
    wait_until(lambda: "heartbeat" in session.events(), 20, "a heartbeat")
    asked, beaten = time.time(), stream.stat().st_mtime
    quiet = listed(warm)[session.id]["quiet_s"]
    assert quiet >= asked - began - 1
    assert quiet > asked - beaten
    notes.release("quiet")
    session.wait_final()


def test_silent_clients_and_owners_are_told(pigeon: Pigeon) -> None:
    features: dict[str, Any] = {"client": {"version": "1", "features": ["heartbeat"]}}
    lost = raw.publish(pigeon, **features)
    raw.put_status(lost, "running", started_at=raw.STAMP)
    raw.claim(lost, "worker_host=gone\nworker_id=gone-1\nfeatures=heartbeat,ack,attach\n")
    age(lost, "control.jsonl", 60)
    suspended = raw.publish(pigeon, **features)
    raw.append(suspended, "control.jsonl", {"type": "client", "event": "suspended", "ts": raw.STAMP})
    rows = listed(pigeon)
    assert (rows[lost.id]["client"], rows[lost.id]["worker_alive"]) == ("silent", False)
    assert rows[suspended.id]["client"] == "suspended"
    assert rows[suspended.id]["waits_for"] == "a worker"
    lines = pigeon.run("sessions").stdout.decode().splitlines()
    assert "worker silent; client silent" in next(line for line in lines if line.startswith(lost.id))
    assert "waits for a worker; client suspended" in next(x for x in lines if x.startswith(suspended.id))


def test_a_worker_that_is_started_again_watches_what_the_former_one_ran(pigeon: Pigeon) -> None:
    """The claim names the former for ever; the new one lists the session among what it runs."""
    notes = Notes(pigeon.base / "notes")
    pigeon.worker()
    client, session = pigeon.begin(notes.holding("one"))
    notes.wait_started("one")
    pigeon.workers[0].kill()
    row = listed(pigeon)[session.id]
    assert (row["worker_alive"], row["watched_by"]) == (False, None)
    again = pigeon.worker().id

    def is_adopted() -> bool:
        row = listed(pigeon)[session.id]
        return (row["worker_alive"], row["watched_by"]) == (True, again)

    wait_until(is_adopted, 20, lambda: f"{again} as watcher, not {listed(pigeon)}")
    assert listed(pigeon)[session.id]["worker"] == pigeon.workers[0].id
    lines = pigeon.run("sessions").stdout.decode().splitlines()
    line = next(line for line in lines if line.startswith(session.id))
    assert f"watched by {again}" in line
    assert "silent" not in line
    found = report(pigeon, session)
    assert (found["facts"]["owner_alive"], found["facts"]["watcher"]) == (True, again)
    assert found["rule"] == "processes"
    inspected = pigeon.run("inspect", session.id).stdout.decode()  # the new worker is asked
    assert f"(gone; watched over by {again})" in inspected
    assert "journal says running" in inspected
    notes.release("one")
    assert client.wait().code == 0


def test_damaged_and_foreign_things_do_not_disturb_it(pigeon: Pigeon) -> None:
    """What cannot be understood is shown as such under --all, and left out otherwise."""
    broken = raw.publish(pigeon, data=b"{")
    raw.lay(pigeon)
    (pigeon.namespace.root / "sessions" / "not-a-session").mkdir()
    fifo = raw.lay(pigeon)
    os.mkfifo(fifo.directory / "status.json")
    rows = listed(pigeon, "--all")
    assert rows[broken.id]["command"] == "?"
    assert rows[fifo.id]["state"] == "?"
    assert len(rows) == 3
    assert set(listed(pigeon)) == {broken.id}


def test_without_a_share(pigeon: Pigeon) -> None:
    result = pigeon.run("sessions", "--cache", "/nonexistent/share")
    assert (result.code, result.stdout) == (255, b"")
    assert "`/nonexistent/share` does not exist" in result.words
    assert json.loads(pigeon.run("sessions", "--json", "--namespace", "other").stdout) == []
