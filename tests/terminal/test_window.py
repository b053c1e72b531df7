"""The window's size and the terminal's type, as the program finds them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


def test_the_size_from_the_first_byte(warm: Pigeon) -> None:
    window = warm.spawn_tty("stty size; tput cols; tput lines", size=(123, 45))
    assert window.wait().code == 0
    assert window.text().split() == ["45", "123", "123", "45"]


def test_a_size_that_changed_while_nobody_ran_it(pigeon: Pigeon) -> None:
    window = pigeon.spawn_tty("trap 'stty size' WINCH; stty size; until [ -e gone ]; do sleep 0.02; done")
    session = pigeon.wait_session()
    window.resize(91, 31)
    wait_until(lambda: any(r["type"] == "resize" for r in session.records("control.jsonl")), 15, window.tell)
    pigeon.worker()
    window.wait_for("31 91", 30)
    (pigeon.work / "gone").touch()
    assert window.wait().code == 0


def test_a_storm_of_sizes(warm: Pigeon) -> None:
    text = "trap 'stty size' WINCH; echo ready; until [ -e gone ]; do sleep 0.02; done"
    place = warm.directory("storm")
    window = warm.spawn_tty(text, cwd=place)
    window.wait_for("ready")
    session = warm.sessions()[-1]
    for number in range(200):
        window.resize(40 + number % 50, 10 + number % 40)
        window.pump()
    window.resize(77, 22)
    window.wait_for("22 77", 10)
    sizes = [(r["cols"], r["rows"]) for r in session.records("control.jsonl") if r["type"] == "resize"]
    assert sizes[-1] == (77, 22)
    assert len(sizes) < 60, sizes
    (place / "gone").touch()
    assert window.wait().code == 0
    assert window.text().splitlines()[-1] == "22 77"


VIM = ("vim", "-u", "NONE", "-i", "NONE", "-N", "text")


def numbered(place: Path) -> Path:
    """The directory with a text that is longer than every window."""
    (place / "text").write_text("".join(f"line {number}\n" for number in range(200)))
    return place


def plainly_resized(pigeon: Pigeon, place: Path) -> list[str]:
    """What vim shows after the window has become taller."""
    window = pigeon.spawn_plain(*VIM, cwd=place)
    window.wait_for("line 22")
    window.resize(80, 40)
    window.wait_for("line 38")
    window.wait_still(0.3)
    lines = window.emulator.lines
    window.type(":q!\r")
    assert window.wait().code == 0
    return lines


def test_attached_to_in_a_taller_window(warm: Pigeon) -> None:
    """Margins that the output has set do not outlive the old size: vim counts on the terminal having dropped them."""
    place = numbered(warm.directory("taller"))
    wanted = plainly_resized(warm, place)
    window = warm.spawn_tty(*VIM, cwd=place)
    window.wait_for("line 22")
    session = warm.sessions()[-1]
    window.type("\r~d")
    assert window.wait().code == 0
    assert re.search(rb"\x1b\[1;24r", window.raw)
    back = warm.spawn_tty("attach", session.id, size=(80, 40))
    back.wait_true(lambda: "attached" in session.events())
    back.type("gg")
    back.wait_true(lambda: back.emulator.lines[:39] == wanted[:39])
    back.type(":q!\r")
    assert back.wait().code == 0
    assert back.settings() == back.settings_before


def test_brought_back_in_a_taller_window(warm: Pigeon) -> None:
    place = numbered(warm.directory("brought back"))
    wanted = plainly_resized(warm, place)
    window = warm.spawn_plain("bash", "--norc", "-i", env={"PS1": "$ "}, cwd=place)
    window.wait_for(lambda text: text.endswith("$"))
    window.type(shlex.join([str(word) for word in warm.command(*VIM)]) + "\r")
    window.wait_for("line 22")
    window.type("\r~\x1a")
    window.wait_for("Stopped")
    window.resize(80, 40)
    window.type("fg\r")
    window.wait_for("line 38")
    window.type("gg")
    window.wait_true(lambda: window.emulator.lines[:39] == wanted[:39])
    window.type(":q!\r")
    window.wait_for(lambda text: text.endswith("$"))
    window.type("exit\r")
    assert window.wait().code == 0


def entry(term: str) -> Path:
    """The terminfo entry of a type that is installed everywhere."""
    for place in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
        path = Path(place) / term[0] / term
        if path.exists():
            return path
    pytest.skip(f"no terminfo entry `{term}`")


@pytest.mark.parametrize(
    ("term", "known"),
    [
        ("xterm-256color", "xterm-256color"),
        ("xterm-made-up", "xterm-256color"),
        ("alacritty-made-up", "xterm-256color"),
        ("../x/xterm", "xterm-256color"),
    ],
)
def test_the_type_of_the_terminal(warm: Pigeon, term: str, known: str) -> None:
    text = "echo $TERM $COLORTERM; tput colors"
    env = {"TERM": term, "COLORTERM": "truecolor"}
    window = warm.spawn_tty(text, env=env, options=("-v",))
    assert window.wait().code == 0
    assert f"{known} truecolor\n256" in window.text()
    note = f"no terminfo entry `{term}`; TERM is `{known}`"
    assert (note in window.text().replace("\n", "")) == (term != known), window.tell()


def test_without_v_the_fallback_is_silent(warm: Pigeon) -> None:
    window = warm.spawn_tty("echo $TERM", env={"TERM": "xterm-made-up"})
    assert window.wait().code == 0
    assert window.text() == "xterm-256color"


@pytest.mark.parametrize("where", ["TERMINFO", "HOME", "TERMINFO_DIRS"])
def test_a_type_that_only_the_user_has(warm: Pigeon, where: str) -> None:
    """An entry in a directory of his own, which both hosts see."""
    home = warm.directory(f"home {where}")
    place = home / ".terminfo" / "x"
    place.mkdir(parents=True)
    shutil.copy(entry("xterm-256color"), place / "xterm-made-up")
    value = str(home) if where == "HOME" else str(place.parent)
    window = warm.spawn_tty("echo $TERM; tput colors", env={"TERM": "xterm-made-up", where: value})
    assert window.wait().code == 0
    assert window.text().split() == ["xterm-made-up", "256"]
