"""Pigeon inside a session runs its command in place: it is already where it wants to be."""

from __future__ import annotations

from tests.helpers.pigeon import Pigeon
from tests.helpers.surroundings import PIGEON


def test_it_runs_in_place(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)  # a second session could never run: the first holds the slot and the directory
    result = pigeon.run(f"{PIGEON} 'echo inner; echo err >&2; exit 6'; echo code $?", timeout_s=20)
    assert result == (b"inner\ncode 6\n", b"err\n", 0)
    assert len(pigeon.sessions()) == 1


def test_three_levels_with_input(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    result = pigeon.run(f"{PIGEON} {PIGEON} {PIGEON} cat", stdin=bytes(range(256)), timeout_s=20)
    assert (result.stdout, result.code) == (bytes(range(256)), 0)


def test_a_fatal_signal_inside(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    assert pigeon.run(f"{PIGEON} 'exec sh -c \"kill -9 \\$\\$\"'; exit $?", timeout_s=20).code == 137


def test_it_stays_in_the_directory_that_it_is_called_in(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    assert pigeon.run(f"cd / && {PIGEON} pwd", timeout_s=20).stdout == b"/\n"


def test_the_terminal_stays_the_terminal(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    window = pigeon.spawn_tty(f"{PIGEON} 'test -t 0 && test -t 1 && stty size'", size=(91, 31))
    assert window.wait().code == 0
    assert window.text() == "31 91"
