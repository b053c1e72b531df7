"""`pigeon stop`: a session ended, withdrawn, signalled or, when its owner is silent, given an end."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.verbs import lose_host
from tests.helpers.waiting import wait_until


def test_a_running_one_is_hung_up(warm: Pigeon) -> None:
    client, session = warm.begin("trap 'echo bye; exit 9' HUP; echo ready; while :; do sleep 0.02; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    stopped = warm.run("stop", session.id)
    assert (stopped.stdout, stopped.code) == (f"session {session.id}: cancelled\n".encode(), 0)
    result = client.wait()
    assert (result.stdout, result.code) == (b"ready\nbye\n", 9)
    assert "hung up: it was stopped by `pigeon stop`" in result.words
    assert session.status["state"] == "cancelled"
    assert session.status["error"] == "it was stopped by `pigeon stop`"
    row = wait_until(
        lambda: (r := warm.journal_row(session.id)) and r["state"] == "final" and r, 15, "the row"
    )
    assert row
    assert row["error"] == "it was stopped by `pigeon stop`"
    warm.wait_quiet()
    again = warm.run("stop", session.id)
    assert again.code == 0
    assert "has ended already: cancelled" in again.words


def test_several(pigeon: Pigeon) -> None:
    """None is ended if a name is wrong; one that cannot be ended does not save the others."""
    clients, sessions = zip(*(pigeon.begin("true") for _ in range(3)), strict=True)
    ids = [session.id for session in sessions]
    wrong = pigeon.run("stop", ids[0], "nosuch")
    assert (wrong.code, wrong.stdout) == (1, b"")
    (sessions[1].directory / "worker.claim").write_text("worker_host=elsewhere\nworker_pid=1\n")
    stopped = pigeon.run("stop", *ids)
    assert stopped.code == 255
    assert stopped.stdout.decode().splitlines() == [f"session {one} is withdrawn" for one in (ids[0], ids[2])]
    assert "run by an older worker" in stopped.words
    assert [clients[n].wait().code for n in (0, 2)] == [130, 130]
    clients[1].kill()


def test_one_that_waits_is_withdrawn(pigeon: Pigeon) -> None:
    client, session = pigeon.begin("touch ran")
    assert pigeon.run("stop", session.id, "--signal", "TERM").code == 255
    stopped = pigeon.run("stop", session.id)
    assert (stopped.stdout, stopped.code) == (f"session {session.id} is withdrawn\n".encode(), 0)
    result = client.wait()
    assert result.code == 130
    assert "stopped by `pigeon stop`" in result.words
    assert session.status["state"] == "cancelled"
    pigeon.worker()
    assert pigeon.run("true").code == 0
    assert not (pigeon.work / "ran").exists()


@pytest.mark.parametrize(("name", "number"), [("TERM", 15), ("sigusr1", 10), ("2", 2)])
def test_a_signal(warm: Pigeon, name: str, number: int) -> None:
    text = f"trap 'echo got {number}; exit 7' {number}; echo ready; while :; do sleep 0.02; done"
    client, session = warm.begin(text)
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    assert warm.run("stop", session.id, "--signal", name).code == 0
    result = client.wait()
    assert (result.stdout, result.code) == (f"ready\ngot {number}\n".encode(), 7)
    assert session.wait_final()["state"] == "failed"
    told = warm.run("history", session.id).stdout.decode()
    assert re.search(rf"signals .*{number}", told), told


def test_the_client_goes_on_after_a_signal(warm: Pigeon) -> None:
    """A visitor gives an order and takes nothing over: the client's input still arrives."""
    text = (
        "import signal; signal.signal(signal.SIGUSR1, lambda *_: print('got it', flush=True)); "
        "print('ready', flush=True); print('[' + input() + ']')"
    )
    window = warm.spawn_tty("/usr/bin/python3", "-c", text)
    window.wait_for("ready")
    session = warm.sessions()[-1]
    assert warm.run("stop", session.id, "--signal", "USR1").code == 0
    window.wait_for("got it")
    window.type("still here\r")
    window.wait_for("[still here]")
    assert window.wait().code == 0
    assert "attached" not in session.events()


