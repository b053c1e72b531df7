"""Every cell of the recovery table, by killing the runner at that point: never twice, never without an end.

The runner is killed by an audit hook inside it (tests/helpers/crash.py), the scheduler either lives or dies with it.
"""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from pigeon.worker.identity import processes_of
from tests.helpers import raw
from tests.helpers.crash import CrashPoint
from tests.helpers.evidence import journal_rows
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.processes import Child
from tests.helpers.rows import wait_until_forgotten, wait_with_a_row
from tests.helpers.share import Session
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

WRITE = os.O_WRONLY

# (name, event, part of its arguments, n-th, flag, starts of the command, exit code)
POINTS = [
    # journal `claiming`, no claim on the share: claimed again, and run
    ("before the claim", "os.link", "worker.claim", 1, 0, 1, 7),
    # journal `claimed`: started under the same claim
    ("claimed", "os.chdir", "/work", 1, 0, 1, 7),
    # journal `starting`: may have been started, so it never is again
    ("starting", "subprocess.Popen", "", 1, 0, 0, 255),
    # journal `starting` or `running`, the command runs: ended, never again
    ("started event", "open", "stream.jsonl", 2, WRITE, 1, 255),
    # journal `exited`: the stored result is published
    ("exit event", "open", "stream.jsonl", 3, WRITE, 1, 7),
    ("final status", "os.rename", "status.json", 2, 0, 1, 7),
]


def row_of(pigeon: Pigeon, session: Session) -> dict[str, object]:
    """The journal's row of a session, as soon as its command has been started."""

    def find() -> dict[str, object] | None:
        rows = journal_rows(pigeon.journal).get("sessions", [])
        return next(
            (row for row in rows if row["session_id"] == session.id and row["state"] != "starting"), None
        )

    row = wait_until(find, 10, f"the row of {session.id}")
    assert row is not None
    return row


def killed_there(pigeon: Pigeon, crash: CrashPoint, text: str) -> tuple[Worker, Child, Session]:
    """A worker, and the client of the session whose runner has just died at that point."""
    worker = pigeon.worker(env=crash.env)
    client, session = pigeon.begin(text)
    wait_until(lambda: crash.has_happened, 15, "the death of the runner")
    return worker, client, session


@pytest.mark.parametrize("both", [False, True], ids=["runner", "both"])
@pytest.mark.parametrize(
    ("event", "part", "nth", "flag", "starts", "code"),
    [point[1:] for point in POINTS],
    ids=[point[0] for point in POINTS],
)
def test_a_runner_killed_there(
    pigeon: Pigeon,
    notes: Notes,
    event: str,
    part: str,
    nth: int,
    flag: int,
    starts: int,
    code: int,
    both: bool,
) -> None:
    crash = CrashPoint(pigeon.base / "crash", event, part, nth=nth, flag=flag)
    text = notes.text("it", "echo out; sleep 0.3; exit 7" if event in ("open", "os.rename") else "exit 7")
    worker, client, session = killed_there(pigeon, crash, text)
    if both:
        worker.kill()
        pigeon.worker()
    result = client.wait(40)
    assert result.code == code, result.words
    status = session.wait_final()
    assert status["exit_code"] == code
    assert len(notes.starts("it")) == starts
    if code == 255:
        assert status["ended_by"] == "recovery" and "not run again" in result.words
    wait_until(lambda: not processes_of(session.id, None), 15, "no process of the session is left")
    wait_until(lambda: row_of(pigeon, session)["state"] == "final", 10, "the end of its row, a moment later")


def test_a_runner_that_lives_is_watched_again(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker()
    client, session = pigeon.begin(notes.holding("it"))
    notes.wait_started("it")
    worker.kill()
    pigeon.worker()
    second = pigeon.start(notes.text("second"))
    notes.release("it")
    assert client.wait().code == 0
    assert second.wait().code == 0
    assert session.wait_final()["state"] == "succeeded"
    assert notes.interval("it").end <= notes.interval("second").start


def test_a_stopped_runner_is_not_dead(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker()
    client, session = pigeon.begin(notes.holding("it"))
    notes.wait_started("it")
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGSTOP)
    worker.kill()
    pigeon.worker()
    notes.release("it")
    wait_until(lambda: list(notes.directory.glob("end.it.*")), 10, "the end of the command")
    assert session.state not in ("failed", "cancelled")
    os.kill(runner, signal.SIGCONT)
    assert client.wait().code == 0
    assert len(notes.starts("it")) == 1


def test_who_recovers_may_die_too(pigeon: Pigeon, notes: Notes) -> None:
    """The next one finds its name in the row, and it dead."""
    crash = CrashPoint(pigeon.base / "crash", "os.listdir", "/proc", nth=2)
    pigeon.worker(env=crash.env)
    client, session = pigeon.begin(notes.holding("it"))
    notes.wait_started("it")
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: crash.has_happened, 15, "the death of the recoverer")
    assert crash.pid != runner
    assert client.wait(40).code == 255
    wait_until(lambda: row_of(pigeon, session)["state"] == "final", 15, "the row's end")
    assert row_of(pigeon, session)["epoch"] == 3
    assert not processes_of(session.id, None)
    assert len(notes.starts("it")) == 1


