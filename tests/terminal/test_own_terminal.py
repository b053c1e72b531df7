"""A controlling terminal wherever the client has one, whatever its stdin, stdout and stderr are: beside a plain run."""

from __future__ import annotations

import os
import shutil
import termios

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of
from tests.helpers.surroundings import PIGEON
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import wait_until
from tests.terminal.test_job_control import leave, prompted, shell

PLAIN_AND_PIGEON = pytest.mark.parametrize("words", ["bash -lc", PIGEON], ids=["plain", "pigeon"])

WAITS = {
    "a poll set": """
import os, select
watched = select.epoll()
watched.register(0, select.EPOLLIN)
watched.poll()
print("got", os.read(0, 99).decode(), flush=True)
""",
    "a thread": """
import threading
thread = threading.Thread(target=lambda: print("got", input(), flush=True))
thread.start()
thread.join()
""",
    "a thread's child": """
import subprocess, threading
thread = threading.Thread(target=subprocess.run, args=(["bash", "-c", "read -r x; echo got $x"],))
thread.start()
thread.join()
""",
}
"""How programs in other languages wait for a line, too, without changing the terminal: Node, Java, Go."""

SHAPE = "s=; for n in 0 1 2; do test -t $n && s=$s$n; done; echo $s >shape"


def wait_raw(window: Terminal, words: str) -> None:
    if words == PIGEON:
        window.wait_true(lambda: window.is_raw)


@PLAIN_AND_PIGEON
@pytest.mark.parametrize(
    "how", ["</dev/null", ">out", "2>err", "</dev/null >out", ">out 2>&1", "</dev/null >out 2>err"]
)
def test_the_shape_is_the_same_and_the_terminal_is_there(warm: Pigeon, words: str, how: str) -> None:
    place = warm.directory(f"shape {len(words)} {how.replace('/', ' ')}")
    window = shell(warm, place)
    window.type(f"{words} '{SHAPE}; echo sa''id >/dev/tty; read -r x </dev/tty; echo got $x >heard' {how}\r")
    window.wait_for("said")
    wait_raw(window, words)
    window.type("word\r")
    window.wait_for(prompted)
    assert (place / "heard").read_text() == "got word\n"
    shape = list((place / "shape").read_text().strip())
    ours = [n for n, sign in (("0", "<"), ("1", ">out"), ("2", "2>")) if sign not in f" {how}"]
    assert shape == ours
    assert window.settings() == window.settings_before
    leave(window)


@PLAIN_AND_PIGEON
def test_a_pager_reads_a_pipe_and_the_keys(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"pager {len(words)}")
    window = shell(warm, place)
    less = f"{words} less" if words == PIGEON else "less"
    window.type(f"seq 1000 | {less}\r")
    window.wait_for(lambda text: text.startswith("1\n2\n3\n"))
    window.type("G")
    window.wait_for(lambda text: "\n1000\n" in text)
    window.type("q")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    leave(window)


@PLAIN_AND_PIGEON
def test_a_password_is_asked_for_though_all_three_are_redirected(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"password {len(words)}")
    window = shell(warm, place)
    ask = 'import getpass; print(getpass.getpass("Pass" + "word? "))'
    window.type(f"{words} 'python3 -c '\"'\"'{ask}'\"'\"'' </dev/null >out 2>err\r")
    window.wait_for("Password?")
    window.wait_true(lambda: not window.settings()[3] & termios.ECHO)
    wait_raw(window, words)
    window.type("sesame\r")
    window.wait_for(prompted)
    assert "sesame" not in window.text()
    assert (place / "out").read_text() == "sesame\n"
    leave(window)


@pytest.mark.parametrize("how", WAITS)
def test_the_keyboard_comes_in_whatever_way_it_is_waited_for(warm: Pigeon, how: str) -> None:
    place = warm.directory(f"waits in {how}")
    (place / "ask").write_text(WAITS[how])
    window = shell(warm, place)
    window.type(f"{PIGEON} 'echo rea''dy; python3 ask' | cat\r")
    window.wait_for("ready")
    window.type("word\r")
    window.wait_for("got word")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    leave(window)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root takes a terminal from another session")
def test_a_command_whose_terminal_another_session_has_taken_ends_as_it_did(warm: Pigeon) -> None:
    window = shell(warm, warm.directory("taken"))
    window.type(f"{PIGEON} 'setsid -cw true; exit 3' | cat; echo code ${{PIPESTATUS[0]}}\r")
    window.wait_for("code 3")
    leave(window)


@PLAIN_AND_PIGEON
@pytest.mark.skipif(shutil.which("fzf") is None, reason="there is no fzf")
def test_a_chooser_has_a_list_by_pipe_and_gives_its_choice_to_a_file(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"chooser {len(words)}")
    window = shell(warm, place)
    window.type(f"printf 'alpha\\nbeta\\n' | {words} 'fzf --no-mouse' >choice\r")
    window.wait_for("2/2")
    window.type("bet")
    window.wait_for("1/2")
    window.type("\r")
    window.wait_for(prompted)
    assert (place / "choice").read_text() == "beta\n"
    assert window.settings() == window.settings_before
    leave(window)


