"""`pigeon top` and `pigeon sessions --watch` on a real terminal; `pigeon ping`."""

from __future__ import annotations

import re
import signal

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import cpu_seconds


@pytest.fixture
def notes(warm: Pigeon) -> Notes:
    return Notes(warm.directory(f"notes-{raw.new_id()}"))


def holding(pigeon: Pigeon, notes: Notes, name: str) -> str:
    """A detached command that runs in a directory of its own; its session's short id."""
    where = pigeon.directory(raw.new_id())
    result = pigeon.run(notes.holding(name), options=("--detach",), cwd=where)
    assert result.code == 0, result.words
    notes.wait_started(name)
    return result.stdout.decode().partition("-")[2][:8]


def test_it_shows_workers_what_runs_and_what_waits(warm: Pigeon, notes: Notes) -> None:
    where = warm.directory(raw.new_id())
    holder, held = warm.begin(notes.holding("top"), cwd=where)
    notes.wait_started("top")
    waiter, waits = warm.begin("echo waiter", cwd=where)
    top = warm.spawn_tty("top", size=(120, 30))
    worker = warm.workers[0].id
    whom = held.id.partition("-")[2][:8]

    def is_shown(text: str) -> bool:
        """All of it, and for whom the second one waits, which is known at the next look."""
        waiting = next((line for line in text.splitlines() if "echo waiter" in line), "")
        return worker in text and "1 running, 1 waiting" in text and whom in waiting

    top.wait_for(is_shown)
    assert "pigeon top · namespace test · 1 worker" in top.text()
    line = next(line for line in top.text().splitlines() if "echo waiter" in line)
    assert waits.id.partition("-")[2][:8] in line
    assert "pending" in line
    notes.release("top")
    top.wait_for("nothing runs or waits", 20)
    assert (holder.wait().code, waiter.wait().code) == (0, 0)
    top.type("q")
    assert top.wait().code == 0
    assert top.settings() == top.settings_before
    assert top.raw.endswith(b"\x1b[?1049l"), "the screen of before is back"
    assert b"\x1b[?25h" in top.raw


def test_keys_choose_read_attach_and_stop(warm: Pigeon, notes: Notes) -> None:
    first, second = holding(warm, notes, "first"), holding(warm, notes, "second")
    top = warm.spawn_tty("top", "--interval=0.2", size=(100, 24))
    top.wait_for(lambda text: first in text and second in text)
    top.type("j")
    top.type("s")
    top.wait_for(f"stop {second}? y / n")
    top.type("n")
    top.wait_for("q quit")
    assert len(warm.commands_left()) >= 2
    top.type("l")
    top.wait_for("Enter goes back to pigeon top")
    top.type("\r")
    top.wait_for("q quit")
    top.type("\r")  # attach; `~d` leaves it again
    top.wait_true(lambda: b"\x1b[?1049l" in top.raw.rpartition(b"\x1b[?1049h")[2])
    top.wait_still(1.0)
    top.type("~d")
    top.wait_for("q quit", 20)
    top.type("sy")
    top.wait_for(lambda text: "cancelled" in text and "1 running" in text, 25)
    assert first in top.text()
    top.type("k")
    top.type("s")
    top.type("y")
    top.wait_for("nothing runs or waits", 25)
    top.type("\x03")
    assert top.wait().code == 0


@pytest.mark.parametrize("columns", [40, 80, 130, 200])
def test_it_fits_the_window_and_follows_it(warm: Pigeon, notes: Notes, columns: int) -> None:
    name = f"long-{columns}"
    where = warm.directory(raw.new_id())
    text = f"echo {'x' * 300} >/dev/null; {notes.holding(name)}"
    result = warm.run(text, options=("--detach",), cwd=where)
    assert result.code == 0, result.words
    notes.wait_started(name)
    top = warm.spawn_tty("top", size=(columns, 20))
    top.wait_for(lambda text: "echo x" in text if columns >= 80 else "running" in text)
    top.wait_for("↑↓ choose"[: columns - 1])
    assert top.emulator.lines[19].startswith("↑↓ choose"), (
        "the last line is the keys', so nothing has scrolled"
    )
    before = len(top.raw)
    top.resize(columns + 20, 10)
    top.wait_true(lambda: len(top.raw) > before and "↑↓ choose" in top.emulator.lines[9])
    top.type("q")
    assert top.wait().code == 0
    notes.release(name)
    warm.wait_quiet()


def test_it_redraws_only_what_differs_and_costs_little(warm: Pigeon, notes: Notes) -> None:
    holding(warm, notes, "quiet")
    top = warm.spawn_tty("top", size=(100, 24))
    top.wait_for("1 running")
    top.wait_still(0.3, 5)
    before, used = len(top.raw), cpu_seconds(top.process.pid)
    top.wait_true(lambda: top.raw[before:].count(b"\x1b[?2026h") > 6, 30)
    drawn = top.raw[before:]
    assert b"\x1b[2J" not in drawn
    looks = drawn.count(b"\x1b[?2026h")
    assert len(drawn) / looks < 400, "a second's change is a line or two"
    assert (cpu_seconds(top.process.pid) - used) / looks < 0.08, "seconds of a core for each look"
    top.type("q")
    assert top.wait().code == 0
    notes.release("quiet")
    warm.wait_quiet()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_in_order(warm: Pigeon, number: int) -> None:
    top = warm.spawn_tty("top")
    top.wait_for("q quit")
    top.process.send_signal(number)
    assert top.wait().code == 128 + number
    assert top.settings() == top.settings_before
    assert top.raw.endswith(b"\x1b[?1049l")


def test_without_a_worker_or_a_terminal(pigeon: Pigeon) -> None:
    top = pigeon.spawn_tty("top")
    top.wait_for("no worker: start `pigeon worker`")
    top.type("q")
    assert top.wait().code == 0
    assert pigeon.run("top").code == 2


def test_programs_of_these_names_still_run(warm: Pigeon) -> None:
    result = warm.run("top", "-b", "-n", "1")
    assert result.code == 0
    assert b"PID" in result.stdout
    assert warm.run("ping", "no-such-host.invalid").code not in (0, 255)


def test_watching_sessions(warm: Pigeon, notes: Notes) -> None:
    short = holding(warm, notes, "watched")
    watch = warm.spawn_tty("sessions", "--watch", "200ms", size=(80, 24))
    watch.wait_for(short)
    notes.release("watched")
    watch.wait_for("no session is pending or running", 20)
    watch.type("q")
    assert watch.wait().code == 0
    assert warm.run("sessions", "--watch").code == 2
    assert warm.run("sessions", "--watch", "--json").code == 2


def test_ping(warm: Pigeon) -> None:
    result = warm.run("ping", "--count=2", "--interval=10ms")
    assert result.code == 0, result.words
    lines = result.stdout.decode().splitlines()
    assert len(lines) == 3
    reply = rf"reply from {re.escape(warm.workers[0].id)} \(pigeon [\d.]+\): [\d.]+ ms"
    assert re.fullmatch(reply, lines[0])
    assert lines[2].startswith("2 of 2 answered: ")
    told = warm.run("history", "--journal", str(warm.journal), "-n0").stdout
    assert b"pigeon ping" not in told


def test_ping_without_an_answer(pigeon: Pigeon) -> None:
    result = pigeon.run("ping", "--count=1", "--timeout=300ms")
    assert result.code == 1
    assert b"no answer" in result.stdout
    (session,) = pigeon.namespace.sessions()
    assert session.status["state"] == "cancelled", "nothing is left that a later worker would run"
