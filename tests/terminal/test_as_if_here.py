"""Deaths, keys and descriptors at a shell's prompt, each beside what the same thing does without pigeon."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of
from tests.helpers.surroundings import PIGEON
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import patient, wait_until
from tests.terminal.modes import modes_on

SHELL = ("bash", "--norc", "--noediting", "-i")


def shell(pigeon: Pigeon, place: Path) -> Terminal:
    window = pigeon.spawn_plain(*SHELL, env={"PS1": "$ "}, cwd=place)
    window.wait_for("$")
    return window


def leave(window: Terminal) -> None:
    window.type("exit\r")
    window.wait(20)


@pytest.mark.parametrize("words", ["bash -c", PIGEON], ids=["plain", "pigeon"])
def test_ctrl_c_ends_the_loop_round_the_command(warm: Pigeon, words: str) -> None:
    window = shell(warm, warm.directory(f"loop {len(words)}"))
    window.type(f"for i in 1 2 3; do {words} 'echo go-$((i)) $0; sleep 30'; done\r".replace("$((i))", "'$i'"))
    window.wait_for("go-1")
    window.type("\x03")
    window.wait_for(lambda text: text.endswith("$"))
    leave(window)
    assert "go-2" not in window.text()


@pytest.mark.parametrize("words", ["bash -c", PIGEON], ids=["plain", "pigeon"])
def test_ctrl_c_ends_the_script_and_the_pipeline(warm: Pigeon, words: str) -> None:
    place = warm.directory(f"script {len(words)}")
    (place / "s.sh").write_text(f"{words} 'echo go one; sleep 30'\necho after\n")
    window = shell(warm, place)
    window.type("bash s.sh\r")
    window.wait_for("go one")
    window.type("\x03")
    window.wait_for(lambda text: text.endswith("$"))
    leave(window)
    assert "after" not in window.text()


@pytest.mark.parametrize("name", ["INT", "TERM", "KILL", "SEGV", "ABRT"])
def test_a_death_is_a_death(warm: Pigeon, name: str) -> None:
    plain = warm.start_process("bash", "-lc", f"kill -{name} $$").wait(20)
    client = warm.start(f"kill -{name} $$").wait(20)
    assert client.returncode == plain.returncode == -getattr(signal, f"SIG{name}")


def test_a_killed_program_leaves_the_terminal_clean(warm: Pigeon) -> None:
    on = "\\033[?1049h\\033[?1000h\\033[?2004h\\033[>7u\\033[?25l"
    window = warm.spawn_tty(f"printf '{on}ready'; kill -KILL $$")
    assert window.wait(20).code == 137
    assert not modes_on(window.raw)


def test_stderr_that_goes_elsewhere_goes_there(warm: Pigeon) -> None:
    place = warm.directory("apart")
    window = shell(warm, place)
    window.type(
        f"{PIGEON} 'echo out; echo oops >&2; test -t 1 && test ! -t 2 && echo shaped' 2>err; echo done-$?\r"
    )
    window.wait_for("done-0")
    leave(window)
    assert "\noops" not in window.text()
    assert "shaped" in window.text()
    assert (place / "err").read_text() == "oops\n"


def test_one_file_for_both_keeps_their_order(warm: Pigeon) -> None:
    text = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"
    plain = warm.start_process("bash", "-c", f"bash -lc '{text}' 2>&1 | cat").wait(20)
    for _ in range(3):
        assert (
            warm.start_process("bash", "-c", f"{PIGEON} '{text}' 2>&1 | cat").wait(20).stdout == plain.stdout
        )


def test_ctrl_d_while_it_waits_is_one_end_of_input(warm: Pigeon) -> None:
    place = warm.directory("waits")
    gate = place / "gate"
    gate.touch()
    holder = warm.start(f"echo held; while [ -e {gate} ]; do sleep 0.02; done", cwd=place)
    wait_until(lambda: holder.out == b"held\n", 20, "the holder")
    window = warm.spawn_tty("echo begun; cat; echo ended; read -r x; echo got $x; sleep 60", cwd=place)
    window.wait_for("waiting for this directory")
    window.type("\x04")
    gate.unlink()
    window.wait_for("ended")
    window.type("word\r")
    window.wait_for("got word")
    window.type("\x03")
    assert window.wait(20).code == 130


def test_what_is_pasted_is_no_escape(warm: Pigeon) -> None:
    window = warm.spawn_tty("stty raw -echo; printf '\\033[?2004hready'; head -c 41 | od -An -c; stty sane")
    window.wait_for("ready")
    window.type(b"\r")
    window.type(b"\x1b[200~one\r~.\r~d\r~~~ two\r\x1b[201~")
    window.type(b"~~\r")
    window.type(b"rest of the bytes")
    assert window.wait(20).code == 0
    shown = "".join(window.text().split())
    assert "200~one\\r~.\\r~d\\r~~~two" in shown


def test_a_line_of_pigeon_s_leaves_a_full_screen_as_it_was(warm: Pigeon) -> None:
    draw = r"draw() { printf '\033[2J\033[H'; for n in 1 2 3 4 5 6 7 8 9 10; do echo row $n of the screen; done; }"
    loop = 'until read -rsn1 -t 0.2 k && [ "$k" = q ]; do :; done'
    text = rf"stty -echo; printf '\033[?1049h'; {draw}; trap draw WINCH; draw; {loop}"
    window = warm.spawn_tty(text)
    window.wait_for("row 10 of the screen")
    before = window.text()
    window.type("\r~?")
    window.wait_for("hang up")
    assert window.text() != before
    window.type("h")
    window.wait_for(lambda text: text == before)
    window.type("q")
    assert window.wait(20).code == 0


def test_a_flood_ends_soon_after_ctrl_c(warm: Pigeon) -> None:
    """On a terminal that takes 1 MB/s."""
    master, slave = os.openpty()
    argv = ["setsid", "--ctty", *map(str, warm.command("yes 0123456789 | head -c 2000000000"))]
    client = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd=warm.work, env=warm.env())
    os.close(slave)
    began, pressed, after = time.monotonic(), 0.0, 0
    while True:
        if not pressed and time.monotonic() - began > 3:
            os.write(master, b"\x03")
            pressed = time.monotonic()
        try:
            data = os.read(master, 10000)
        except OSError:
            break
        after += len(data) if pressed else 0
        time.sleep(len(data) / 1e6)
    took = time.monotonic() - pressed
    assert client.wait(10) in (-2, 130)
    os.close(master)
    # A window of 24 MB would take this terminal half a minute.
    assert took < patient(6), f"{took:.1f} s, {after} bytes"
    assert after < patient(6_000_000)


@pytest.mark.parametrize("what", ["gone", "hung"])
@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_an_order_ends_a_client_soon(pigeon: Pigeon, what: str, name: str) -> None:
    pigeon.worker()
    client, session = pigeon.begin("sleep 1000")
    session.wait_event("started")
    (pump,) = children_of(client.pid)
    share = Path(pigeon.share.client_path)
    if what == "gone":
        share.rename(share.with_name("away"))
    else:
        os.kill(pump, signal.SIGSTOP)
    began = time.monotonic()
    client.signal(getattr(signal, f"SIG{name}"))
    result = client.wait(10)
    took = time.monotonic() - began
    if what == "gone":
        share.with_name("away").rename(share)
    assert result.returncode == -getattr(signal, f"SIG{name}")
    assert took < 2 + patient(4), took  # it tries for two seconds, and not for as long as the share is away
    assert what == "gone" or b"could not be told" in result.stderr
    assert pigeon.run("stop", session.id).code == 0
