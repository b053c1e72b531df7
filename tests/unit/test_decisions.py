"""What the client decides about the terminal, without one: modes to undo, questions, and when Ctrl-C means leave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.client.session.modes import Modes, without_questions
from pigeon.client.terminal.giveup import PRESSES, UNANSWERED_S, WITHIN_S, GiveUp


@pytest.mark.parametrize(
    ("output", "reset"),
    [
        (b"plain", b""),
        (b"\x1b[?1049h\x1b[?25l", b"\x1b[?1049l\x1b[?25h"),
        (b"\x1b[?1049h\x1b[?1049l", b""),
        (b"\x1b[?1000;1006h", b"\x1b[?1000l\x1b[?1006l"),
        (b"\x1b[?2004h", b"\x1b[?2004l"),
        (b"\x1b[>1u", b"\x1b[<1u"),
        (b"\x1b[>1u\x1b[<u", b""),
        (b"\x1b[1;31mred", b"\x1b[m"),
        (b"\x1b[1;31mred\x1b[0m", b""),
        (b"\x1b[?1004h\x1bc", b""),
        (b"\x1b=", b"\x1b>"),
        (b"\x1b[>4;2m", b"\x1b[>4m"),
        (b"\x1b[>4;2m\x1b[>4;m", b""),
        (b"\x1b[>1u\x1b[?1049h\x1b[>5u", b"\x1b[<1u\x1b[?1049l\x1b[<1u"),
        (b"\x1b[>1u\x1b[>2u\x1b[<u", b"\x1b[<1u"),
        (b"\x1b[>1u\x1b[<5u", b""),
        (b"\x1b[=5u", b"\x1b[<1u"),
        (b"\x1b[5 q", b"\x1b[0 q"),
        (b"\x1b[5 q\x1b[ q", b""),
        (b"\x1b[3;10r", b"\x1b7\x1b[r\x1b8"),
        (b"\x1b[3;10r\x1b[r", b""),
        (b"\x1b(0qqq", b"\x1b(B"),
        (b"\x1b(0qqq\x1b(B", b""),
        (b"\x1b[1m\x0e", b"\x0f\x1b[m"),
        (b"\x1b]11;#ff0000\x07", b"\x1b]111\x1b\\"),
        (b"\x1b]11;#ff0000\x07\x1b]111\x07", b""),
        (b"\x1b[?7l\x1b[4h", b"\x1b[4l\x1b[?7h"),
        (b"\x1b[?7l\x1b[4h\x1b[!p", b""),
        (b"\x1b]0;title\x07\x1b[2 q\x1bc", b""),
        (b"\x1b[?1001s\x1b[?1001h\x1b[?1001r", b""),
        (b"\x1b[?1h\x1b[?1s\x1b[?1l\x1b[?1r", b"\x1b[?1l"),
        (b"\x1b[s\x1b[u\x1b[1;2H\x1b[0K", b""),
    ],
)
def test_what_is_undone(output: bytes, reset: bytes) -> None:
    whole, split = Modes(), Modes()
    whole.feed(output)
    for byte in output:
        split.feed(bytes([byte]))
    assert (whole.reset(), split.reset()) == (reset, reset)


@given(st.binary(max_size=300))
def test_modes_survive_any_output(data: bytes) -> None:
    modes = Modes()
    modes.feed(data)
    modes.reset()


QUESTIONS = (
    b"\x1b[6n",
    b"\x1b[c",
    b"\x1b[>c",
    b"\x1b[=c",
    b"\x1b[?u",
    b"\x1b[>q",
    b"\x1b[?2026$p",
    b"\x1b[14t",
    b"\x1bZ",
    b"\x1b]11;?\x1b\\",
    b"\x1b]4;1;?\x07",
    b"\x1bP+q544e\x1b\\",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_are_counted_and_not_repeated(question: bytes) -> None:
    whole, split = Modes(), Modes()
    whole.feed(b"a" + question + b"b")
    for byte in question:
        split.feed(bytes([byte]))
    assert (whole.questions, split.questions) == (1, 1)
    again = Modes()
    shown = without_questions(b"a\x1b[31m" + question + b"b\x1b[2J")
    again.feed(shown)
    assert again.questions == 0
    assert shown.startswith(b"a\x1b[31m") and shown.endswith(b"b\x1b[2J")


@pytest.mark.parametrize(
    "output", [b"\x1b[31m", b"\x1b[2J", b"\x1b[>4;1m", b"\x1b]0;why?\x07", b"\x1b[22;0t"]
)
def test_what_is_no_question(output: bytes) -> None:
    modes = Modes()
    modes.feed(output)
    assert modes.questions == 0
    assert without_questions(output) == output


def test_a_state_is_put_on_again() -> None:
    on = b"\x1b[>1u\x1b[?1049h\x1b[?2004h\x1b[?1000;1006h\x1b[?25l\x1b=\x1b[>4;2m\x1b[2;9r\x1b[?7l"
    first, second = Modes(), Modes()
    first.feed(on)
    second.feed(first.apply(margins=True))
    assert second.reset() == first.reset()
    unmargined = Modes()
    unmargined.feed(first.apply())
    assert unmargined.reset() == first.reset().replace(b"\x1b7\x1b[r\x1b8", b"")
    second.feed(first.reset())
    assert (second.reset(), second.apply()) == (b"", b"")


def test_when_the_user_wants_to_leave() -> None:
    wish = GiveUp()
    for number in range(PRESSES - 1):
        wish.pressed(0.1 * number)
        assert wish.due(0.1 * number) is None
    wish.pressed(0.3)
    assert wish.due(0.3) == pytest.approx(UNANSWERED_S - 0.3)
    wish.pressed(1.0)  # more presses do not put it off
    assert wish.due(UNANSWERED_S) == 0.0


def test_an_answer_takes_the_wish_away() -> None:
    wish = GiveUp()
    for _ in range(PRESSES):
        wish.pressed(0.0)
    wish.answered()
    assert wish.due(UNANSWERED_S) is None


def test_presses_far_apart_are_no_wish() -> None:
    wish = GiveUp()
    for number in range(10):
        wish.pressed(number * WITHIN_S)
        assert wish.due(number * WITHIN_S) is None
