"""A megabyte pasted: whole where the program reads it, and no obstacle to Ctrl-C where it does not."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import cpu_seconds, marked
from tests.helpers.terminal import Terminal
from tests.helpers.verbs import runner_of

MEGABYTE = 1024 * 1024
LINES = b"".join(b"%07d %s\n" % (n, b"x" * (n % 70)) for n in range(25_000))[:MEGABYTE] + b"\n"


def cpu_s(pigeon: Pigeon) -> float:
    """Seconds that pigeon's processes other than the scheduler have computed so far."""
    total = 0.0
    for pid, line in marked(pigeon.mark).items():
        if " -m pigeon" in line or "pigeon.pyz" in line or "/pigeon " in line:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                total += cpu_seconds(pid)
    return total


def taken(window: Terminal) -> bool:
    """Pigeon has read all that was pasted."""
    return not window.has_pending


@pytest.mark.slow
def test_into_a_program_that_reads_lines(warm: Pigeon) -> None:
    place = warm.directory("lines")
    window = warm.spawn_tty("echo ready; cat > file", cwd=place)
    window.wait_for("ready")
    window.draws = False  # the echo of a megabyte keeps the emulator busy for long
    window.type(LINES)
    path = place / "file"
    window.wait_true(lambda: taken(window) and path.stat().st_size == len(LINES), 60)
    window.type(b"\x04")
    assert window.wait().code == 0
    assert path.read_bytes() == LINES


