"""The user's terminal settings go along: the command finds the keys and switches that it would find here."""

from __future__ import annotations

import fcntl
import os
import shlex
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Word
from tests.helpers.terminal import Terminal

WINDOW = struct.Struct("HHHH")
SHOW_WINDOW = (
    f"{sys.executable} -c 'import fcntl, struct, termios;"
    ' print(*struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))))\''
)

WATCH_WINDOW = """
import fcntl, os, struct, termios, time
shown = b""
while not os.path.exists("gone"):
    now = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
    if now != shown:
        print(*struct.unpack("HHHH", now), flush=True)
    shown = now
    time.sleep(0.02)
"""


def after(stty: str, argv: list[Word]) -> list[Word]:
    """A program in a terminal that has been set so."""
    return ["sh", "-c", 'stty $0 && exec "$@"', stty, *argv]


def settings(pigeon: Pigeon, stty: str, place: Path, *, through: bool) -> str:
    """What `stty -a` says about a terminal that has been set so."""
    text = "stty -a > found"
    argv: list[Word] = pigeon.command(text) if through else ["bash", "-lc", text]
    window = pigeon.spawn_plain(*after(stty, argv), cwd=place, size=(93, 27))
    assert window.wait().code == 0, window.tell()
    found = (place / "found").read_text()
    (place / "found").unlink()
    return found


@pytest.mark.parametrize(
    "stty",
    [
        "sane",
        "sane -iutf8",
        "sane iutf8",
        "erase ^H intr ^X -ixon susp ^Y",
        "quit undef kill ^A eol ^B eol2 ^E start ^F stop ^G rprnt ^I werase ^K lnext ^L discard ^N swtch ^P eof ^T",
        "ixany ixoff -imaxbel inlcr -icrnl igncr iuclc istrip inpck parmrk ignpar brkint ignbrk",
        "-onlcr ocrnl onocr onlret olcuc -tabs",
        "-echoe -echok echonl -echoctl -echoke echoprt noflsh tostop -iexten xcase",
        "raw -echo",
        "-icanon -echo -isig",
    ],
)
def test_the_same_as_plainly(warm: Pigeon, stty: str) -> None:
    place = warm.directory(f"settings {stty}")
    assert settings(warm, stty, place, through=True) == settings(warm, stty, place, through=False)


def test_what_belongs_to_a_reading_program_stays_here(warm: Pigeon) -> None:
    """With these a shell over there would read nothing and end."""
    found = settings(warm, "-icanon min 0 time 7", warm.directory("min"), through=True)
    assert "-icanon" in found and "min = 1; time = 0;" in found


def type_into(warm: Pigeon, stty: str, text: str, keys: str) -> tuple[Terminal, Path]:
    """A command that has said `ready` and then got `keys`, and where it runs."""
    place = warm.directory(f"keys {stty}")
    window = warm.spawn_plain(*after(stty, warm.command(f"echo ready; {text}")), cwd=place)
    window.wait_for("ready")
    window.type(keys)
    return window, place


def test_a_backspace_that_is_control_h(warm: Pigeon) -> None:
    window, place = type_into(warm, "erase ^H", "cat > got", "abX\bc\r\x04")
    assert window.wait().code == 0
    assert (place / "got").read_bytes() == b"abc\n"
    assert window.settings()[6][termios.VERASE] == b"\b"


def test_control_s_is_a_key_like_others_without_ixon(warm: Pigeon) -> None:
    window, place = type_into(warm, "-ixon", "cat > got; echo over", "a\x13b\r\x04")
    window.wait_for("over")
    assert window.wait().code == 0
    assert (place / "got").read_bytes() == b"a\x13b\n"


def test_another_key_interrupts(warm: Pigeon) -> None:
    window, _ = type_into(warm, "intr ^X", "exec sleep 100", "\x18")
    assert window.wait().code == 130


