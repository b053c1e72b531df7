"""Whatever ends, and however: the user's terminal is as it was, and no mode of the program's is left on."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, marked, state_of
from tests.helpers.terminal import Terminal
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import patient, wait_until
from tests.terminal.modes import modes_on

MODES = r"\033[?1049h\033[?25l\033[?2004h\033[?1003;1006h\033[?1004h\033[>1u\033[>4;2m\033=\033[1;31m\033[?7l"
FULL_SCREEN = f"stty raw -echo; printf '{MODES}'; echo ready; exec sleep 60"


def pump_of(window: Terminal) -> int:
    """The child that works on the share."""
    (child,) = children_of(window.process.pid)
    return child


def kill_runner(pigeon: Pigeon) -> None:
    """SIGKILL to the runner of the newest session."""
    os.kill(runner_of(pigeon, pigeon.sessions()[-1]), signal.SIGKILL)


def kill_command(pigeon: Pigeon, window: Terminal) -> None:
    def found() -> list[int]:
        return [pid for pid, line in marked(pigeon.mark).items() if line.startswith("sleep 60")]

    (pid,) = wait_until(found, 15, "the program")
    os.kill(pid, signal.SIGKILL)


def full_screen(pigeon: Pigeon, cwd: Path | None = None) -> Terminal:
    """A program that has switched much on, as a window in which it runs."""
    window = pigeon.spawn_tty(FULL_SCREEN, cwd=cwd)
    window.wait_for("ready")
    assert len(modes_on(window.raw)) >= 9
    assert window.settings() != window.settings_before
    return window


# What happens -> (how, the exit code). 255 is pigeon's own.
ENDINGS: dict[str, tuple[Callable[[Pigeon, Terminal], object], int]] = {
    "SIGTERM": (lambda pigeon, window: window.process.send_signal(signal.SIGTERM), 143),
    "SIGHUP": (lambda pigeon, window: window.process.send_signal(signal.SIGHUP), 129),
    "escape": (lambda pigeon, window: window.type("\r~."), 255),
    "runner killed": (lambda pigeon, window: kill_runner(pigeon), 255),
    "stopped from elsewhere": (
        lambda pigeon, window: pigeon.run("stop", pigeon.sessions()[-1].id),
        129,
    ),
    "pump killed": (lambda pigeon, window: os.kill(pump_of(window), signal.SIGKILL), 255),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
def test_an_abnormal_end_switches_off_what_is_on(pigeon: Pigeon, name: str) -> None:
    pigeon.worker(client_timeout=10)
    act, code = ENDINGS[name]
    window = full_screen(pigeon)
    act(pigeon, window)
    assert window.wait(30).code == code
    assert window.settings() == window.settings_before
    assert modes_on(window.raw) == {}, window.tell()
    pigeon.sessions()[0].wait_final(40)
    pigeon.wait_quiet(30)


# A program that is silent, and has key reports switched on: Ctrl-C and `~.` come as sequences.
LEAVING = {
    "plain": ("", "\r~."),
    "kitty": (r"\033[>7u", "\x1b[13u\x1b[13;1:3u~\x1b[96;2:3u."),
    "kitty, all keys": (r"\033[>15u", "\x1b[13u\x1b[57441;2u\x1b[96:126;2u\x1b[96:126;2:3u\x1b[46u"),
    "modifyOtherKeys": (r"\033[>4;2m", "\r\x1b[27;2;126~."),
    "three Ctrl-C": (r"\033[>7u", "\x1b[99;5u\x1b[99;5:3u" * 3),
    "three Ctrl-C, modifyOtherKeys": (r"\033[>4;2m", "\x1b[27;5;99~" * 3),
}


@pytest.mark.parametrize("name", LEAVING)
def test_the_shell_is_given_back(warm: Pigeon, name: str) -> None:
    """And it is said: where the session is well, and where the other side is silent."""
    mode, keys = LEAVING[name]
    silent = "Ctrl" in name
    text = f"stty raw -echo; printf '{mode}'; echo ready; exec sleep 60"
    window = warm.spawn_tty(text, cwd=warm.directory(f"left by {name}"))
    window.wait_for("ready")
    session = warm.sessions()[-1]
    runner = runner_of(warm, session)
    if silent:
        os.kill(runner, signal.SIGSTOP)
        window.wait_still(0.3)  # what it said last is no answer
    try:
        window.type(keys)
        assert window.wait(10).code == 255
    finally:
        if silent:
            os.kill(runner, signal.SIGCONT)
    assert ("left: the session did not answer" if silent else "pigeon: hung up") in window.text()
    session.wait_final(20)
    assert modes_on(window.raw) == {}
    assert window.settings() == window.settings_before


def test_an_escape_character_as_ssh_has_it(warm: Pigeon) -> None:
    window = warm.spawn_tty("echo ready; exec sleep 60", options=("-e", "^]"), cwd=warm.directory("like ssh"))
    window.wait_for("ready")
    window.type("\x1d?")
    window.wait_for("^].   hang up")
    window.type("\x1d.")
    assert window.wait().code == 255
    assert "pigeon: hung up" in window.text()


def test_an_end_without_an_exit_event_is_noticed_soon(warm: Pigeon) -> None:
    """A killed runner, whose session recovery ends at once: its client waits for little more than a second."""
    window = full_screen(warm, cwd=warm.directory("soon"))
    session = warm.sessions()[-1]
    kill_runner(warm)
    window.wait_true(lambda: session.state == "failed")
    ended = time.monotonic()
    assert window.wait().code == 255
    assert time.monotonic() - ended < patient(6)
    assert "exit" not in session.events()


def test_a_killed_command_leaves_a_clean_terminal(warm: Pigeon) -> None:
    """A plain terminal would keep what the program had switched on, though nobody is left to switch it off."""
    window = full_screen(warm, cwd=warm.directory("killed"))
    kill_command(warm, window)
    assert window.wait().code == 137
    assert window.settings() == window.settings_before
    assert not modes_on(window.raw)


def test_nothing_is_sent_that_is_not_needed(warm: Pigeon) -> None:
    window = warm.spawn_tty(r"printf '\033[?2004h'; echo ready; exec sleep 60", cwd=warm.directory("needed"))
    window.wait_for("ready")
    before = len(window.raw)
    window.process.send_signal(signal.SIGTERM)
    assert window.wait().code == 143
    assert window.raw[before:] == b"\x1b[?2004l"


@pytest.mark.parametrize("keys", ["\r~.", "\r~d"], ids=["hung up", "detached"])
def test_what_draws_in_place_is_not_written_over(warm: Pigeon, keys: str) -> None:
    """On the main screen, with a hidden cursor amid its rows: those below are gone when pigeon and the shell speak."""
    text = (
        r"stty raw -echo; printf '\033[?25lanswer\r\n----\r\n> \r\n----\r\nstatus\033[2A\r\033[2C'; exec cat"
    )
    window = warm.spawn_tty(text, cwd=warm.directory(f"in place {ord(keys[-1])}"))
    window.wait_for("status")
    session = warm.sessions()[-1]
    window.type(keys)
    window.wait()
    before, _, said = window.text().partition("\npigeon: ")
    assert before == "answer\n----\n>"
    assert "\n" not in said.replace(session.id, "")
    assert modes_on(window.raw) == {}
    warm.run("stop", session.id)


def test_a_normal_end_sends_nothing(warm: Pigeon) -> None:
    window = warm.spawn_tty(r"printf '\033[?1049h\033[31m\033[?1049l'", cwd=warm.directory("normal"))
    assert window.wait().code == 0
    assert window.raw == b"\x1b[?1049h\x1b[31m\x1b[?1049l"


def test_the_window_is_closed(warm: Pigeon) -> None:
    window = full_screen(warm, cwd=warm.directory("closed"))
    session = warm.sessions()[-1]
    window.hang_up()  # the kernel sends SIGHUP to the session's leader, which pigeon is here
    window.process.wait(20)
    assert session.wait_final(20)["state"] == "cancelled"
    warm.wait_quiet()


def in_a_shell(pigeon: Pigeon, name: str) -> tuple[Terminal, str]:
    """A window with an interactive shell in which the program has been started, and what `stty -a` said before."""
    window = pigeon.spawn_plain("bash", "--norc", "-i", env={"PS1": "$ "}, cwd=pigeon.directory(name))
    window.wait_for(lambda text: text.endswith("$"))
    before = stty(window, "before")
    window.type(shlex.join([str(word) for word in pigeon.command(FULL_SCREEN)]) + "\r")
    window.wait_for("\nready")
    return window, before


def stty(window: Terminal, name: str) -> str:
    """What `stty -a` says in the window's shell, once it prompts again."""
    window.wait_for(lambda text: text.endswith("$"))
    path = Path(os.readlink(f"/proc/{window.process.pid}/cwd")) / name
    window.type(f"stty -a > {name}; echo done {name} | tr a-z A-Z\r")
    window.wait_for(f"DONE {name.upper()}")
    window.wait_for(lambda text: text.endswith("$"))  # the shell has no child of this line any more
    return path.read_text()


