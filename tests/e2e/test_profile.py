"""A login shell's profile that runs another shell in place of the command: said, and no input is executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon


def home_with(pigeon: Pigeon, name: str, **files: str) -> dict[str, str]:
    home = pigeon.directory(name)
    for file, text in files.items():
        (home / f".{file}").write_text(text)
    return {"HOME": str(home)}


@pytest.mark.parametrize(
    "files",
    [
        {"bash_profile": "exec dash -l\n"},
        {"profile": "cd /\nexec sh\n"},
        {"bash_profile": ". ~/.bashrc\n", "bashrc": "exec dash\n"},
    ],
    ids=["bash_profile", "profile", "bashrc"],
)
def test_it_is_said_and_what_is_piped_in_is_not_executed(warm: Pigeon, files: dict[str, str]) -> None:
    env = home_with(warm, f"home {len(str(files))}", **files)
    made: Path = warm.work / "made"
    for _ in range(2):
        result = warm.run("wc -c", stdin=f"touch {made}; echo I am data\n".encode(), env=env)
        assert result.code == 255
        assert result.stdout == b""
        assert "runs another shell in place of the command" in result.words
        assert "$-" in result.words
    assert not made.exists()
    assert warm.run("sh", "-c", "echo hello", env=env).stdout == b"hello\n"


def test_one_that_spares_commands_is_left_alone(warm: Pigeon) -> None:
    text = "case $- in *i*) exec dash;; esac\nexport FROM_PROFILE=yes\n"
    env = home_with(warm, "guarded", bash_profile=text)
    for _ in range(2):
        assert warm.run("cat; echo $FROM_PROFILE", stdin=b"data\n", env=env).stdout == b"data\nyes\n"


def test_the_doctor_finds_it(warm: Pigeon) -> None:
    env = home_with(warm, "for the doctor", bash_profile="exec dash -l\n")
    found = json.loads(warm.run("doctor", "--json", env=env).stdout)
    (line,) = [line for line in found if line["check"] == "profile"]
    assert line["level"] == "FAIL"
    assert "[client] shell" in line["remedy"]
