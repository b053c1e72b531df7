"""AI programs from npm, in a network namespace with loopback only, beside a stand-in for the service they talk to.

Which versions stands here alone. They are installed once, outside of the tree; nothing of theirs is asked for in the
test itself, and no key is a real one.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock
import pytest

from tests.helpers.processes import Word, marked
from tests.helpers.surroundings import ROOT

PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
KEY = "of-the-stand-in"


class Agent(NamedTuple):
    """One program."""

    name: str
    package: str
    """With its version, as npm names it."""
    prepare: Callable[[Path, Path], None]
    """Writes what lets it start without a question: its home, and the directory it runs in."""
    env: dict[str, str]
    ready: str
    """A pattern of what is on the screen when it is at rest, and all that it looks up at its start has come (re)."""
    hidden: tuple[str, ...]
    """Patterns of what is never the same twice (re): clocks, seconds."""
    process: str
    """In the name of the program that draws, as it is executed."""
    leave: str
    """On the screen after Ctrl-C where it takes a second one to end it; empty where it takes one."""


def _codex(home: Path, place: Path) -> None:
    folder = home / ".codex"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.toml").write_text(
        'model = "stand-in"\n'
        'model_provider = "stand-in"\n'
        "model_context_window = 100000\n"
        'approval_policy = "never"\n'
        'sandbox_mode = "danger-full-access"\n'
        'web_search = "disabled"\n'
        "check_for_update_on_startup = false\n"
        '[history]\npersistence = "none"\n'
        "[analytics]\nenabled = false\n"
        "[feedback]\nenabled = false\n"
        '[tui]\nanimations = false\nshow_tooltips = false\nstatus_line = ["current-dir"]\n'
        "[features]\ndaemon_auto_start = false\napps = false\nplugins = false\n"
        '[model_providers.stand-in]\nname = "stand-in"\nwire_api = "responses"\n'
        f'base_url = "{URL}/v1"\nenv_key = "STAND_IN_KEY"\n'
        f'[projects.{json.dumps(str(place))}]\ntrust_level = "trusted"\n'
    )


CODEX = Agent(
    "codex",
    "@openai/codex@0.171.0",
    _codex,
    {"STAND_IN_KEY": KEY},
    r"/dirs/codex.*\n.*\? for shortcuts",
    (r"Worked for .*", r" · ← for agents", r"codex resume [0-9a-f-]{36}"),
    "/bin/codex",
    "",
)


def _claude(home: Path, place: Path) -> None:
    folder = home / ".claude"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    known = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    state = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(place): known}}
    # On the main screen ("default") it leaves its prompt on another row each time, as how fast the answer came.
    settings = {
        "tui": "fullscreen",
        "spinnerTipsEnabled": False,
        "showTurnDuration": False,
        "permissions": {"defaultMode": "default", "disableAutoMode": "disable"},
    }
    (home / ".claude.json").write_text(json.dumps(state))
    (folder / "settings.json").write_text(json.dumps(settings))


CLAUDE = Agent(
    "claude",
    "@anthropic-ai/claude-code@2.1.332",
    _claude,
    {
        "ANTHROPIC_BASE_URL": URL,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
    },
    r"\? for shortcuts",
    (r" · ← for agents", r"claude --resume [0-9a-f-]{36}"),
    "/claude",
    "again to exit",
)
AGENTS = {"codex": CODEX, "claude": CLAUDE}


def installed(agent: Agent) -> Path:
    """The program, which is installed if it is not there; skips where that cannot be."""
    if shutil.which("npm") is None:
        pytest.skip("`npm` is not installed")
    home = pwd.getpwuid(os.getuid()).pw_dir
    cache = Path(home, ".cache", "pigeon-tests")
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / agent.package.replace("/", "-")
    with filelock.FileLock(str(place) + ".lock"):
        if not place.exists():
            _install(agent, place, home)
    return place / "node_modules" / ".bin" / agent.name


def _install(agent: Agent, place: Path, home: str) -> None:
    made = tempfile.mkdtemp(dir=place.parent)
    words = ["npm", "install", "--prefix", made, "--no-audit", "--no-fund", "--no-update-notifier"]
    env = {**os.environ, "HOME": home}
    done = subprocess.run([*words, agent.package], env=env, capture_output=True, text=True, timeout=600)
    if done.returncode:
        shutil.rmtree(made)
        pytest.skip(f"npm cannot install {agent.package}: {done.stderr[-500:]}")
    os.rename(made, place)


class Loopback:
    """A network namespace with nothing but loopback, and the stand-in that serves there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        """Of the stand-in."""
        script = "ip link set lo up && echo up && exec sleep infinity"
        self._holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
        self.enter = ("nsenter", "-t", str(self._holder.pid), "-n")
        """Words before a command that is to run in there."""
        if not _says(self._holder, b"up\n"):
            self._holder.wait()
            pytest.skip("network namespaces cannot be made here")
        service = [sys.executable, str(ROOT / "tests/helpers/model_service.py"), "127.0.0.1", str(PORT)]
        self._service = subprocess.Popen(
            [*self.enter, *service, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert _says(self._service, b"ready\n"), "the stand-in does not start"

    def prompts(self) -> list[str]:
        """What it was asked, in order."""
        path = self.directory / "prompts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def let_go(self) -> None:
        """It says the rest of what it says slowly."""
        (self.directory / "go").touch()

    def begin(self) -> None:
        """As at the start."""
        for name in ("prompts", "go"):
            (self.directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        """End both."""
        for process in (self._service, self._holder):
            process.kill()
            process.wait()


def _says(process: subprocess.Popen[bytes], line: bytes) -> bool:
    assert process.stdout is not None
    with process.stdout as out:
        return out.readline() == line


def write_script(place: Path, words: Sequence[Word]) -> None:
    """`./run` in `place`, which is these words: the shell's screen looks the same, whatever they are."""
    path = place / "run"
    path.write_text("#!/bin/sh\nexec " + shlex.join(os.fsdecode(word) for word in words) + "\n")
    path.chmod(0o755)


def drawing(mark: str, agent: Agent) -> int:
    """The process of a running program that draws."""
    (pid,) = (pid for pid, line in marked(mark).items() if agent.process in line.partition(" ")[0])
    return pid