def test_bad_words(warm: Pigeon) -> None:
    client, session = warm.begin("echo ready; exec sleep 60")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    for word in ("NOSUCH", "0", "99", "-1"):
        assert warm.run("stop", session.id, f"--signal={word}").code == 2
    assert warm.run("stop", "nothing").code == 1
    assert client.running
    assert warm.run("stop", session.id).code == 0
    assert client.wait().code == 129
    assert warm.run("stop", session.id, "--signal=NOSUCH").code == 2, "though it has ended already"


def test_an_older_worker_cannot_be_told(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon)
    raw.claim(session)
    raw.put_status(session, "running")
    stopped = pigeon.run("stop", session.id)
    assert stopped.code == 255
    assert "an older worker" in stopped.words
    withdrawn = raw.publish(pigeon)
    raw.claim(withdrawn, "withdrawn_by=client\nclient_host=gone\n")
    assert "--force" in pigeon.run("stop", withdrawn.id).words


def test_force_withdraws_what_nobody_has_claimed(pigeon: Pigeon) -> None:
    """Without an owner there is nothing to take over, and a worker may claim it at any moment."""
    client, session = pigeon.begin("touch ran")
    assert "is withdrawn" in pigeon.run("stop", "--force", session.id).stdout.decode()
    assert client.wait().code == 130
    assert not (session.directory / "takeover.claim").exists()


def test_force_against_an_owner_that_lives(warm: Pigeon) -> None:
    client, session = warm.begin("echo ready; exec sleep 60")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    forced = warm.run("stop", "--force", session.id)
    assert forced.code == 255
    assert "lives" in forced.words
    assert not (session.directory / "takeover.claim").exists()
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143


def test_force_against_an_owner_that_lives_and_does_not_run_it(pigeon: Pigeon) -> None:
    """A worker says what it runs; that it lives is no reason to wait for what it does not."""
    pigeon.configure(worker={"host_timeout": 1})
    worker = pigeon.worker()
    session = raw.lay(pigeon)
    raw.claim(session, f"worker_host=here\nworker_pid={worker.pid}\nworker_id={worker.id}\n")
    raw.replace(session.directory / "request.json", raw.dump(raw.a_request(session.id, pigeon.work, "true")))
    raw.put_status(session, "running")
    forced = pigeon.run("stop", "--force", session.id)
    assert forced.code == 0, forced.words
    assert session.status["ended_by"] == "takeover"


def test_force_against_a_silent_owner(pigeon: Pigeon) -> None:
    """Nobody else serves the namespace; the host is gone for good."""
    pigeon.configure(worker={"host_timeout": 1})
    pigeon.worker()
    client, session = pigeon.begin("echo ready; exec sleep 60")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    runner = lose_host(pigeon, session, signal.SIGSTOP)
    forced = pigeon.run("stop", "--force", session.id)
    assert forced.code == 0, forced.words
    assert "has been given an end" in forced.stdout.decode()
    result = client.wait(40)
    assert (result.stdout, result.code) == (b"ready\n", 255)
    assert (session.status["state"], session.status["ended_by"]) == ("failed", "takeover")
    os.kill(runner, signal.SIGCONT)
    pigeon.wait_quiet(20)
    assert "exit" not in session.events()


def test_force_after_somebody_died_between_the_right_and_the_end(pigeon: Pigeon) -> None:
    pigeon.configure(worker={"host_timeout": 1})
    session = raw.publish(pigeon)
    raw.claim(session)
    (session.directory / "takeover.claim").write_text("taken_over_by=one that died\n")
    forced = pigeon.run("stop", "--force", session.id)
    assert forced.code == 0, forced.words
    assert session.status["ended_by"] == "takeover"
