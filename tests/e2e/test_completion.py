"""`pigeon completion`: what real shells complete, and that their tables are those of the program."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon.cli_arguments import VERBS
from tests.helpers.journals import ROOT
from tests.helpers.pigeon import Pigeon
from tools.made.options import options_of

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a `pigeon` in its bin, and something to complete."""
    tmp_path = tmp_path_factory.mktemp("home")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "pigeon"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m pigeon "$@"\n')
    command.chmod(0o755)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "notes.txt").touch()
    (tmp_path / "work" / "folder").mkdir()
    return tmp_path


def environment(directory: Path, **more: str) -> dict[str, str]:
    path = f"{directory}/bin:{os.environ['PATH']}"
    return {"HOME": str(directory), "PATH": path, "LANG": "C.UTF-8", "TERM": "xterm", **more}


def script(directory: Path, shell: str) -> Path:
    done = subprocess.run(
        [directory / "bin" / "pigeon", "completion", shell],
        env=environment(directory),
        check=True,
        capture_output=True,
    )
    path = directory / f"completion.{shell}"
    path.write_bytes(done.stdout)
    return path


def by_bash(
    directory: Path, line: str, *, package: bool = False, more: dict[str, str] | None = None
) -> list[str]:
    """What bash would offer behind `line`; `package`: with bash-completion's own functions."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    program = f"""
        {"source /usr/share/bash-completion/bash_completion" if package else ""}
        compopt() {{ :; }}
        source {script(directory, "bash")}
        COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        _pigeon
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", program],
        cwd=directory / "work",
        env=environment(directory, **(more or {})),
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.stdout.split()


def by_fish(directory: Path, line: str, more: dict[str, str] | None = None) -> list[str]:
    program = f"source {script(directory, 'fish')}; complete -C {shlex.quote(line)}"
    done = subprocess.run(
        ["fish", "-c", program],
        cwd=directory / "work",
        env=environment(directory, **(more or {})),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [found.partition("\t")[0] for found in done.stdout.splitlines()]


COMPLETERS = [
    pytest.param(by_bash, id="bash"),
    pytest.param(
        by_fish,
        id="fish",
        marks=pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here"),
    ),
]


@pytest.mark.parametrize("complete", COMPLETERS)
def test_verbs_and_programs(directory: Path, complete) -> None:  # type: ignore[no-untyped-def]  # one of two
    found = complete(directory, "pigeon hist")
    assert "history" in found
    assert "cat" in complete(directory, "pigeon -v ca")
    assert set(complete(directory, "pigeon --user me wor")) & {"worker"}


@pytest.mark.parametrize("complete", COMPLETERS)
def test_options_of_pigeon_and_of_a_verb(directory: Path, complete) -> None:  # type: ignore[no-untyped-def]  # one of two
    assert "--no-lock" in complete(directory, "pigeon --no-l")
    assert "--since" in complete(directory, "pigeon history --si")
    assert "--since" not in complete(directory, "pigeon --si")
    assert sorted(complete(directory, "pigeon history --sort ")) == ["bytes", "slowest", "waited"]
    assert "notes.txt" in complete(directory, "pigeon --config no")


@pytest.mark.parametrize("complete", COMPLETERS)
def test_a_switch_takes_no_value_though_one_of_a_verb_does(directory: Path, complete) -> None:  # type: ignore[no-untyped-def]  # one of two
    assert "history" in complete(directory, "pigeon -n hist")


def test_sessions(pigeon: Pigeon, directory: Path) -> None:
    child, session = pigeon.begin("sleep 60")
    short = session.id.partition("-")[2][:8]
    there = {"PIGEON_CONFIG": str(pigeon.env()["PIGEON_CONFIG"])}
    for complete in (by_bash, by_fish):
        if complete is by_fish and shutil.which("fish") is None:
            continue
        for verb in ("attach", "logs", "stop", "wait", "inspect"):
            assert complete(directory, f"pigeon {verb} ", more=there) == [short], verb
        assert complete(directory, "pigeon logs ", more={"PIGEON_CACHE": "/nowhere"}) == []
    child.signal(signal.SIGINT)
    child.wait()


@pytest.mark.skipif(
    not os.path.exists("/usr/share/bash-completion/bash_completion"), reason="no bash-completion"
)
def test_the_commands_own_completion_in_bash(directory: Path) -> None:
    own = directory / "own.bash"
    own.write_text('_frob() { COMPREPLY=("frob-${COMP_WORDS[1]}-$COMP_CWORD"); }\ncomplete -F _frob frob\n')
    # The package loads a command's completion from here when it is first wanted.
    there = directory / ".local" / "share" / "bash-completion" / "completions"
    there.mkdir(parents=True)
    own.rename(there / "frob")
    (directory / "bin" / "frob").write_text("#!/bin/sh\n")
    (directory / "bin" / "frob").chmod(0o755)
    assert by_bash(directory, "pigeon -v frob x ", package=True) == ["frob-x-2"]
    assert by_bash(directory, "pigeon -- history ", package=True) != ["--since"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_the_commands_own_completion_in_fish(directory: Path) -> None:
    there = directory / ".config" / "fish" / "completions"
    there.mkdir(parents=True)
    (there / "frob.fish").write_text("complete -c frob -f -a 'one two'\n")
    (directory / "bin" / "frob").write_text("#!/bin/sh\n")
    (directory / "bin" / "frob").chmod(0o755)
    assert by_fish(directory, "pigeon -v frob t") == ["two"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_on_a_terminal(pigeon: Pigeon, directory: Path) -> None:
    text = script(directory, "zsh")
    (directory / ".zshrc").write_text(
        "autoload -Uz compinit; compinit -u\nPS1='ready> '\nsetopt no_list_beep\nzstyle ':completion:*' menu no\n"
        f"source {text}\n_frob() {{ compadd own-of-frob }}\ncompdef _frob frob\nfrob() {{ : }}\n"
    )
    where = directory / "work"
    terminal = pigeon.spawn_plain(
        "zsh", "-i", env={**environment(directory), "ZDOTDIR": str(directory)}, cwd=where, size=(150, 40)
    )
    terminal.wait_for("ready>", 20)
    for typed, wanted in (
        ("pigeon hist\t", "pigeon history"),
        ("pigeon history --unt\t", "pigeon history --until"),
        ("pigeon history --sort wa\t", "pigeon history --sort waited"),
        ("pigeon -n -v frob ow\t", "pigeon -n -v frob own-of-frob"),
        ("pigeon --config no\t", "pigeon --config notes.txt"),
    ):
        terminal.type(typed)
        terminal.wait_for(wanted, 20)
        terminal.type("\x15\x0c")
        terminal.wait_for("ready>", 20)
    terminal.type("\x15exit\r")
    terminal.wait()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_option_is_in_the_script(shell: str) -> None:
    text = (ROOT / "pigeon" / "completions" / f"pigeon.{shell}").read_text()
    for verb in VERBS:
        assert verb in text
        for option in options_of(verb) if verb != "help" else ():
            for name in option.names:
                wanted = (
                    (f"-l {name[2:]} " if name.startswith("--") else f"-s {name[1:]} ")
                    if shell == "fish"
                    else name
                )
                assert wanted in text, (verb, name)
