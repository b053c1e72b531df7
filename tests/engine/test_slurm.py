"""`worker.launcher` with a real Slurm: two nodes that are other hosts to the worker, a queue, a node that is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.engine.clusters import Cluster
from tests.helpers.processes import children_of
from tests.helpers.waiting import patient, wait_until


def test_bytes_codes_and_signals_are_the_commands(cluster: Cluster) -> None:
    cluster.serve()
    pigeon = cluster.pigeon
    data = bytes(range(256)) * 8000
    done = pigeon.run("cat; echo error >&2; hostname >host; exit 7", stdin=data)
    assert (done.stdout == data, done.stderr, done.code) == (True, b"error\n", 7)
    assert (pigeon.work / "host").read_text().strip() in ("n1", "n2")
    assert pigeon.run("kill -TERM $$").code == 143
    assert pigeon.run("sh", "-c", "exit 255").code == 255
    cluster.wait_for_none(20)


def test_a_partial_line_comes_at_once(cluster: Cluster) -> None:
    cluster.serve()
    child = cluster.pigeon.start("printf prompt; read answer; echo $answer", stdin=subprocess.PIPE)
    wait_until(lambda: child.out == b"prompt", 30, "a prompt without a newline")
    child.type(b"yes\n")
    assert child.wait().stdout == b"promptyes\n"


def test_the_journal_knows_node_and_job(cluster: Cluster) -> None:
    cluster.serve()
    job = cluster.pigeon.run("echo $SLURM_JOB_ID; exit 3").stdout.decode().strip()
    row = cluster.row()
    assert (row["node"] in ("n1", "n2"), row["engine_job"], row["exit_code"], row["outcome"]) == (
        True, job, 3, "failed",
    )  # fmt: skip
    said = cluster.pigeon.run("history", "--journal", str(cluster.pigeon.journal), row["session_id"]).stdout
    assert f"{row['node']}, job {job}" in said.decode()
    assert "srun" in said.decode()


def test_waiting_is_told_in_slurms_words_and_cancelling_empties_the_queue(cluster: Cluster) -> None:
    cluster.serve()
    cluster.hog()
    child = cluster.pigeon.start("echo never >ran", options=("-v",))
    job = cluster.wait_for_job("PENDING")
    wait_until(lambda: f"job {job.id} queued" in child.err, 30, lambda: f"the job's name in {child.err}")
    assert "waiting in the launcher of" in child.err
    began = time.monotonic()
    child.signal(signal.SIGINT)
    assert child.wait().code == 130
    assert time.monotonic() - began < patient(10)
    cluster.wait_for_none(20)
    assert not (cluster.pigeon.work / "ran").exists()


@pytest.mark.long
def test_a_client_that_dies_in_the_queue_takes_its_job_along(cluster: Cluster) -> None:
    cluster.serve()
    cluster.hog()
    child, session = cluster.pigeon.begin("echo never >ran")
    cluster.wait_for_job("PENDING")
    for pid in (child.pid, *children_of(child.pid)):
        os.kill(pid, signal.SIGKILL)
    cluster.wait_for_none(25)
    assert session.wait_final()["state"] == "cancelled"
    assert not (cluster.pigeon.work / "ran").exists()


@pytest.mark.long
def test_a_lost_node_is_told_and_the_directory_is_free(cluster: Cluster) -> None:
    cluster.serve()
    pigeon = cluster.pigeon
    child = pigeon.start("echo start >>starts; hostname; sleep 1000")
    node = wait_until(lambda: child.out.decode().strip(), 30, "a start")
    cluster.lab.cut(node)
    began = time.monotonic()
    try:
        done = child.wait(60)
        assert done.code == 255
        assert time.monotonic() - began < cluster.lab.shape.node_timeout_s + 25
        assert pigeon.run("cat starts").stdout == b"start\n"
    finally:
        cluster.lab.restore(node)
    assert cluster.row()["ended_by"] == "takeover"


def test_a_worker_inside_an_allocation_runs_a_command_once(cluster: Cluster) -> None:
    """What `salloc -n2` leaves in the environment would have `srun` start two."""
    cluster.serve(env={"SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "SLURM_JOB_NUM_NODES": "2"})
    assert cluster.pigeon.run("echo once >>starts; cat starts").stdout == b"once\n"


def test_a_directory_that_the_node_does_not_have(cluster: Cluster) -> None:
    cluster.serve()
    gone = cluster.pigeon.base / "gone"
    gone.mkdir()
    cluster.hog()
    child = cluster.pigeon.start("pwd", cwd=gone)
    cluster.wait_for_job("PENDING")
    gone.rmdir()
    cluster.lab.ask("scancel", "-n", "hog")
    done = child.wait()
    assert (done.code, done.stdout) == (255, b"")


def test_a_terminal_is_the_users(cluster: Cluster) -> None:
    cluster.serve()
    terminal = cluster.pigeon.spawn_tty(
        "trap 'echo hung >up' HUP; stty size; read x; echo got $x", size=(97, 31)
    )
    terminal.wait_for("31 97")
    terminal.type(b"hello\r")
    terminal.wait_for("got hello")
    assert terminal.wait().code == 0


def test_a_dispatcher_that_is_killed_costs_nothing(cluster: Cluster) -> None:
    worker = cluster.serve()
    child = cluster.pigeon.start("echo up; read x; echo down", stdin=subprocess.PIPE)
    wait_until(lambda: child.out == b"up\n", 30, "a start")
    worker.kill()
    cluster.serve()
    child.type(b"\n")
    assert child.wait().stdout == b"up\ndown\n"
    assert cluster.row()["outcome"] == "succeeded"
    cluster.wait_for_none(20)


def test_a_job_that_slurm_cancels_hangs_its_command_up(cluster: Cluster) -> None:
    """As at its time limit: SIGTERM, and SIGKILL after KillWait."""
    cluster.serve()
    child, session = cluster.pigeon.begin(
        "trap 'echo asked; exit 9' HUP TERM; echo up; while :; do sleep 0.1; done"
    )
    wait_until(lambda: child.out == b"up\n", 30, "a start")
    cluster.lab.ask("scancel", cluster.wait_for_job("RUNNING").id)
    done = child.wait()
    assert (done.stdout, done.code) == (b"up\nasked\n", 9)
    assert session.wait_final()["state"] in ("failed", "cancelled")
    cluster.wait_for_none(20)


@pytest.mark.long
def test_much_passes_exactly_and_a_program_that_is_not_there(cluster: Cluster) -> None:
    cluster.serve()
    data = os.urandom(50_000_000)
    done = cluster.pigeon.run("cat", stdin=data, timeout_s=120)
    assert (done.stdout == data, done.stderr, done.code) == (True, b"", 0)
    assert cluster.pigeon.run("sh", "-c", "exec no-such-program").code == 127
    assert cluster.pigeon.run("sh", "-c", "exec /etc/passwd").code == 126


@pytest.mark.long
def test_who_hangs_up_lets_the_commands_trap_decide(cluster: Cluster) -> None:
    cluster.serve()
    hung = cluster.pigeon.work / "hung"
    text = f"trap 'echo >{hung}; exit 5' HUP; echo up; while :; do sleep 0.1; done"
    terminal = cluster.pigeon.spawn_tty(text)
    terminal.wait_for("up")
    terminal.type(b"\r~.")
    assert terminal.wait().code == 255
    wait_until(hung.exists, 30, "the trap")
    cluster.wait_for_none(15)


@pytest.mark.long
def test_a_pipeline_in_one_directory(cluster: Cluster) -> None:
    """The second waits for nothing that the first holds, whatever nodes they are on."""
    cluster.serve()
    env = {"PIGEON": " ".join(map(str, cluster.pigeon.command()))}
    text = "$PIGEON 'seq 300000' | $PIGEON 'tail -n 1'"
    done = cluster.pigeon.start_process("sh", "-c", text, env=env).wait(90)
    assert (done.stdout, done.code) == (b"300000\n", 0)
