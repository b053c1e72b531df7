"""What a newcomer copies from the pages works word for word, and the picture shows what a run shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon import __version__
from tests.helpers.journals import ROOT
from tests.helpers.pigeon import Pigeon

PAGES = ("README.md", "pigeon/README.zh-CN.md", "pigeon/docs/recipes.md")
BLOCK = re.compile(r"<!-- run by a test: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
BLOCKS = [
    (page, *found) for page in PAGES for found in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
]
ANY_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def command(pigeon: Pigeon) -> Path:
    """A directory with `pigeon` in it, as after an installation."""
    place = pigeon.base / "bin"
    place.mkdir(exist_ok=True)
    script = place / "pigeon"
    script.write_text(f'#!/bin/sh\nexec {" ".join(map(str, pigeon.command()))} "$@"\n')
    script.chmod(0o755)
    return place


WANTED = {
    "use": ["{work}", "I am {host}", "7", "./notes.txt", "pwd"],
    "loops": ["one\ntwo", "1", "2", "3"],
    "long": ["done"],
}


@pytest.mark.parametrize(("page", "name", "text"), BLOCKS, ids=[f"{page}:{name}" for page, name, _ in BLOCKS])
def test_a_block_runs_word_for_word(pigeon: Pigeon, page: str, name: str, text: str) -> None:
    (pigeon.work / "notes.txt").touch()
    pigeon.worker()
    env = {"PATH": f"{command(pigeon)}:{pigeon.env()['PATH']}", "PIGEON_JOURNAL": str(pigeon.journal)}
    done = pigeon.start_process("bash", "-c", text, env=env).wait(90)
    assert done.code == 0, f"{page}: {done.words}"
    assert done.words == ""
    shown = done.stdout.decode()
    for wanted in WANTED[name]:
        assert wanted.format(work=pigeon.work, host=os.uname().nodename) in shown, shown


def test_the_start_of_the_readme(pigeon: Pigeon) -> None:
    """The lines under Start, with another place for the share; the worker in the background, as a second terminal."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (start,) = [block for block in ANY_BLOCK.findall(readme) if "pigeon worker" in block]
    share = pigeon.base / "shared"
    text = start.replace("/shared/pigeon", str(share))
    *before, worker = text.strip().splitlines()
    assert worker.startswith("pigeon worker")
    script = "\n".join([*before, "pigeon worker & trap 'kill %1; wait' EXIT", "pigeon pwd"])
    env = {
        "PATH": f"{command(pigeon)}:{pigeon.env()['PATH']}",
        "PIGEON_CONFIG": "",
        "PIGEON_JOURNAL": str(pigeon.journal),
    }
    env = {**env, "PIGEON_CONFIG": str(pigeon.base / "empty.toml")}
    (pigeon.base / "empty.toml").write_text("")
    done = pigeon.start_process("bash", "-c", script, env=env).wait(60)
    assert done.stdout.decode().strip() == str(pigeon.work), done.words
    assert share.stat().st_mode & 0o777 == 0o700


def test_what_is_written_about_the_versions(pigeon: Pigeon) -> None:
    assert pigeon.run("-V").stdout.decode() == f"pigeon {__version__}\n"


@pytest.mark.slow
def test_the_picture_shows_what_a_run_shows() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "picture", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