def pigeon_in(window: Terminal) -> int:
    """The guardian: the shell's child."""
    (child,) = children_of(window.process.pid)
    return child


@pytest.mark.slow
def test_the_half_that_has_the_terminal_is_killed(warm: Pigeon) -> None:
    """The other half switches the modes off; the shell, or if it does not care that half too, restores termios."""
    window, before = in_a_shell(warm, "guardian")
    session = warm.sessions()[-1]
    os.kill(pigeon_in(window), signal.SIGKILL)
    window.wait_for("Killed")
    window.wait_true(lambda: set(modes_on(window.raw)) <= {"mode 2004"})
    assert stty(window, "after") == before
    assert session.wait_final(20)["state"] == "cancelled"
    window.type("exit\r")
    assert window.wait().code == 0
    warm.wait_quiet()


def test_the_half_that_has_the_terminal_is_killed_without_a_shell(warm: Pigeon) -> None:
    window = full_screen(warm, cwd=warm.directory("alone"))
    session = warm.sessions()[-1]
    window.process.kill()
    window.wait_true(lambda: not modes_on(window.raw))
    window.wait_true(lambda: window.settings() == window.settings_before)
    window.process.wait()
    assert session.wait_final(20)["state"] == "cancelled"
    warm.wait_quiet()


@pytest.mark.slow
def test_suspending_and_coming_back(warm: Pigeon) -> None:
    """`~^Z` gives the shell its terminal; `fg` puts the modes on again, and the program hears of a new size."""
    place = warm.directory("suspended")
    text = f"trap 'stty size' WINCH; stty -echo; printf '{MODES}'; echo ready; while :; do sleep 0.05; done"
    window = warm.spawn_plain("bash", "--norc", "-i", env={"PS1": "$ "}, cwd=place)
    window.wait_for(lambda text: text.endswith("$"))
    before = stty(window, "before")
    window.type(shlex.join([str(word) for word in warm.command(text)]) + "\r")
    window.wait_for("\nready")
    on = modes_on(window.raw)
    window.type("\r~\x1a")
    window.wait_for("Stopped")
    window.wait_true(lambda: set(modes_on(window.raw)) <= {"mode 2004"})
    assert stty(window, "after") == before
    window.type("fg\r")
    window.wait_for(lambda text: re.search(r"23 80\s+24 80", text))
    assert {**modes_on(window.raw), "style": b""} == {**on, "style": b""}
    window.type("\x03")
    window.type("\r~.")
    window.wait_for(lambda text: text.endswith("$"))
    assert stty(window, "later") == before
    assert set(modes_on(window.raw)) <= {"mode 2004"}
    window.type("exit\r")
    window.wait()
    warm.wait_quiet()


@pytest.mark.slow
def test_a_shell_that_started_it_in_the_background(warm: Pigeon) -> None:
    """It leaves the terminal alone, and is not stopped; brought to the foreground it is at home."""
    window = warm.spawn_plain("bash", "--norc", "-i", env={"PS1": "$ "}, cwd=warm.directory("background"))
    window.wait_for(lambda text: text.endswith("$"))
    before = stty(window, "before")
    known = warm.namespace.session_names()
    window.type(shlex.join([str(word) for word in warm.command('read -r line; echo "[$line]"')]) + " &\r")
    window.wait_true(lambda: children_of(window.process.pid))
    (pid,) = children_of(window.process.pid)
    session = warm.wait_session(known)
    session.wait_event("started")
    assert stty(window, "meanwhile") == before
    window.wait_true(lambda: state_of(pid) == "S")
    window.type("\rfg\r")
    window.wait_true(lambda: window.is_raw)
    window.type("here\r")
    window.wait_for("[here]")
    assert stty(window, "after") == before
    window.type("exit\r")
    assert window.wait().code == 0
