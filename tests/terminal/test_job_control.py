"""Stopping, `fg` and `bg`: a command that is stopped over there stops its client, as a job of the shell here."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, marked, state_of
from tests.helpers.surroundings import PIGEON
from tests.helpers.terminal import Terminal
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until
from tests.terminal.modes import modes_on


def shell(pigeon: Pigeon, place: Path) -> Terminal:
    window = pigeon.spawn_plain("bash", "--norc", "--noediting", "-i", env={"PS1": "$ "}, cwd=place)
    window.wait_for("$")
    return window


def leave(window: Terminal) -> None:
    window.type("exit\r")
    window.wait(20)


def prompted(text: str) -> bool:
    return text.endswith("$")


@pytest.mark.parametrize("words", ["bash -lc", PIGEON], ids=["plain", "pigeon"])
@pytest.mark.parametrize("how", ["kill -TSTP $$", "kill -STOP $$", "kill -TSTP 0", "kill -TTOU $$"])
def test_what_stops_itself_stops_the_job(warm: Pigeon, words: str, how: str) -> None:
    place = warm.directory(f"stops {len(words)} {how.replace('/', '')}")
    window = shell(warm, place)
    window.type(f"{words} 'echo rea''dy; {how}; echo ba''ck; read -r x; echo got-$x'\r")
    window.wait_for("ready")
    window.wait_for("Stopped")
    window.wait_for(prompted)
    assert not window.is_raw
    assert "back" not in window.text()
    window.type("jobs | wc -l; fg\r")
    window.wait_for("back")
    window.type("word\r")
    window.wait_for("got-word")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    leave(window)


@pytest.mark.parametrize("words", ["bash -lc", PIGEON], ids=["plain", "pigeon"])
def test_the_key_stops_it_and_bg_lets_it_go_on(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"bg {len(words)}")
    window = shell(warm, place)
    window.type(f"{words} 'echo rea''dy; until [ -e go ]; do sleep 0.02; done; echo en''ded'\r")
    window.wait_for("ready")
    if words == PIGEON:
        window.wait_true(lambda: window.is_raw)
    window.type("\x1a")
    window.wait_for("Stopped")
    window.wait_for(prompted)
    (place / "go").touch()
    window.type("echo so-far\r")
    window.wait_for("\nso-far")
    assert "\nended" not in window.text()
    window.type("bg; wait; echo waited\r")
    window.wait_for("\nwaited")
    assert "\nended" in window.text()
    assert window.settings() == window.settings_before
    leave(window)


def test_the_whole_of_the_command_is_stopped(warm: Pigeon) -> None:
    window = shell(warm, warm.directory("whole"))
    window.type(f"{PIGEON} 'echo rea''dy; sleep 4711 | cat'\r")
    window.wait_for("ready")
    window.wait_true(lambda: window.is_raw)

    def states() -> set[str]:
        return {
            state_of(pid) for pid, line in marked(warm.mark).items() if line.strip() in ("sleep 4711", "cat")
        }

    window.wait_true(
        lambda: len([x for x in marked(warm.mark).values() if x.strip() in ("sleep 4711", "cat")]) == 2
    )
    window.type("\x1a")
    window.wait_for("Stopped")
    assert states() == {"T"}
    window.type("fg\r")
    window.wait_true(lambda: states() == {"S"})
    window.wait_true(lambda: window.is_raw)
    window.type("\x03")
    window.wait_for(prompted)
    leave(window)
    warm.wait_quiet()


def test_an_editor_comes_back_with_its_screen(warm: Pigeon) -> None:
    place = warm.directory("vim")
    (place / "text").write_text("first line\n")
    window = shell(warm, place)
    window.type(f"{PIGEON} vim -u NONE -N -i NONE text\r")
    window.wait_for("first line")
    window.type("Goadded")
    window.wait_for("added")
    window.type("\x1b\x1a")
    window.wait_for("Stopped")
    window.wait_for(prompted)
    assert not modes_on(window.raw)
    window.type("fg\r")
    window.wait_for(lambda text: "first line\nadded" in text and "Stopped" not in text)
    window.type(":wq\r")
    window.wait_for(prompted)
    assert (place / "text").read_text() == "first line\nadded\n"
    leave(window)


def test_without_job_control_it_goes_on(warm: Pigeon) -> None:
    """The client's process group is an orphaned one: there is no shell that could bring it back."""
    plain = warm.spawn_plain("bash", "-lc", "kill -TSTP $$; echo went on")
    window = warm.spawn_tty("kill -TSTP $$; echo went on")
    for one in (plain, window):
        assert one.wait(20).code == 0
        assert "went on" in one.text()


