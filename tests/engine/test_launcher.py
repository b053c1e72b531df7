"""`worker.launcher` with launchers that are shell texts: what is promised without any cluster's engine.

A launcher gets a worker's words behind its own, and starts them when it pleases.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pigeon.journal import place
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.processes import children_of, cpu_seconds, name_of, state_of
from tests.helpers.waiting import wait_until

AT_ONCE = 'exec "$@"'


def serve(pigeon: Pigeon, text: str, *words: str, **settings: Any) -> Worker:
    """A worker whose launcher is this shell text; `$1` and what follows are the words of the worker to start."""
    return pigeon.worker(launcher=["sh", "-c", text, "launcher", *words], **settings)


def row_of(pigeon: Pigeon, session_id: str) -> dict[str, Any]:
    """Once it is final."""

    def final() -> dict[str, Any] | None:
        row = pigeon.journal_row(session_id)
        return row if row is not None and row["state"] == "final" else None

    found = wait_until(final, 30, "the row's end")
    assert found is not None
    return found


def test_it_is_as_without_one(pigeon: Pigeon) -> None:
    serve(pigeon, AT_ONCE)
    data = bytes(range(256)) * 2000
    done = pigeon.run("cat; echo error >&2; exit 7", stdin=data)
    assert (done.stdout == data, done.stderr, done.code) == (True, b"error\n", 7)
    (session,) = pigeon.namespace.session_names()
    row = row_of(pigeon, session)
    assert (row["exit_code"], row["outcome"], row["return_code"]) == (7, "failed", 7)
    assert row["launcher"].startswith("sh -c") and row["node"]
    assert row["ended_at"] >= row["started_at"] > 0
    # The journal of the worker that was started for it has gone with it.
    kept = Path(place.private_directory())
    wait_until(lambda: not list(kept.glob(f"session-{session}*")), 30, "an empty place")


def test_what_is_filled_in_and_what_runs_here(pigeon: Pigeon) -> None:
    note = pigeon.base / "note"
    serve(pigeon, f'echo "$1 $2 $3" >>{note}; shift 3; exec "$@"', "{session}", "{cwd}", "{{}}", "{tty:no}")
    assert pigeon.run("true").code == 0
    (session,) = pigeon.namespace.session_names()
    # A question to the worker is its own to answer.
    assert session.encode() in pigeon.run("history", "--json").stdout
    assert note.read_text() == f"{session} {pigeon.work} {{}}\n"


def test_a_launcher_that_waits_is_quoted_and_cancelling_ends_it(pigeon: Pigeon) -> None:
    ended = pigeon.base / "ended"
    serve(pigeon, f"trap 'echo >{ended}; exit 1' TERM; echo 'job 17 is queued'; while :; do sleep 0.1; done")
    child = pigeon.start("echo never >ran", options=("-v",))
    wait_until(lambda: "job 17 is queued" in child.err, 30, lambda: f"its words in {child.err}")
    listed = pigeon.run("sessions").stdout.decode()
    assert "waits for the launcher of" in listed and "job 17 is queued" in listed
    child.signal(signal.SIGINT)
    assert child.wait().code == 130
    wait_until(ended.exists, 30, "the end of the launcher")
    assert not (pigeon.work / "ran").exists()


def test_one_that_fails_is_tried_again_and_then_given_up(pigeon: Pigeon) -> None:
    tries = pigeon.base / "tries"
    serve(pigeon, f"echo try >>{tries}; echo nonsense; echo 'no partition gpu' >&2; exit 3")
    done = pigeon.run("true")
    assert done.code == 255
    assert (
        "worker.launcher" in done.words and "no partition gpu" in done.words and "exit code 3" in done.words
    )
    assert tries.read_text() == "try\n" * 3


@pytest.mark.long
def test_one_that_cannot_be_executed(pigeon: Pigeon) -> None:
    pigeon.worker(launcher=["no-such-launcher"])
    done = pigeon.run("true")
    assert done.code == 255
    assert "no-such-launcher" in done.words


def test_one_that_never_stops_talking(pigeon: Pigeon) -> None:
    serve(pigeon, "yes 'x\x1b[31m\x07 nonsense' & \"$@\"; kill $!")
    assert pigeon.run("echo fine").stdout == b"fine\n"


def test_one_that_works_the_second_time(pigeon: Pigeon) -> None:
    first = pigeon.base / "first"
    serve(pigeon, f'[ -e {first} ] && exec "$@"; touch {first}; exit 1')
    assert pigeon.run("echo fine").stdout == b"fine\n"


def test_one_that_starts_two_runs_a_command_once(pigeon: Pigeon) -> None:
    serve(pigeon, '"$@" & "$@"; wait')
    assert pigeon.run("echo once >>starts; sleep 0.5; cat starts").stdout == b"once\n"


def test_the_one_of_two_that_comes_too_late_leaves_the_other_its_journal(pigeon: Pigeon) -> None:
    ended = pigeon.base / "ended"
    serve(pigeon, f'for one in 1 2; do ("$@"; echo "$one" >>{ended}) & done; wait')
    child, session = pigeon.begin("echo up; read x; echo down", stdin=subprocess.PIPE)
    wait_until(lambda: child.out == b"up\n" and ended.exists(), 30, "a start, and one worker's end")
    kept = Path(place.private_directory())
    (proofs,) = kept.glob(f"session-{session.id}*{place.PROOFS}")
    assert list(proofs.iterdir()) and Path(str(proofs).removesuffix(place.PROOFS)).exists()
    child.type(b"\n")
    assert child.wait().stdout == b"up\ndown\n"
    wait_until(lambda: not list(kept.glob(f"session-{session.id}*")), 30, "an empty place")


def test_one_directory_one_launch(pigeon: Pigeon) -> None:
    """The second of a directory would only hold an allocation and wait in it."""
    launches = pigeon.base / "launches"
    serve(pigeon, f'echo "$1" >>{launches}; shift; exec "$@"', "{session}")
    first = pigeon.start("echo >up; until [ -e go ]; do sleep 0.05; done; echo first")
    wait_until((pigeon.work / "up").exists, 30, "a start")
    second, session = pigeon.begin("echo second", options=("-v",))
    wait_until(lambda: "held by" in second.err, 30, lambda: f"who holds it, in {second.err}")
    assert session.id not in launches.read_text()
    (pigeon.work / "go").touch()
    assert (first.wait().stdout, second.wait().stdout) == (b"first\n", b"second\n")


def test_the_environment_of_a_job_stays_behind(pigeon: Pigeon) -> None:
    note = pigeon.base / "note"
    serve(
        pigeon, f'env >{note}; exec "$@"', env={"SLURM_NTASKS": "2", "SLURM_CONF": "/x", "PBS_NODEFILE": "/n"}
    )
    assert pigeon.run("true").code == 0
    words = note.read_text().split("\n")
    assert "SLURM_CONF=/x" in words
    assert not [word for word in words if word.startswith(("SLURM_NTASKS", "PBS_"))]


def test_a_killed_scheduler_and_the_next_one(pigeon: Pigeon) -> None:
    worker = serve(pigeon, AT_ONCE)
    child, session = pigeon.begin("echo up; read x; echo down", stdin=subprocess.PIPE)
    wait_until(lambda: child.out == b"up\n", 30, "a start")
    worker.kill()
    serve(pigeon, AT_ONCE)
    child.type(b"\n")
    assert child.wait().stdout == b"up\ndown\n"
    assert row_of(pigeon, session.id)["outcome"] == "succeeded"


def test_a_killed_scheduler_while_its_launcher_waits(pigeon: Pigeon) -> None:
    go = pigeon.base / "go"
    worker = serve(pigeon, f'echo waits; until [ -e {go} ]; do sleep 0.05; done; exec "$@"')
    child, session = pigeon.begin("echo once >>starts; cat starts")
    wait_until(lambda: launches(pigeon, session.id), 30, "a launch")
    worker.kill()
    serve(pigeon, AT_ONCE)
    go.touch()
    assert child.wait().stdout == b"once\n"
    assert row_of(pigeon, session.id)["outcome"] == "succeeded"


def launches(pigeon: Pigeon, session_id: str) -> bool:
    """Whether its launcher has been started, as the journal says."""
    with sqlite3.connect(pigeon.journal) as journal:
        found = journal.execute(
            "SELECT 1 FROM waits WHERE session_id = ? AND reason = 'launcher'", (session_id,)
        )
        return found.fetchone() is not None


def kill_launches(pigeon: Pigeon) -> None:
    """The processes at launched sessions, and not their launchers."""
    for pid in pigeon.commands_left():
        if name_of(pid) == "pigeon-launch":
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("moment", ["waits", "runs"])
def test_both_killed(pigeon: Pigeon, moment: str) -> None:
    """Scheduler and the process at the session: the next one finds out how far it came."""
    go = pigeon.base / "go"
    worker = serve(pigeon, f'echo waits; until [ -e {go} ]; do sleep 0.05; done; exec "$@"')
    child, session = pigeon.begin(
        "echo once >>starts; echo >up; until [ -e end ]; do sleep 0.05; done; cat starts"
    )
    wait_until(lambda: launches(pigeon, session.id), 30, "a launch")
    if moment == "runs":
        go.touch()
        wait_until(lambda: (pigeon.journal_row(session.id) or {}).get("state") == "launched", 30, "a claim")
    worker.kill()
    kill_launches(pigeon)
    go.touch()
    serve(pigeon, AT_ONCE)
    (pigeon.work / "end").touch()
    assert child.wait().stdout == b"once\n"
    assert row_of(pigeon, session.id)["outcome"] == "succeeded"


def test_a_share_that_is_gone_is_looked_for_now_and_then(pigeon: Pigeon) -> None:
    """Also once the launcher has ended, which nobody can answer meanwhile; and an order to stop is obeyed."""
    go = pigeon.base / "go"
    worker = serve(pigeon, f'echo waits; until [ -e {go} ]; do sleep 0.05; done; echo "ended"; exit 3')
    child, session = pigeon.begin("true")
    wait_until(lambda: launches(pigeon, session.id), 30, "a launch")
    (launch,) = (pid for pid in pigeon.commands_left() if name_of(pid) == "pigeon-launch")
    share = pigeon.share.worker_path
    share.rename(away := share.with_name("away"))
    go.touch()
    wait_until(lambda: all(state_of(pid) == "Z" for pid in children_of(launch)), 30, "the launcher's end")
    spent, until = cpu_seconds(launch), time.monotonic() + 2
    wait_until(lambda: time.monotonic() >= until, 30, "two seconds of it")
    assert cpu_seconds(launch) - spent < 0.2
    worker.kill()
    os.kill(launch, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(f"/proc/{launch}") or state_of(launch) == "Z", 30, "its end")
    away.rename(share)
    serve(pigeon, AT_ONCE)
    assert child.wait().code == 0


def test_hanging_up_reaches_the_command(pigeon: Pigeon) -> None:
    worker = serve(pigeon, AT_ONCE)
    child, session = pigeon.begin("trap 'echo hung; exit 5' HUP; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: child.out == b"up\n", 30, "a start")
    wait_until(lambda: (pigeon.journal_row(session.id) or {}).get("state") == "launched", 30, "a claim")
    worker.signal()
    wait_until(lambda: "taking no new sessions" in worker.log, 30, "its answer")
    worker.signal()
    assert child.wait().stdout == b"up\nhung\n"
    assert worker.wait() == 0


@pytest.mark.long
def test_stopping_gives_back_what_still_waits(pigeon: Pigeon) -> None:
    worker = serve(pigeon, "echo waits; exec sleep 1000")
    child, session = pigeon.begin("echo fine")
    wait_until(lambda: launches(pigeon, session.id), 30, "a launch")
    worker.signal()
    wait_until(lambda: "taking no new sessions" in worker.log, 30, "its answer")
    worker.signal()
    assert worker.wait() == 0
    pigeon.worker()
    assert child.wait().stdout == b"fine\n"


@pytest.mark.long
def test_a_worker_for_one_session_serves_no_other(pigeon: Pigeon) -> None:
    child, session = pigeon.begin("echo mine")
    other = pigeon.start("echo other", options=("--no-lock",))
    one = pigeon.start_worker("--session", session.id)
    assert child.wait().stdout == b"mine\n"
    assert one.wait().code == 0
    assert other.running
    other.signal(signal.SIGINT)
    assert other.wait().code == 130
    assert pigeon.run("worker", "--session", "nonsense").code == 2


def test_a_launcher_that_lost_everybody_is_found_again(pigeon: Pigeon) -> None:
    """Its client leaves while nobody watches it any more."""
    up, ended = pigeon.base / "up", pigeon.base / "ended"
    text = f"trap 'echo >{ended}; exit 1' TERM; echo >{up}; while :; do sleep 0.1; done"
    worker = serve(pigeon, text)
    child = pigeon.start("true")
    wait_until(up.exists, 30, "a launch")
    worker.kill()
    kill_launches(pigeon)
    child.signal(signal.SIGINT)
    assert child.wait().code == 130
    serve(pigeon, text)
    wait_until(ended.exists, 25, "the end of the launcher")