def test_the_window_and_ctrl_c_reach_it(warm: Pigeon) -> None:
    place = warm.directory("window")
    window = shell(warm, place)
    text = 'until [ "$(stty size </dev/tty)" = "17 91" ]; do sleep 0.05; done; echo known >/dev/tty; read x </dev/tty'
    window.type(f"{PIGEON} '{text}' </dev/null >out\r")
    wait_until(warm.sessions, 15, "the session")
    window.resize(91, 17)
    window.wait_for("\nknown")
    window.wait_true(lambda: window.is_raw)
    window.type("\x03")
    window.wait_for(prompted)
    window.type("echo code $?\r")
    window.wait_for("code 130")
    leave(window)


def test_what_is_typed_ahead_stays_the_shell_s(warm: Pigeon) -> None:
    """A command that reads nothing takes nothing."""
    place = warm.directory("ahead")
    window = shell(warm, place)
    known = warm.namespace.session_names()
    window.type(f"{PIGEON} 'until [ -e go ]; do sleep 0.02; done' </dev/null >out\r")
    warm.wait_session(known).wait_event("started")
    window.type("echo ty''ped\r")
    window.wait_for("echo ty")
    (place / "go").touch()
    window.wait_for("$ typed")
    leave(window)


def test_a_pager_here_keeps_its_keys(warm: Pigeon) -> None:
    window = shell(warm, warm.directory("pager here"))
    window.type(f"{PIGEON} 'seq 1000; exec sleep 1000' | less\r")
    window.wait_for(lambda text: text.startswith("1\n2\n3\n"))
    window.type("d")
    window.wait_for(lambda text: "\n30\n" in text)
    window.type("q")
    window.wait_true(lambda: len(children_of(window.process.pid)) == 1)
    window.type("\x03")
    window.wait_for(prompted)
    leave(window)


def test_two_of_one_pipeline_share_the_terminal(warm: Pigeon) -> None:
    """The second waits for the first, and both leave it as it was found."""
    window = shell(warm, warm.directory("pipeline"))
    first = f"{PIGEON} 'echo A? >/dev/tty; read -r a </dev/tty; echo $a'"
    second = f"{PIGEON} 'read -r a; echo B? >/dev/tty; read -r b </dev/tty; echo both $a $b'"
    window.type(f"{first} | {second}\r")
    window.wait_for("A?")
    window.wait_true(lambda: window.is_raw)
    window.type("one\r")
    window.wait_for("B?")
    window.wait_true(lambda: len(children_of(window.process.pid)) == 1)
    window.wait_true(lambda: window.is_raw)
    window.type("two\r")
    window.wait_for("both one two")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    leave(window)


def test_what_it_leaves_running_hears_no_hangup(warm: Pigeon) -> None:
    """As with pipes alone: the terminal beside them is no reason to end a process in the background."""
    place = warm.directory("left")
    window = shell(warm, place)
    text = "(until [ -e go ]; do sleep 0.02; done; echo late >late) >/dev/null 2>&1 & echo first"
    window.type(f"{PIGEON} '{text}' </dev/null >out; cat out\r")
    window.wait_for("first")
    warm.sessions()[-1].wait_final()
    (place / "go").touch()
    window.wait_true(lambda: (place / "late").exists())
    leave(window)


def test_who_wants_no_terminal_gets_none(warm: Pigeon) -> None:
    place = warm.directory("none")
    window = shell(warm, place)
    window.type(f"{PIGEON} -T ': </dev/tty' </dev/null 2>err; echo co''de $?\r")
    window.wait_for("code 1")
    assert "/dev/tty" in (place / "err").read_text()
    leave(window)


def test_output_of_others_keeps_its_line_ends(warm: Pigeon) -> None:
    """While a password is asked for, the rest of the pipeline writes to the same terminal."""
    window = shell(warm, warm.directory("line ends"))
    window.type(
        f"{PIGEON} 'echo asks >/dev/tty; read -rs x </dev/tty; echo got $x' | (echo one; echo two; cat)\r"
    )
    window.wait_for("asks")
    window.wait_true(lambda: window.is_raw)
    window.type("it\r")
    window.wait_for("got it")
    window.wait_for(prompted)
    assert b"one\r\ntwo\r\n" in window.raw
    leave(window)


@pytest.fixture(autouse=True)
def _nothing_stays(warm: Pigeon) -> object:
    yield
    warm.wait_quiet()


def test_whoever_attaches_has_the_keys_of_a_pager_that_reads_a_pipe(warm: Pigeon) -> None:
    known = warm.namespace.session_names()
    window = shell(warm, warm.directory("attached pager"))
    window.type(f"seq 1000 | {PIGEON} --keep less\r")
    window.wait_for(lambda text: text.startswith("1\n2\n3\n"))
    session = warm.wait_session(known)
    window.type("G")
    window.wait_for(lambda text: "\n1000\n" in text)
    window.type("\r~d")
    window.wait_for("detached")
    window.wait_for(prompted)
    window.type(f"{PIGEON} attach {session.id}\r")
    wait_raw(window, PIGEON)
    window.type("g")
    window.wait_for(lambda text: text.startswith("1\n2\n3\n"))
    window.type("q")
    window.wait_for(prompted)
    assert window.settings() == window.settings_before
    leave(window)
