"""Escapes, terminal modes and frames: bytes in, decisions out."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.client import escapes, link
from pigeon.client.escapes import Escapes
from pigeon.client.modes import Modes


@pytest.mark.parametrize(
    ("typed", "passed", "actions"),
    [
        (b"~.", b"", [escapes.HANG_UP]),
        (b"x~.", b"x~.", []),
        (b"x\r~.", b"x\r", [escapes.HANG_UP]),
        (b"x\n~d", b"x\n", [escapes.DETACH]),
        (b"~~.", b"~.", []),
        (b"~x", b"~x", []),
        (b"~\x1a", b"", [escapes.SUSPEND]),
        (b"~?~?", b"", [escapes.HELP, escapes.HELP]),
        (b"\r~~\r~.", b"\r~\r", [escapes.HANG_UP]),
    ],
)
def test_escapes(typed: bytes, passed: bytes, actions: list[str]) -> None:
    assert Escapes("~").feed(typed) == (passed, actions)
    one = Escapes("~")
    pieces = [one.feed(bytes([byte])) for byte in typed]
    assert b"".join(p for p, _ in pieces) == passed
    assert [a for _, found in pieces for a in found] == actions


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_without_an_escape_character_everything_passes(pieces: list[bytes]) -> None:
    off = Escapes("")
    assert b"".join(off.feed(piece)[0] for piece in pieces) == b"".join(pieces)


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"~", b"")), max_size=10))
def test_bytes_without_the_character_pass(pieces: list[bytes]) -> None:
    on = Escapes("~")
    assert b"".join(on.feed(piece)[0] for piece in pieces) == b"".join(pieces)


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
    ],
)
def test_modes_are_undone_and_nothing_else(output: bytes, reset: bytes) -> None:
    whole = Modes()
    whole.feed(output)
    assert whole.reset() == reset
    split = Modes()
    for byte in output:
        split.feed(bytes([byte]))
    assert split.reset() == reset


@given(st.binary(max_size=300))
def test_modes_survive_any_output(data: bytes) -> None:
    modes = Modes()
    modes.feed(data)
    modes.reset()


def test_frames_survive_a_full_pipe() -> None:
    one, other = link.pair()
    payloads = [os.urandom(70_000) for _ in range(5)]
    for payload in payloads:
        one.send(link.KEYS, payload)
    received: list[bytes] = []
    while len(received) < 5:
        frames = other.receive()
        assert frames is not None
        received += [payload for _, payload in frames]
        one.flush()
    assert received == payloads
    os.close(one.writing)
    assert other.receive() is None
    for fd in (one.reading, other.reading, other.writing):
        os.close(fd)
