"""Commands of one job never wait for each other: pipelines, hooks, substitutions. All else in a directory does."""

from __future__ import annotations

import os
import shlex
import signal
import time

import pytest

from tests.helpers.notes import Notes, overlapping
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child, children_of
from tests.helpers.surroundings import PIGEON
from tests.helpers.waiting import PATIENCE, wait_until


def run(pigeon: Pigeon, script: str, timeout_s: float = 20.0) -> tuple[int, bytes]:
    result = pigeon.start_process("bash", "-c", script).wait(timeout_s)
    return result.code, result.stdout


@pytest.mark.parametrize(
    ("script", "out"),
    [
        (f"{PIGEON} seq 3 | {PIGEON} cat", b"1\n2\n3\n"),
        (f"(sleep 0.5; {PIGEON} echo hi) | {PIGEON} cat", b"hi\n"),
        (f"{PIGEON} 'while echo tick; do sleep .05; done' | (sleep 0.5; {PIGEON} head -1)", b"tick\n"),
        (f"{PIGEON} seq 3 | {PIGEON} tac | {PIGEON} cat", b"3\n2\n1\n"),
        (f"{PIGEON} seq 300000 | sort -n | {PIGEON} tail -1", b"300000\n"),
        (
            f"while read -r x; do {PIGEON} true </dev/null; done"
            f" < <({PIGEON} 'head -c 300000 /dev/zero | tr \\\\0 x; echo')",
            None,
        ),
    ],
    ids=["seq-cat", "reader-first", "endless-writer", "three", "another-between", "substitution"],
)
def test_a_pipeline_just_works(warm: Pigeon, script: str, out: bytes | None) -> None:
    code, printed = run(warm, script, 30.0)
    assert code == 0
    assert out is None or printed == out


def test_a_pipeline_again_and_again(warm: Pigeon) -> None:
    for _ in range(6):
        assert run(warm, f"{PIGEON} seq 3 | {PIGEON} cat") == (0, b"1\n2\n3\n")


def test_a_pipeline_with_a_single_slot(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    assert run(pigeon, f"{PIGEON} seq 3 | {PIGEON} cat") == (0, b"1\n2\n3\n")


def test_a_hook_of_a_program_that_speaks_through_pigeon(warm: Pigeon) -> None:
    """As `git push` does: its transport is one pigeon, its hook another, and it waits for the hook."""
    program = f"""
import os, subprocess
transport = subprocess.Popen(["bash", "-c", {PIGEON + " cat"!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
transport.stdin.write(b"hello\\n"); transport.stdin.flush()
assert transport.stdout.readline() == b"hello\\n"
hook = os.spawnvp(os.P_WAIT, "sh", ["sh", "-c", {PIGEON + " echo from the hook; true"!r}])
transport.stdin.close()
raise SystemExit(hook or transport.wait())
"""
    result = warm.start_process("python3", "-c", program).wait(30)
    assert (result.code, result.stdout) == (0, b"from the hook\n")


def test_everything_else_stays_serial_and_in_order(warm: Pigeon) -> None:
    """Also two that a script starts in the background, and two that write into one pipe."""
    notes = Notes(warm.base / "notes")
    one, two = (shlex.quote(notes.text(name, "sleep 0.3")) for name in ("one", "two"))
    assert run(warm, f"({PIGEON} {one} & {PIGEON} {two} & wait) | cat")[0] == 0
    assert not overlapping(notes.intervals(["one", "two"]))


def test_a_stranger_waits_for_the_whole_job(warm: Pigeon) -> None:
    gate = warm.base / "gate"
    gate.touch()
    job = warm.start_process(
        "bash",
        "-c",
        f"{PIGEON} echo x | {PIGEON} 'cat; while [ -e {gate} ]; do sleep 0.02; done; echo end >> order'",
    )
    wait_until(lambda: job.out == b"x\n", 20, "the second of the pipeline")
    stranger = warm.start("echo stranger >> order")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3, 5, "the first's lock to be free")
    assert stranger.running
    gate.unlink()
    assert (job.wait(20).code, stranger.wait(20).code) == (0, 0)
    assert (warm.work / "order").read_text() == "end\nstranger\n"


def test_who_waits_for_a_killed_client_does_not_wait_for_long(warm: Pigeon) -> None:
    """Both halves killed, as an agent's time limit does: nobody is left to say so, but everybody here can see it."""
    client, session = warm.begin("sleep 1000")
    session.wait_event("started")
    for pid in (*children_of(client.pid), client.pid):
        os.kill(pid, signal.SIGKILL)
    client.wait(5)
    began = time.monotonic()
    assert warm.run("echo next", timeout_s=60).stdout == b"next\n"
    assert time.monotonic() - began < 15 * PATIENCE  # and not `client_timeout`, which is three minutes
    assert session.wait_final(10)["state"] == "cancelled"


def kill_both(client: Child) -> None:
    for pid in (*children_of(client.pid), client.pid):
        os.kill(pid, signal.SIGKILL)
    client.wait(5)


def test_the_worker_knows_a_killed_client_for_dead(warm: Pigeon) -> None:
    """By proof on its own host, and not by `client_timeout`: while the command runs, and while it waits."""
    client, session = warm.begin("sleep 1000")
    session.wait_event("started")
    waiting, second = warm.begin("sleep 1000")
    kill_both(waiting)
    assert "has been killed" in second.wait_final(10)["error"]
    kill_both(client)
    end = session.wait_final(10)
    assert (end["state"], end["error"]) == ("cancelled", "the client has been killed")


def test_what_is_to_be_kept_goes_on_without_its_killed_client(warm: Pigeon) -> None:
    place = warm.directory("kept")
    text = "until [ -e go ]; do sleep 0.02; done; exit 3"
    client, session = warm.begin(text, options=("--keep",), cwd=place)
    session.wait_event("started")
    kill_both(client)
    session.wait_event("client_lost")
    (place / "go").touch()
    assert session.wait_final(10)["exit_code"] == 3


def test_waiting_is_explained_to_who_reads_no_notices_and_not_with_q(warm: Pigeon) -> None:
    gate = warm.base / "explained"
    gate.touch()
    holder = warm.start(f"echo held; while [ -e {gate} ]; do sleep 0.02; done")
    wait_until(lambda: holder.out == b"held\n", 20, "the holder")
    client, silent = warm.start("true"), warm.start("true", options=("-q",))
    wait_until(lambda: client.err, 30, "a line")
    assert "pigeon: waiting for this directory, held by `echo held" in client.err
    gate.unlink()
    assert (holder.wait(20).code, client.wait(20).code, silent.wait(20).code) == (0, 0, 0)
    assert (client.err.count("\n"), silent.err) == (1, "")
