"""Under a terminal: prompts, line editors, full-screen programs, keys and sizes, seen through a screen emulator."""

from __future__ import annotations

import os
import re
import signal
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Word
from tests.helpers.surroundings import LISTENER
from tests.helpers.terminal import Terminal

Spawn = Callable[..., Terminal]


def test_it_is_a_terminal_of_the_right_size_from_the_start(warm: Pigeon) -> None:
    window = warm.spawn_tty("test -t 0 && test -t 1 && test -t 2 && stty size; echo $TERM", size=(101, 33))
    assert window.wait().code == 0
    assert window.text().split() == ["33", "101", "xterm-256color"]


def test_a_prompt_over_several_turns(warm: Pigeon) -> None:
    text = 'for i in 1 2; do read -p "name? " n; echo "hello $n"; done; read -p "more? " n || echo " none"'
    window = warm.spawn_tty(text)
    window.wait_for("name?")
    window.type("ann\r")
    window.wait_for(lambda screen: screen.endswith("hello ann\nname?"))
    window.type("bobb\x7f\r")  # a typing error, taken back by the remote line discipline
    window.wait_for(lambda screen: screen.endswith("hello bob\nmore?"))
    window.type("\x04")
    assert window.wait().code == 0
    assert window.text().splitlines() == [
        "name? ann",
        "hello ann",
        "name? bob",
        "hello bob",
        "more?  none",
    ]


def test_the_read_that_the_readme_shows(warm: Pigeon) -> None:
    window = warm.spawn_tty('read -p "name? " n; echo "hello $n"')
    window.wait_for("name?")
    window.type("world\r")
    window.wait_for("hello world")
    assert window.wait().code == 0


def test_a_password_is_not_echoed(warm: Pigeon) -> None:
    window = warm.spawn_tty('read -s -p "password: " p; echo; echo "length ${#p}"')
    window.wait_for("password:")
    window.type("secret\r")
    window.wait_for("length 6")
    assert window.wait().code == 0
    assert "secret" not in window.raw.decode()


def test_the_python_prompt(warm: Pigeon) -> None:
    window = warm.spawn_tty("/usr/bin/python3", "-q")
    window.wait_for(">>>")
    window.type("6 * 7\r")
    window.wait_for("\n42\n>>>")
    window.type("for i in range(2): print('line', i)\r\r")
    window.wait_for("line 1\n>>>")
    window.type("import time; time.sleep(60)\r")
    window.wait_for("sleep(60)")
    window.wait_still(0.3)
    window.type("\x03")
    window.wait_for("KeyboardInterrupt\n>>>")
    window.type("raise SystemExit(5)\r")
    assert window.wait().code == 5


def test_the_end_of_input_key(warm: Pigeon) -> None:
    window = warm.spawn_tty("cat; echo after")
    window.type("line\r")
    window.wait_for("line\nline")
    window.type("\x04")
    window.wait_for("after")
    assert window.wait().code == 0


@pytest.mark.parametrize(
    ("before", "key", "code"), [("", "\x03", 130), ("ulimit -c 0; ", "\x1c", 131)], ids=["interrupt", "quit"]
)
def test_a_key_that_ends_the_command(warm: Pigeon, before: str, key: str, code: int) -> None:
    window = warm.spawn_tty(f"{before}echo ready; exec sleep 60")
    window.wait_for("ready")
    window.type(key)
    assert window.wait(10).code == code
    warm.wait_quiet()


def test_an_interrupt_that_the_command_takes(warm: Pigeon) -> None:
    window = warm.spawn_tty(LISTENER)
    window.wait_for("ready")
    window.type("\x03")
    assert window.wait(10).code == 9
    assert "^Cgot SIGINT" in window.text()


def test_a_new_size_reaches_the_command(warm: Pigeon) -> None:
    window = warm.spawn_tty(LISTENER)
    window.wait_for("ready")
    window.resize(90, 30)
    window.wait_for("size 90 30")
    for rows in range(10, 30):
        window.resize(60 + rows, rows)
    window.wait_for("size 89 29")
    window.type("\x03")
    assert window.wait(10).code == 9


def test_an_interactive_shell_with_job_control(warm: Pigeon) -> None:
    window = warm.spawn_tty("bash")
    window.wait_for(lambda screen: screen.endswith(("#", "$")))
    window.type("echo $((6*7))\r")
    window.wait_for("\n42\n")
    window.type("sleep 100\r")
    window.wait_for("sleep 100")
    window.wait_still(0.3)
    window.type("\x1a")
    window.wait_for("Stopped")
    window.type("jobs; kill %1; wait; clear\r")
    window.wait_for(lambda screen: "Stopped" not in screen)
    window.type("tty; exit 3\r")
    assert window.wait(10).code == 3
    assert "/dev/pts/" in window.text()


def test_bare_pigeon_is_a_login_shell(warm: Pigeon) -> None:
    window = warm.spawn_tty()
    window.type("shopt -q login_shell && echo 'is '; echo log'in'; exit 4\r")
    window.wait_for(lambda screen: re.search(r"^is\s+login$", screen, re.M))
    assert window.wait(10).code == 4


def test_bare_pigeon_without_a_terminal_shows_its_usage(warm: Pigeon) -> None:
    result = warm.run()
    assert (result.code, result.stdout) == (2, b"")
    assert "usage" in result.words.lower()


