"""Between the user's terminal and a program every byte passes unchanged, both ways, and questions are answered."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.terminal import Terminal

RAW = "stty raw -echo; echo ready; "
ALL = bytes(range(256))
SEQUENCES = {
    "clipboard": b"\x1b]52;c;aGVsbG8=\x07\x1b]52;c;\x1b\\",
    "kitty keys": b"\x1b[>1u\x1b[=5;1u\x1b[?u\x1b[<u\x1b[97;5u\x1b[57358;1:3u",
    "pasting": b"\x1b[?2004h\x1b[200~one\rtwo\x1b[201~\x1b[?2004l",
    "mouse": b"\x1b[?1003;1006h\x1b[<0;10;20M\x1b[<0;10;20m\x1b[M !!\x1b[?1003;1006l",
    "focus": b"\x1b[?1004h\x1b[I\x1b[O\x1b[?1004l",
    "colours": b"\x1b[38;2;1;2;3m\x1b[48:2::1:2:3m\x1b[4:3m\x1b[0m",
    "drawing at once": b"\x1b[?2026h\x1b[2J\x1b[?2026l",
    "pictures": b"\x1bPq#0;2;0;0;0#0~~@@vv@@~~@@~~$\x1b\\\x1b_Ga=T,f=24;AAAA\x1b\\",
    "titles": b"\x1b]0;t\xc3\xaftle\x07\x1b[22;0t\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\",
    "the other screen": b"\x1b[?1049h\x1b[2J\x1b[?1049l\x1b7\x1b8",
    "eight-bit controls": b"\x9b31m\x9d0;t\x9c\x90q\x9c",
}


def typed(window: Terminal, place: Path, data: bytes) -> bytes:
    """What a program that wants as many bytes has read of `data`."""
    window.wait_for("ready")
    window.type(data)
    path = place / "read"
    window.wait_true(path.exists, 20)
    return path.read_bytes()


def a_reader(count: int) -> str:
    """Text of a program that reads so many bytes raw and then puts them into the file `read`."""
    return f"{RAW} head -c {count} > part; mv part read"


def test_every_byte_reaches_the_program(warm: Pigeon) -> None:
    data = ALL + ALL[::-1] + b"\x03\x03\x03\x1a\x1c\x04\x11\x13" + bytes([0] * 40) + b"\r\n\r\r\n\n"
    place = warm.directory("typed")
    window = warm.spawn_tty(a_reader(len(data)), cwd=place)
    assert typed(window, place, data) == data
    assert window.wait().code == 0
    assert window.settings() == window.settings_before


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_reach_the_program(warm: Pigeon, name: str) -> None:
    data = SEQUENCES[name]
    place = warm.directory(f"typed {name}")
    window = warm.spawn_tty(a_reader(len(data)), cwd=place)
    assert typed(window, place, data) == data
    assert window.wait().code == 0


def test_what_the_program_writes_reaches_the_terminal(warm: Pigeon) -> None:
    """All bytes in two orders, and every sequence; the terminal gets exactly that."""
    data = ALL + ALL[::-1] + b"".join(SEQUENCES.values()) + "\u00fc\u4e16\U0001f426".encode() * 1000
    place = warm.directory("written")
    (place / "data").write_bytes(data)
    # Without echo: the data asks the terminal things, and its answers may come before the end.
    window = warm.spawn_tty("stty -opost -echo; cat data", cwd=place)
    assert window.wait().code == 0
    assert has_got(window, data), difference(window.raw, data)


def difference(found: bytes, wanted: bytes) -> str:
    """In a few words: pytest's own comparison of so many bytes takes minutes."""
    at = next(
        (n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
        min(len(found), len(wanted)),
    )
    return (
        f"{len(found)} bytes of {len(wanted)}, at {at}: {found[at : at + 60]!r} for {wanted[at : at + 60]!r}"
    )


def has_got(window: Terminal, wanted: bytes) -> bool:
    """Whether the terminal has got exactly that."""
    return window.raw == wanted


def test_characters_split_anywhere(warm: Pigeon) -> None:
    """Each byte of a character and of a sequence in a write, and a key press, of its own."""
    text = "\u00fc\u4e16\U0001f426\x1b[31mred\x1b[0m\x1b]0;t\u00fc\x07".encode()
    program = (
        "import os, sys, time, tty; tty.setraw(0); os.write(1, b'ready')\n"
        f"for i in range({len(text)}):\n"
        "    data = os.read(0, 1); os.write(1, data)\n"
    )
    window = warm.spawn_tty(f"exec /usr/bin/python3 -c {shlex.quote(program)}")
    window.wait_for("ready")
    for position in range(len(text)):
        window.type(text[position : position + 1])
        window.wait_true(partial(has_got, window, b"ready" + text[: position + 1]))
    assert window.wait().code == 0


QUESTIONS = {
    "cursor": (b"\x1b[6n", b"R"),
    "foreground": (b"\x1b]10;?\x1b\\", b"\\"),
    "background": (b"\x1b]11;?\x1b\\", b"\\"),
    "device": (b"\x1b[c", b"c"),
    "second device": (b"\x1b[>c", b"c"),
    "kitty": (b"\x1b[?u", b"u"),
    "mode": (b"\x1b[?2026$p", b"y"),
}

ASKING = """
import os, select, sys, time, tty
tty.setraw(0)
for question, last in {questions!r}:
    os.write(1, question)
    asked, answer = time.monotonic(), b""
    while not answer.endswith(last) and select.select([0], [], [], 8)[0]:
        answer += os.read(0, 100)
    os.write(1, b"%s answered by %s after %d ms\\r\\n" % (
        repr(question).encode(), repr(answer).encode(), (time.monotonic() - asked) * 1000))
os.write(1, b"done\\r\\n")
"""


def test_questions_are_answered(warm: Pigeon) -> None:
    place = warm.directory("asking")
    (place / "ask.py").write_text(ASKING.format(questions=list(QUESTIONS.values())))
    window = warm.spawn_tty("exec /usr/bin/python3 ask.py", cwd=place)
    assert window.wait().code == 0
    text = window.text()
    assert text.count(" answered by ") == len(QUESTIONS), text
    assert "answered by b''" not in text, text


LATE = [b"\x1b[6n", b"\x1b]11;?\x1b\\\x1b]10;?\x1b\\", b"\x1b[c\x1b[>c\x1b[?u"]


@pytest.mark.parametrize("questions", LATE)
def test_answers_after_the_end_do_not_reach_the_shell(warm: Pigeon, questions: bytes) -> None:
    """The program ends without waiting, and the terminal is slow; the shell reads a line after that."""
    place = warm.directory(f"late{LATE.index(questions)}")
    (place / "question").write_bytes(questions)
    command = shlex.join([str(word) for word in warm.command("cat question")])
    known = warm.namespace.session_names()
    window = warm.spawn_plain("bash", "-c", f'{command}; echo over; read -r line; echo "[$line]"', cwd=place)
    warm.wait_session(known).wait_event("exit")  # nobody has looked at the terminal's output until now
    window.wait_for("over")
    window.type("mine\r")
    assert window.wait().code == 0
    assert window.text().splitlines()[-1] == "[mine]", window.tell()