def test_what_a_shell_s_line_editor_has_set_stays_here(warm: Pigeon) -> None:
    place = warm.directory("background")
    words = map(os.fsdecode, warm.command("stty -a > part; mv part found"))
    (place / "go").write_text(f"exec {shlex.join(words)}")
    window = warm.spawn_plain("bash", "--norc", "-i", cwd=place, env={"PS1": "$ "})
    window.wait_for("$")
    window.type("sh go &\r")
    window.wait_true((place / "found").exists, 30)
    window.type("wait\rexit\r")
    window.wait()
    found = (place / "found").read_text()
    assert {"icanon", "echo", "icrnl"} <= set(found.split()), found


def test_nothing_of_it_without_a_terminal(warm: Pigeon) -> None:
    for options in ((), ("-t",)):
        assert warm.run("true", options=options).code == 0
        request = warm.sessions()[-1].json("request.json")
        assert request is not None and "modes" not in request["terminal"]


MALFORMED: list[dict[str, Any]] = [
    {},
    {"modes": None},
    {"modes": 7},
    {"modes": ["erase", 8]},
    {"modes": {"erase": True, "echo": 0, "icanon": "no", "intr": 256, "quit": -1, "eof": 4.5, "kill": None}},
    {"modes": {"": 3, "VMIN": 0, "min": 0, "time": 9, "ispeed": 0, "cs7": True, "extproc": True, "x": {}}},
]


@pytest.mark.parametrize("terminal", MALFORMED)
def test_what_makes_no_sense_changes_nothing(warm: Pigeon, terminal: dict[str, Any]) -> None:
    """The first is an older client's."""
    found = by_hand(warm, "stty -a", terminal)
    assert "erase = ^?;" in found and "intr = ^C;" in found
    assert {"icanon", "echo", "isig", "iutf8", "opost"} <= set(found.split())
    assert "min = 1; time = 0;" in found and "speed 38400 baud" in found and "cs8" in found


def test_the_rest_of_a_half_malformed_request_counts(warm: Pigeon) -> None:
    modes = {"erase": 8, "intr": 0, "kill": "x", "iutf8": False, "future": True}
    found = by_hand(warm, "stty -a", {"modes": modes})
    assert "erase = ^H;" in found and "intr = <undef>;" in found and "kill = ^U;" in found
    assert "-iutf8" in found


@pytest.mark.parametrize(
    ("pixels", "seen"),
    [
        ({}, (0, 0)),
        ({"xpixel": 900, "ypixel": 400}, (900, 400)),
        ({"xpixel": 900}, (0, 0)),
        ({"xpixel": 900, "ypixel": 65536}, (0, 0)),
        ({"xpixel": -1, "ypixel": 400}, (0, 0)),
        ({"xpixel": "900", "ypixel": [400]}, (0, 0)),
    ],
)
def test_pixels_in_a_request(warm: Pigeon, pixels: dict[str, Any], seen: tuple[int, int]) -> None:
    found = by_hand(warm, SHOW_WINDOW, {"size": {"cols": 90, "rows": 20, **pixels}})
    assert tuple(map(int, found.split())) == (20, 90, *seen)


def by_hand(pigeon: Pigeon, text: str, terminal: dict[str, Any]) -> str:
    """The output of a session whose request has this `terminal`."""
    whole = {"stdin_isatty": True, "stdout_isatty": True, "size": None, **terminal}
    session = raw.publish(pigeon, text, terminal=whole)
    assert session.wait_final()["exit_code"] == 0, session.output()
    return session.output().decode()


def test_pixels_follow_the_window(warm: Pigeon) -> None:
    place = warm.directory("pixels")
    (place / "watch.py").write_text(WATCH_WINDOW)
    text = f"{sys.executable} watch.py"
    first = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSWINSZ, bytes.fromhex(sys.argv[1]));"
    first += "os.execvp(sys.argv[2], sys.argv[2:])"
    size = WINDOW.pack(24, 80, 800, 480).hex()
    window = warm.spawn_plain(sys.executable, "-c", first, size, *warm.command(text), cwd=place)
    window.wait_for("24 80 800 480")
    fd = os.open(f"/proc/{window.process.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
    try:
        for now in ((30, 90, 1080, 720), (20, 70, 0, 0)):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, WINDOW.pack(*now))
            window.wait_for(" ".join(map(str, now)))
    finally:
        os.close(fd)
    (place / "gone").touch()
    assert window.wait().code == 0