def test_a_stream_that_says_why_it_was_not_started_is_the_end(pigeon: Pigeon, notes: Notes) -> None:
    """Its runner dies right there, and what was in the way has gone when it is recovered."""
    place = pigeon.directory("gone")
    client, session = pigeon.begin(notes.text("it"), cwd=place)
    place.rmdir()
    crash = CrashPoint(pigeon.base / "crash", "open", "stream.jsonl", flag=WRITE)
    worker = pigeon.worker(env=crash.env)
    wait_until(lambda: crash.has_happened, 15, "the death of the runner")
    worker.kill()
    place.mkdir()
    pigeon.worker()
    assert client.wait(40).code == 255
    assert session.wait_final()["ended_by"] == "recovery"
    assert notes.starts("it") == []


@pytest.mark.slow
def test_a_claimed_session_is_not_started_for_a_client_that_has_gone(pigeon: Pigeon, notes: Notes) -> None:
    crash = CrashPoint(pigeon.base / "crash", "os.chdir", "/work")
    worker, client, session = killed_there(pigeon, crash, notes.text("it"))
    worker.kill()
    client.kill()
    pigeon.wait_quiet()
    pigeon.worker()
    status = session.wait_final(40)
    assert (status["state"], notes.starts("it")) == ("cancelled", [])
    assert "has been killed" in status["error"]


def test_a_leftover_does_not_keep_the_directory_of_a_dead_runner(pigeon: Pigeon) -> None:
    """It has the lock's descriptor, and the unlock was the runner's to make."""
    crash = CrashPoint(pigeon.base / "crash", "open", "stream.jsonl", nth=2, flag=WRITE)  # started, exit
    pigeon.worker(env=crash.env)
    client, session = pigeon.begin("setsid sleep 600 >/dev/null 2>&1 </dev/null & sleep 0.5; exit 7")
    assert client.wait(40).code == 7
    assert crash.has_happened
    assert pigeon.run("echo on", timeout_s=40).stdout == b"on\n"
    assert not processes_of(session.id, None)


def test_what_is_left_of_a_command_is_ended(pigeon: Pigeon) -> None:
    pigeon.worker()
    client, session = pigeon.begin("trap '' HUP; setsid sleep 600 & echo ready; sleep 600")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGKILL)
    assert client.wait(40).code == 255
    assert not processes_of(session.id, None)


def test_a_claim_that_another_worker_won_is_forgotten_at_once(pigeon: Pigeon, notes: Notes) -> None:
    """Its runner died just before it could lose; nobody waits for a sign of life of a client that has its result."""
    crash = CrashPoint(pigeon.base / "crash", "os.link", "worker.claim")
    first, client, session = killed_there(pigeon, crash, notes.text("it"))
    first.kill()
    other = pigeon.worker(journal=pigeon.base / "journal" / "other.db")
    assert client.wait(20).code == 0
    other.kill()
    pigeon.worker()

    wait_until_forgotten(pigeon, session, 6)
    assert len(notes.starts("it")) == 1


BY_THE_BASE_FORMAT = "worker_host=elsewhere\nworker_pid=1\n"


@pytest.mark.parametrize(
    "text", [BY_THE_BASE_FORMAT, f"{BY_THE_BASE_FORMAT}claim_token=00\n"], ids=["base", "ours"]
)
def test_a_claim_that_another_won_meanwhile_is_forgotten_by_a_living_worker(
    pigeon: Pigeon, text: str
) -> None:
    """While it waits for a sign of life of the client, which will not come: not only when that wait is over."""
    worker, session = wait_with_a_row(pigeon)
    raw.claim(session, text)
    raw.put_status(session, "running")
    wait_until_forgotten(pigeon, session)
    assert f"{session.id}: is not ours any more, forgotten" in worker.log
    assert session.state == "running"


def test_a_session_that_is_removed_while_it_waits_with_a_row_is_forgotten(pigeon: Pigeon) -> None:
    """Nobody shows a sign of life in a directory that is gone."""
    _, session = wait_with_a_row(pigeon)
    shutil.rmtree(session.directory)
    wait_until_forgotten(pigeon, session)
