"""`pigeon inspect`: a session stuck in each of the ways there are, and the sentence that says so."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pigeon.wire.records import ack_line
from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import mount_small, needs_root, unmount
from tests.helpers.processes import name_of, state_of
from tests.helpers.share import Session
from tests.helpers.verbs import age, report, rule, runner_of, waits_for_rule
from tests.helpers.waiting import wait_until

FEATURES: dict[str, Any] = {"client": {"version": "1", "features": ["heartbeat", "ack"]}}


def test_a_running_one_from_its_own_host_and_from_elsewhere(warm: Pigeon) -> None:
    """Elsewhere there is no journal: the worker's own pigeon tells what it and /proc know."""
    client, session = warm.begin("echo hello; exec sleep 61.5")
    wait_until(lambda: client.out == b"hello\n", 15, "the command")
    wait_until(lambda: (warm.journal_row(session.id) or {}).get("state") == "running", 15, "the row")
    command = int((warm.journal_row(session.id) or {})["command_pid"])
    wait_until(lambda: (name_of(command), state_of(command)) == ("sleep", "S"), 15, "the program that sleeps")
    near = warm.run("inspect", session.id, "--journal", str(warm.journal))
    far = warm.run("inspect", session.id)
    for shown in (near, far):
        text = shown.stdout.decode()
        assert (shown.code, shown.stderr) == (0, b"")
        assert text.startswith(f"{session.id} runs: its processes sleep")
        assert "echo hello; exec sleep 61.5" in text
        assert str(warm.work) in text
        assert "journal says running" in text
        assert "sleep 61.5" in text.split("process ", 1)[1]
        assert " running" in text
    alone = warm.run("inspect", session.id, "--here")
    assert "its journal is not on this machine" in alone.stdout.decode()
    fields = warm.run("inspect", session.id, "-o", "state,owner")
    assert fields.stdout.decode().split() == ["running", warm.workers[0].id]
    assert warm.run("inspect", session.id, "-o", "nothing", "--here").code == 2
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143
    ended = report(warm, session)
    assert ended["rule"] == "failed"
    assert (ended["facts"]["owner"], ended["facts"]["owner_alive"]) == (warm.workers[0].id, None)
    assert ended["facts"]["workers"] is None
    lines = warm.run("inspect", session.id).stdout.decode().splitlines()
    assert f"  worker     {warm.workers[0].id}" in lines


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("echo ready; exec cat", "it waits for input"),
        ("echo ready; while :; do :; done", "busy computing"),
        ("echo ready; (sleep 0.1; echo more) | cat > /dev/null; exec sleep 60", "sleep"),
    ],
)
def test_what_a_running_command_does(warm: Pigeon, text: str, part: str) -> None:
    window = warm.spawn_tty(text)
    window.wait_for("ready")
    session = warm.sessions()[-1]

    def said() -> bool:
        window.pump()
        found = report(warm, session)
        return found["rule"] == "processes" and part in str(found["verdict"])

    wait_until(said, 20, lambda: f"{part!r} in {report(warm, session)['verdict']!r}")
    window.process.send_signal(signal.SIGTERM)
    assert window.wait().code == 143


def test_one_that_has_stopped_itself(warm: Pigeon) -> None:
    """Without a terminal; on one its client is stopped with it, or has it go on."""
    client, session = warm.begin("echo ready; kill -STOP $$")
    wait_until(lambda: "stopped" in str(report(warm, session)["verdict"]), 20, "a word of it")
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143


def test_waiting_for_a_worker(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, **FEATURES)
    assert rule(pigeon, session) == "no worker"
    later = raw.publish(pigeon, **FEATURES)
    assert rule(pigeon, later) == "no worker"
    age(session, "control.jsonl", 60)
    assert rule(pigeon, session) == "waits, client gone"
    kept = raw.publish(pigeon, on_disconnect="keep", **FEATURES)
    age(kept, "control.jsonl", 60)
    assert rule(pigeon, kept) == "no worker"


