"""The harness itself: it finds what is left, shows what it knows, and its terminal answers as a terminal does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.emulator import Emulator
from tests.helpers.pigeon import Pigeon, pigeon_in
from tests.helpers.processes import marked
from tests.helpers.waiting import wait_until


def test_what_is_left_behind_fails_the_test(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="processes left behind"),
        pigeon_in(tmp_path, lambda: False) as made,
    ):
        made.start_process("bash", "-c", "setsid sleep 60 & echo $!").wait()
    assert marked(made.mark) == {}


def test_what_is_left_behind_is_tidied_up(pigeon: Pigeon) -> None:
    pigeon.start_process("sleep", "60")
    pigeon.spawn_plain("sleep", "60")
    pigeon.start_process("bash", "-c", "setsid sleep 60 &").wait()
    assert len(pigeon.tidy()) == 3
    assert marked(pigeon.mark) == {}
    assert pigeon.tidy() == []


def test_a_client_that_still_runs_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="still running"), pigeon_in(tmp_path, lambda: False) as made:
        made.start_process("sleep", "60")
    assert marked(made.mark) == {}


def test_a_traceback_in_a_log_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a traceback"), pigeon_in(tmp_path, lambda: False) as made:
        made.start_process("bash", "-c", "echo 'Traceback (most recent call last)' >&2").wait()


def test_a_failed_wait_shows_what_is_known(pigeon: Pigeon) -> None:
    pigeon.start_process("echo", "in the log").wait()
    (pigeon.share.client_path / "evidence").write_text("in the share")
    with pytest.raises(AssertionError) as failure:
        wait_until(lambda: False, 0.05, "what never comes")
    for text in ("what never comes", "in the log", "in the share"):
        assert text in str(failure.value)


def test_nothing_of_the_machines_own_pigeon_is_seen(pigeon: Pigeon) -> None:
    assert [name for name in os.environ if name.startswith("PIGEON_") and "_TEST_" not in name] == []
    assert os.listdir(os.environ["HOME"]) == []
    assert {name for name in pigeon.env() if name.startswith("PIGEON_")} == {"PIGEON_CONFIG"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (b"\x1b[6n", b"\x1b[1;1R"),
        (b"ab\r\ncd\x1b[6n", b"\x1b[2;3R"),
        (b"\x1b[c", b"\x1b[?6c"),
        (b"\x1b[>c", b"\x1b[>0;10;1c"),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:1414/1414/1414\x1b\\"),
        (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
        (b"\x1b[?2026$p", b"\x1b[?2026;0$y"),
    ],
)
def test_the_terminal_answers(question: bytes, answer: bytes) -> None:
    whole = Emulator()
    assert whole.feed(question) == answer
    split = Emulator()
    assert b"".join(split.feed(question[n : n + 1]) for n in range(len(question))) == answer
    assert split.text == whole.text


def test_the_terminal_draws_no_control_strings() -> None:
    emulator = Emulator()
    emulator.feed(b"a\x1bP+q544e\x1b\\b\x1b[>4;2mc\x1b[2 qd\x1b]2;title\x07e\x1b[?1004hf\x1b=g")
    assert emulator.text == "abcdefg"
    assert not any(any(cell.attributes) for row in emulator.cells() for cell in row)


def test_a_program_in_a_window(pigeon: Pigeon) -> None:
    window = pigeon.spawn_plain("bash", "-c", "stty size; tty; read x; echo got $x; exit 3", size=(70, 20))
    window.wait_for("20 70")
    window.type("typed\r")
    assert window.wait().returncode == 3
    assert "got typed" in window.text()
