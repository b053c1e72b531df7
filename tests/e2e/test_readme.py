"""What a newcomer copies from the pages works word for word, and the picture shows what a run shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon import __version__
from tests.helpers.journals import ROOT
from tests.helpers.pigeon import Pigeon

ENGLISH = ["README.md", *(f"pigeon/docs/{path.name}" for path in sorted((ROOT / "pigeon/docs").glob("*.md")))]
BLOCK = re.compile(r"<!-- run by a test: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
BLOCKS = [
    (page, *found)
    for page in (*ENGLISH, "pigeon/README.zh-CN.md")  # a translation has the same blocks
    for found in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    if found[0]
    not in ("drain", "sbatch")  # test_service.py has a worker to drain, engine/test_docs.py an engine
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
    "words": ["a  b c;d\n1\n2\n{host}\nhello\n"],
    "scripting": ["failed with 2\n", "1 {work}\n"],
}

LEFT_OUT = {
    "pipx install .": "fetches packages; test_packaging.py installs, upgrades and removes with these tools",
    "mkdir -m 700 /shared/pigeon": "test_the_start_of_the_readme",
    "tools/demo": "minutes, and packages; test_harness.py and the suite itself",
    "pigeon history --path": "test_journal_views.py opens the journal so",
    "datasette": "no program of ours; test_journal_views.py asks what its pages ask",
    "pigeon net python3 train.py": "a program of one's own and the world; tests/net has such programs",
    "pigeon pip install": "fetches packages; test_traps.py has an environment that is active",
    "PS1=": "test_the_prompt_recipes",
    "setopt prompt_subst": "test_the_prompt_recipes",
    'eval "$(pigeon completion bash)"': "test_completion.py, in all three shells",
    "export PIGEON_CACHE": "a worker that stays; test_service.py has its log",
    "#!/bin/bash": "a job of Slurm's; test_one_job.py",
    "pigeon worker --cache /shared/pigeon --print-unit --user": "needs systemd; test_service.py verifies the unit",
    'pigeon worker --cache "/shared/pigeon/$USER"': "needs systemd; test_service.py verifies the unit",
    "systemctl --user restart": "needs systemd; test_service.py stops and replaces workers as it does",
}
"""How a block begins that is not run word for word, and why."""


@pytest.mark.parametrize(("page", "name", "text"), BLOCKS, ids=[f"{page}:{name}" for page, name, _ in BLOCKS])
def test_a_block_runs_word_for_word(pigeon: Pigeon, page: str, name: str, text: str) -> None:
    (pigeon.work / "notes.txt").touch()
    (pigeon.work / "Makefile").write_text("all:\n\t@exit 3\n")
    if name == "scripting" and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    pigeon.worker()
    env = {"PATH": f"{command(pigeon)}:{pigeon.env()['PATH']}", "PIGEON_JOURNAL": str(pigeon.journal)}
    done = pigeon.start_process("bash", "-c", text, env=env).wait(90)
    assert done.code == 0, f"{page}: {done.words}"
    if name != "scripting":
        assert done.words == ""
    shown = done.stdout.decode()
    for wanted in WANTED[name]:
        assert wanted.format(work=pigeon.work, host=os.uname().nodename) in shown, shown


def test_each_block_is_run_or_it_is_said_why_not() -> None:
    for page in ENGLISH:
        text = (ROOT / page).read_text(encoding="utf-8")
        run = {block for _, block in BLOCK.findall(text)}
        for block in ANY_BLOCK.findall(text):
            assert block in run or block.startswith(tuple(LEFT_OUT)), f"{page}: {block}"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_prompt_recipes(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    text = (ROOT / "pigeon/docs/recipes.md").read_text(encoding="utf-8")
    (line,) = [block for block in ANY_BLOCK.findall(text) if "PS1=" in block and f"# {shell}" in block]
    ask = 'print -P "$PS1"' if shell == "zsh" else 'echo "${PS1@P}"'
    for session, prompt in (("17-ab", "(pigeon) me$ "), ("", "me$ ")):
        env = {"PATH": os.environ["PATH"], **({"PIGEON_SESSION": session} if session else {})}
        script = f"PS1='me$ '\nsetopt interactivecomments 2>/dev/null\n{line}\n{ask}"
        done = subprocess.run([shell, "-c", script], env=env, capture_output=True, text=True, timeout=30)
        assert done.stdout == f"{prompt}\n", done.stderr


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