def test_a_command_nobody_follows_stays_stopped_until_somebody_attaches(warm: Pigeon) -> None:
    result = warm.run("kill -STOP $$; echo ba''ck; read -r x", options=("--detach",))
    session = warm.sessions()[-1]
    assert session.id == result.stdout.decode().strip()
    session.wait_event("command_stopped")
    window = warm.spawn_tty("attach", session.id)
    window.wait_for("back")
    window.type("\r")
    assert window.wait(20).code == 0


def test_hanging_up_what_is_stopped(warm: Pigeon) -> None:
    window = shell(warm, warm.directory("hung up"))
    known = warm.namespace.session_names()
    window.type(f"{PIGEON} 'echo rea''dy; kill -STOP $$'\r")
    window.wait_for("Stopped")
    session = warm.wait_session(known)
    window.type("kill -HUP %1; kill -CONT %1\r")
    assert session.wait_final(20)["state"] == "cancelled"
    leave(window)
    warm.wait_quiet()


@pytest.mark.parametrize("words", ["bash -lc", PIGEON], ids=["plain", "pigeon"])
def test_in_the_background_it_writes_and_changes_nothing(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"writes {len(words)}")
    window = shell(warm, place)
    window.type(f"{words} 'echo from-th''ere; until [ -e go ]; do sleep 0.02; done; echo e''nd' &\r")
    window.wait_for("from-there")
    assert window.settings() == window.settings_before
    window.type("jobs\r")
    window.wait_for("Running")
    (place / "go").touch()
    window.type("wait; echo waited\r")
    window.wait_for("\nwaited")
    assert "\nend" in window.text()
    leave(window)


def test_two_in_the_background_and_one_comes_to_the_front(warm: Pigeon) -> None:
    window = shell(warm, warm.directory("two"))
    for name in ("one", "two"):
        window.type(f"{PIGEON} --no-lock 'read -r x; echo {name} got $x' &\r")
    window.wait_true(lambda: len(children_of(window.process.pid)) == 2)
    clients = children_of(window.process.pid)
    assert window.settings() == window.settings_before
    window.type("fg %2\r")
    window.wait_true(lambda: window.is_raw)
    window.type("here\r")
    window.wait_for("two got here")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    assert state_of(clients[0]) != "T"
    window.type("fg %1\r")
    window.wait_true(lambda: window.is_raw)
    window.type("there\r")
    window.wait_for("one got there")
    window.wait_for(prompted)
    leave(window)


def test_a_full_screen_program_in_the_background_waits_with_its_screen(warm: Pigeon) -> None:
    place = warm.directory("screen")
    window = shell(warm, place)
    known = warm.namespace.session_names()
    window.type(f"{PIGEON} \"printf '\\033[?1049hdra''wn'; read -r x; printf '\\033[?1049l'\" &\r")
    session = warm.wait_session(known)
    wait_until(lambda: b"drawn" in session.output(), 15, "its screen")
    window.type("echo he''re\r")
    window.wait_for("\nhere")
    assert b"drawn" not in window.raw
    window.type("fg\r")
    window.wait_for("drawn")
    window.type("\r")
    window.wait_for(prompted)
    assert not modes_on(window.raw)
    leave(window)


def test_a_killed_leader_of_the_session_ends_the_command(warm: Pigeon) -> None:
    client, session = warm.begin("echo ready; exec sleep 4712", options=("-t",))
    wait_until(lambda: b"ready" in client.out, 15, client.tell)
    (leader,) = (record["pid"] for record in session.records() if record.get("event") == "started")
    os.kill(leader, signal.SIGKILL)
    assert client.wait(20).returncode == -signal.SIGKILL
    warm.wait_quiet()


def test_a_stopped_leader_does_not_keep_a_session_that_is_to_end(warm: Pigeon) -> None:
    place = warm.directory("leader")
    client, session = warm.begin("echo ready; exec sleep 1000", cwd=place, options=("-t",))
    wait_until(lambda: b"ready" in client.out, 15, client.tell)
    (leader,) = children_of(runner_of(warm, session))
    os.kill(leader, signal.SIGSTOP)
    wait_until(lambda: state_of(leader) == "T", 15, "the leader's stop")
    client.signal(signal.SIGTERM)
    session.wait_final()
    assert session.state == "cancelled"
    client.wait(15)