@pytest.mark.slow
def test_into_a_raw_program(warm: Pigeon) -> None:
    """Any bytes: three times the interrupt key in a paste is no wish to leave."""
    data = bytes(range(256)) * (MEGABYTE // 256)
    place = warm.directory("raw")
    window = warm.spawn_tty(f"stty raw -echo; echo ready; head -c {len(data)} > file", cwd=place)
    window.wait_for("ready")
    window.type(data)
    assert window.wait(60).code == 0
    assert (place / "file").read_bytes() == data


# A terminal's own buffers hold some 12 kB: these stop in the line discipline, before it, and in pigeon's queue.
@pytest.mark.parametrize("count", [3000, 8000, 20_000, MEGABYTE])
@pytest.mark.parametrize("mode", ["icanon", "-icanon min 1"])
def test_into_a_program_that_does_not_read(warm: Pigeon, count: int, mode: str) -> None:
    window = warm.spawn_tty(
        f"stty {mode}; echo ready; exec sleep 100", cwd=warm.directory(f"no {count} {mode}")
    )
    window.wait_for("ready")
    session = warm.sessions()[-1]
    window.type(LINES[:count])
    window.wait_true(lambda: taken(window), 30)
    path = session.directory / "stdin.jsonl"
    window.wait_true(lambda: path.stat().st_size >= count, 30)  # base64 is longer than what it stands for
    began, used = time.monotonic(), cpu_s(warm)
    window.wait_true(lambda: time.monotonic() - began > 0.5)
    assert cpu_s(warm) - used < 0.4 * (time.monotonic() - began) + 0.1
    window.type(b"\x03")
    assert window.wait(15).code == 130
    assert window.text().endswith("^C")


@pytest.mark.parametrize("mode", ["icanon", "-icanon min 1"])
def test_the_key_in_one_piece_with_what_it_overtakes(warm: Pigeon, mode: str) -> None:
    place = warm.directory(f"piece {mode}")
    window = warm.spawn_tty(f"stty {mode}; echo ready; exec sleep 100", cwd=place)
    window.wait_for("ready")
    window.type(LINES[:30_000] + b"\x03")
    assert window.wait(15).code == 130


def test_what_is_typed_after_the_key_arrives(warm: Pigeon) -> None:
    """The queue is dropped, and only that."""
    text = (
        "trap 'echo got it' INT; echo ready; while :; do sleep 0.05; [ -e gone ] && break; done; cat > file"
    )
    place = warm.directory("after")
    window = warm.spawn_tty(text, cwd=place)
    window.wait_for("ready")
    window.type(LINES[:100_000])
    window.wait_true(lambda: taken(window), 30)
    window.type(b"\x03")
    window.wait_for("^Cgot it")
    (place / "gone").touch()
    window.type(b"the end\n\x04")
    assert window.wait().code == 0
    assert (place / "file").read_bytes() == b"the end\n"


def test_keys_held_down_do_not_leave_a_program_that_answers(warm: Pigeon) -> None:
    """Ten presses at once, into a program that takes them silently."""
    text = "trap : INT; echo ready; until [ -e gone ]; do sleep 0.05; done; exit 3"
    place = warm.directory("held")
    window = warm.spawn_tty(text, cwd=place)
    window.wait_for("ready")
    session = warm.sessions()[-1]
    for _ in range(10):
        window.type(b"\x03")
    window.wait_true(lambda: '"ack"' in (session.directory / "stream.jsonl").read_text())
    (place / "gone").touch()
    assert window.wait().code == 3


GIANT = 20
"""Megabytes: more than a runner holds."""


def paste_giant(window: Terminal) -> None:
    """In pieces, since the window copies what it has not typed yet with every write."""
    for start in range(0, GIANT * len(LINES), 1 << 16):
        place = start % len(LINES)
        piece = (LINES + LINES)[place : place + min(1 << 16, GIANT * len(LINES) - start)]
        window.type(piece)
        window.wait_true(lambda: taken(window), 30)


def largest(pid: int) -> int:
    """The most bytes of memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (text,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return 1024 * int(text)


@pytest.mark.slow
def test_a_key_behind_more_than_a_runner_holds(warm: Pigeon) -> None:
    window = warm.spawn_tty("stty -echo; echo ready; exec sleep 1000", cwd=warm.directory("giant"))
    window.wait_for("ready")
    session = warm.sessions()[-1]
    paste_giant(window)
    window.wait_true(lambda: (session.directory / "stdin.jsonl").stat().st_size > 1.3 * GIANT * MEGABYTE, 60)
    assert largest(runner_of(warm, session)) < 120 * MEGABYTE
    window.type(b"\x03")
    assert window.wait(15).code == 130


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["-icanon -echo", "raw -echo"])
def test_more_than_a_runner_holds_arrives_whole(warm: Pigeon, mode: str) -> None:
    """The program reads only when all of it has been typed."""
    place = warm.directory(f"whole {mode}")
    read = f"head -c {GIANT * len(LINES)} > file"
    window = warm.spawn_tty(
        f"stty {mode}; echo ready; until [ -e gone ]; do sleep 0.05; done; {read}", cwd=place
    )
    window.wait_for("ready")
    session = warm.sessions()[-1]
    paste_giant(window)
    window.wait_true(lambda: (session.directory / "stdin.jsonl").stat().st_size > 1.3 * GIANT * MEGABYTE, 60)
    (place / "gone").touch()
    assert window.wait(60).code == 0
    assert (place / "file").read_bytes() == GIANT * LINES


SMALL_WINDOWS = """
import sys
from pigeon.client.session import departure, upstream
from pigeon.client.terminal import guardian
upstream.KEYBOARD_BYTES = 1 << 19
guardian.KEYBOARD_BYTES = 1 << 18
departure.TAKEN_BYTES = 1 << 14
from pigeon.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_full_window_holds_the_keyboard_back(warm: Pigeon) -> None:
    """A client with smaller windows, so that the test is quick: the share gets no more, and nothing is lost."""
    place = warm.directory("held back")
    script = place / "small.py"
    script.write_text(SMALL_WINDOWS)
    text = f"stty raw -echo; echo ready; until [ -e gone ]; do sleep 0.02; done; head -c {len(LINES)} > file"
    window = warm.spawn_plain(sys.executable, str(script), text, cwd=place)
    window.wait_for("ready")
    session = warm.sessions()[-1]
    window.type(LINES)
    path = session.directory / "stdin.jsonl"
    window.wait_true(lambda: path.stat().st_size >= 1 << 19, 30)
    began = time.monotonic()
    window.wait_true(lambda: time.monotonic() - began > 0.5)
    assert window.has_pending, "the terminal holds the rest"
    assert path.stat().st_size < (1 << 19) + (1 << 17)
    (place / "gone").touch()
    assert window.wait(60).code == 0
    assert (place / "file").read_bytes() == LINES
