"""A login shell's profile that runs another shell in place of the command: said, and no input is executed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pigeon.worker.profile import PATIENCE_S
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


def test_one_that_only_speaks_of_it_is_read_once(warm: Pigeon) -> None:
    text = "# executed by bash(1); exec it not\n[ $# -lt 9 ] && echo read >>~/read  # exec\n"
    env = home_with(warm, "speaks", profile=text)
    assert warm.run("echo hello", env=env).stdout == b"hello\n"
    assert Path(env["HOME"], "read").read_text() == "read\n"


def test_what_a_profile_leaves_running_is_not_waited_for(warm: Pigeon) -> None:
    text = "test -e ~/first || { touch ~/first; sleep 60 & echo $! >~/left; }\nif false; then exec dash; fi\n"
    env = home_with(warm, "leaves", profile=text)
    client, session = warm.begin("echo hello", env=env)
    assert client.wait(30).stdout == b"hello\n"
    row = warm.journal_row(session.id)
    assert row and row["started_at"] - row["claimed_at"] < PATIENCE_S
    os.kill(int(Path(env["HOME"], "left").read_text()), signal.SIGKILL)


def test_the_doctor_finds_it(warm: Pigeon) -> None:
    env = home_with(warm, "for the doctor", bash_profile="exec dash -l\n")
    found = json.loads(warm.run("doctor", "--json", env=env).stdout)
    (line,) = [line for line in found if line["check"] == "profile"]
    assert line["level"] == "FAIL"
    assert "[client] shell" in line["remedy"]
