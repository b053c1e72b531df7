"""`pigeon worker --debug`: which lines are coloured, and what a preview shows."""

from __future__ import annotations

import pytest

from pigeon.worker.debug import PREVIEW_BYTES, Debug, preview, wants_colour


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
    ],
)
def test_colour(environ: dict[str, str], is_terminal: bool, expected: bool) -> None:
    assert wants_colour(environ, is_terminal) is expected


@pytest.mark.parametrize("kind", ["queue", "lock", "input", "output", "signal", "success", "failure"])
def test_each_kind_has_a_colour_of_its_own(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    Debug(enabled=True, environ={"FORCE_COLOR": "1"}).say(kind, "text")
    line = capfd.readouterr().err
    assert kind in line and line.startswith("\x1b[") and line.endswith("text\x1b[0m\n")


def test_nothing_is_said_unasked(capfd: pytest.CaptureFixture[str]) -> None:
    quiet = Debug(enabled=False, environ={"FORCE_COLOR": "1"})
    quiet.say("queue", "text")
    assert quiet.bytes_of("id", "input") is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"hi\n", '3 bytes  68 69 0a  "hi\\n"'),
        (b"\x1b[31m", '5 bytes  1b 5b 33 31 6d  "\\x1b[31m"'),
        (b"\xff", '1 bytes  ff  "\\xff"'),
    ],
)
def test_previews_show_length_hex_and_safe_text(data: bytes, shown: str) -> None:
    assert preview(data) == shown


def test_a_preview_is_short() -> None:
    assert (
        preview(b"x" * 10_000).startswith("10000 bytes") and len(preview(b"x" * 10_000)) < 5 * PREVIEW_BYTES
    )