def test_waiting_for_a_directory_or_a_slot(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker(max_jobs=1)
    client, holder = pigeon.begin(": the holder; " + notes.holding("holder"))
    notes.wait_started("holder")
    second, waits = pigeon.begin("true")
    third, slot = pigeon.begin("true", cwd=pigeon.directory("other"))
    sentence = waits_for_rule(pigeon, waits, "waits for the directory")
    assert f"held by {holder.id} ‘: the holder; " in sentence
    assert "gone" not in sentence
    waits_for_rule(pigeon, slot, "workers full")
    worker.signal()
    waits_for_rule(pigeon, slot, "workers ending")
    notes.release("holder")
    assert client.wait().code == 0
    worker.wait()
    pigeon.worker()
    assert (second.wait().code, third.wait().code) == (0, 0)
    assert rule(pigeon, slot) == "succeeded"


def test_a_directory_that_is_held_from_elsewhere(pigeon: Pigeon) -> None:
    pigeon.worker()
    path = pigeon.namespace.lock_path(pigeon.work)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        first, held = pigeon.begin("true")
        second, behind = pigeon.begin("true")
        sentence = waits_for_rule(pigeon, held, "directory held from elsewhere")
        assert f"which pid {os.getpid()} took" in sentence
        waits_for_rule(pigeon, behind, "directory held from elsewhere")
    finally:
        os.close(fd)
    assert (first.wait().code, second.wait().code) == (0, 0)


def test_claimed_and_never_started(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    session = raw.lay(pigeon)
    raw.claim(session, f"worker_host=x\nworker_id={worker.id}\nfeatures=heartbeat,ack,attach\n")
    raw.replace(session.directory / "request.json", raw.dump(raw.a_request(session.id, "/", "true")))
    raw.put_status(session, "pending")
    assert rule(pigeon, session) == "claimed, not started"
    age(session, "stream.jsonl", 60)
    assert rule(pigeon, session) == "claimed, not started"


def test_owners_in_every_state(pigeon: Pigeon, notes: Notes) -> None:
    """The runner stopped, its scheduler gone, both gone, and the whole host silent."""
    pigeon.worker()
    client, session = pigeon.begin(notes.holding("one"), options=("--keep",))
    notes.wait_started("one")
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGSTOP)
    assert rule(pigeon, session) == "runner stopped"
    age(session, "stream.jsonl", 60)
    elsewhere = pigeon.run("inspect", session.id, "--here", "-o", "rule")
    assert elsewhere.stdout == b"runner silent\n"
    os.kill(runner, signal.SIGCONT)
    wait_until(lambda: "heartbeat" in session.events(), 20, "the runner's heartbeat")
    pigeon.workers[0].kill()
    assert rule(pigeon, session) == "worker gone"
    os.kill(runner, signal.SIGKILL)
    assert rule(pigeon, session) == "runner gone"
    age(session, "stream.jsonl", 60)
    assert rule(pigeon, session) == "host silent"
    notes.release("one")
    pigeon.worker()
    assert client.wait(40).code == 255
    assert rule(pigeon, session) == "recovered"


def test_clients_in_every_state(warm: Pigeon) -> None:
    """Suspended, killed, gone and detached."""
    known = warm.namespace.session_names()
    # A process group of its own, as a shell with job control makes: only somebody who can be resumed is stopped.
    client = subprocess.Popen(
        warm.command("exec sleep 60"),
        env=warm.env(),
        cwd=warm.work,
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    session = warm.wait_session(known)
    session.wait_event("started")
    client.send_signal(signal.SIGTSTP)
    waits_for_rule(warm, session, "client suspended")
    client.send_signal(signal.SIGCONT)
    waits_for_rule(warm, session, "processes")
    family = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
    for pid in (*map(int, family), client.pid):  # the half that could still say something first
        os.kill(pid, signal.SIGKILL)
    client.wait()
    waits_for_rule(warm, session, "cancelled")
    elsewhere = raw.publish(warm, "exec sleep 60", **asks(pty=False))
    elsewhere.wait_event("started")
    age(elsewhere, "control.jsonl", 60)
    assert rule(warm, elsewhere) == "client gone"
    assert warm.run("stop", elsewhere.id).code == 0
    assert rule(warm, elsewhere) == "cancelled"
    alone = warm.run("exec sleep 60", options=("--detach",)).stdout.decode().strip()
    kept = Session(session.directory.with_name(alone))
    kept.wait_event("started")
    assert rule(warm, kept) == "no client"
    assert warm.run("stop", alone).code == 0


def test_input_that_is_not_read(warm: Pigeon) -> None:
    client, session = warm.begin("exec sleep 60", stdin=bytes(3 * 1024 * 1024))
    waits_for_rule(warm, session, "does not read its input")
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143


def asks(*features: str, pty: bool) -> dict[str, Any]:
    """Parts of the request of a client that knows these."""
    terminal = {"stdin_isatty": pty, "stdout_isatty": pty, "size": None, "pty": pty}
    return {"client": {"version": "1", "features": ["heartbeat", "ack", *features]}, "terminal": terminal}


def test_unread_output_within_the_window_holds_nothing_up(warm: Pigeon) -> None:
    """A reader of segments has one of 24 MiB."""
    session = raw.publish(warm, "head -c 20000000 /dev/zero; exec sleep 60", **asks("bulk", pty=False))
    wait_until(lambda: report(warm, session)["facts"]["unread_bytes"] >= 20_000_000, 30, "the output")
    assert report(warm, session)["facts"]["window_bytes"] == 24 << 20
    waits_for_rule(warm, session, "processes")
    assert warm.run("stop", session.id).code == 0


def test_a_terminal_that_shows_nothing_more_holds_its_command_up(warm: Pigeon) -> None:
    """Whose window is far smaller."""
    text = "echo ready; while [ ! -e go ]; do sleep 0.01; done; exec yes"
    session = raw.publish(warm, text, stdin=None, **asks("bulk", "ack_often", pty=True))
    wait_until(lambda: b"ready" in session.output(), 15, "the command")
    raw.append(session, "control.jsonl", ack_line(1))
    (warm.work / "go").touch()
    assert "held up: its client has" in waits_for_rule(warm, session, "client does not read")
    facts = report(warm, session)["facts"]
    assert (facts["window_bytes"], facts["unread_bytes"] < 2 << 20) == (512 << 10, True)
    assert warm.run("stop", session.id).code == 0


@pytest.mark.slow
def test_output_that_is_not_read(warm: Pigeon) -> None:
    reading, writing = os.pipe()
    known = warm.namespace.session_names()
    window = warm.spawn_plain(*warm.command("head -c 90000000 /dev/zero", options=("-T",)), stdout=writing)
    os.close(writing)
    session = warm.wait_session(known)
    waits_for_rule(warm, session, "client does not read", 60)
    os.close(reading)
    assert window.wait().code == 141


@needs_root
@pytest.mark.slow
def test_a_share_that_is_full(pigeon: Pigeon) -> None:
    place = pigeon.share.worker_path
    mount_small(place, "8m")
    try:
        pigeon.worker()
        ballast = place / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(7 * 1024 * 1024 + 512 * 1024))  # no room for what goes into lines
        client, session = pigeon.begin("head -c 4000000 /dev/zero")
        assert "No space left" in waits_for_rule(pigeon, session, "share trouble")
        ballast.unlink()
        assert client.wait(40) == (bytes(4000000), b"", 0)
        assert rule(pigeon, session) == "succeeded"
        pigeon.workers[0].stop()
    finally:
        unmount(place)


def test_ends(pigeon: Pigeon) -> None:
    """What has ended is told from the share alone."""
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "taken over": ("failed", {"ended_by": "takeover", "exit_code": 255}),
        "withdrawn": ("cancelled", {"ended_by": "client", "exit_code": 130}),
        "cancelled": ("cancelled", {"exit_code": 129}),
        "failed": ("failed", {"exit_code": 3}),
        "succeeded": ("succeeded", {"exit_code": 0}),
    }
    for name, (state, fields) in wanted.items():
        session = raw.publish(pigeon)
        raw.put_status(session, state, **fields)
        assert rule(pigeon, session) == name
    broken = raw.lay(pigeon)
    (broken.directory / "status.json").write_text("{")
    assert rule(pigeon, broken) == "unreadable"
    assert pigeon.run("inspect", "nothing").code == 1