KEYS: list[tuple[str, Callable[[str], object]]] = [
    ("ihello\rworld \u00fc", lambda screen: "world \u00fcfirst" in screen and "-- INSERT --" in screen),
    ("\x1b", lambda screen: "-- INSERT --" not in screen),
    ("yypp:s/w/W/\r", lambda screen: "World" in screen),
    (":syntax on | set hls\r", lambda screen: "set hls" in screen),
    ("/l\r", lambda screen: screen.splitlines()[-1].startswith("/l")),
]
"""What is typed into vim, and how to see that it has been taken."""


def edit(spawn: Spawn, words: list[Word]) -> list[object]:
    """What is on the screen after each of the keys, and how it ended."""
    window = spawn(*words, size=(80, 24))
    window.wait_for(lambda screen: screen.count("\n~") > 10)
    seen: list[object] = []
    for keys, taken in KEYS:
        window.type(keys)
        window.wait_for(taken)
        window.wait_still(0.4)
        seen += [window.emulator.cells(), window.emulator.cursor]
    window.type("ZZ")
    seen += [window.wait(10).code, window.text()]
    assert window.settings() == window.settings_before
    return seen


@pytest.mark.slow
def test_vim_looks_the_same_and_saves(warm: Pigeon) -> None:
    words: list[Word] = [
        "vim",
        "-u",
        "NONE",
        "-i",
        "NONE",
        "-N",
        "--cmd",
        "set nomore noruler noshowcmd nu",
        "file",
    ]
    screens = {}
    for name, spawn in (("plain", warm.spawn_plain), ("pigeon", warm.spawn_tty)):
        path = warm.work / "file"
        path.write_text("first line\n\tsecond\n")
        screens[name] = edit(spawn, words), path.read_text()
    line = "world \u00fcfirst line\n"
    assert screens["plain"][1] == f"hello\n{line}{line}W{line[1:]}\tsecond\n"
    assert screens["pigeon"][1] == screens["plain"][1]
    for plain, through in zip(screens["plain"][0], screens["pigeon"][0], strict=True):
        assert through == plain


def test_the_terminal_is_left_as_it_was(warm: Pigeon) -> None:
    window = warm.spawn_tty("stty raw -echo; exit 3")
    assert window.wait().code == 3
    assert window.settings() == window.settings_before


@pytest.mark.parametrize("after", ["true", "echo here again > /dev/tty"])
def test_a_command_that_closes_its_terminal_runs_on(warm: Pigeon, after: str) -> None:
    """As most programs do for a moment while they end: that is not yet the end, and no reason to hang up."""
    text = f"exec 0<&- 1>&- 2>&-; sleep 0.1; {after}; exit 7"
    plain, window = warm.spawn_plain("bash", "-lc", text), warm.spawn_tty(text)
    assert (plain.wait().code, window.wait().code) == (7, 7)
    assert window.raw == plain.raw


def test_typing_ahead_of_the_command_is_not_lost(warm: Pigeon) -> None:
    window = warm.spawn_tty("sleep 0.3; read a; echo got $a")
    window.type("early\r")
    window.wait_for("got early")
    assert window.wait().code == 0


def test_a_question_to_the_terminal_is_answered(warm: Pigeon) -> None:
    text = r"printf '\033[6n'; IFS= read -rs -d R -t 5 answer; printf '%q\n' " '"$answer"'
    window = warm.spawn_tty(text)
    assert window.wait().code == 0
    assert "[1\\;1" in window.text() or "[1;1" in window.text()


def test_t_asks_for_a_terminal_without_having_one(warm: Pigeon) -> None:
    result = warm.run("test -t 1 && echo terminal", options=("-t",))
    assert (result.stdout, result.code) == (b"terminal\r\n", 0)


def test_capital_t_asks_for_pipes_under_a_terminal(warm: Pigeon) -> None:
    window = warm.spawn_tty("test -t 1 || echo pipe; test -t 0 || echo too", options=("-T",))
    assert window.wait().code == 0
    assert window.text().split() == ["pipe", "too"]


@pytest.mark.parametrize(("redirected", "shape"), [("stdin", ""), ("stdout", "02")])
def test_what_is_redirected_is_a_pipe(warm: Pigeon, redirected: str, shape: str) -> None:
    """Where stdin is, this window is not the process's controlling terminal, and then the rest are pipes as well."""
    with (warm.work / f"redirected-{redirected}").open("w+b") as file:
        given: dict[str, Any] = {redirected: file.fileno()}
        text = "s=; for n in 0 1 2; do test -t $n && s=$s$n; done; echo on:$s >&2"
        window = warm.spawn_tty(text, **given)
        assert window.wait().code == 0
    assert window.text() == f"on:{shape}"


def test_a_closed_window_hangs_the_command_up(warm: Pigeon) -> None:
    window = warm.spawn_tty("echo ready; while :; do sleep 0.05; done")
    window.wait_for("ready")
    session = warm.sessions()[-1]
    window.hang_up()
    window.process.send_signal(
        signal.SIGHUP
    )  # what the kernel does for a session leader, whichever process that is
    window.process.wait(15)
    session.wait_final(20)
    warm.wait_quiet()


@pytest.mark.slow
def test_the_death_of_the_half_that_works_on_the_share(pigeon: Pigeon) -> None:
    """The half that the shell knows restores the terminal and says what happened; the worker notices the silence."""
    pigeon.worker(client_timeout=10)
    window = pigeon.spawn_tty("echo ready; exec sleep 60")
    window.wait_for("ready")
    assert not window.settings()[3] & termios.ECHO
    pid = window.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    assert window.wait(20).code == 255
    assert "pigeon: " in window.text()
    assert window.settings() == window.settings_before
    assert pigeon.sessions()[0].wait_final(40)["state"] == "cancelled"
    pigeon.wait_quiet(20)
