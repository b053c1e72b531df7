"""A test's surroundings: a share, a home, a journal and configuration files of its own.

Nothing of the machine's own pigeon is used: HOME is a fresh directory with empty start-up files, and the
environment of a process is made here from nothing, so no `PIGEON_*` of the developer reaches it.
"""

from __future__ import annotations

import itertools
import os
import shlex
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.evidence import journal_rows
from tests.helpers.processes import MARK
from tests.helpers.settings import Settings, merged, to_toml
from tests.helpers.share import Namespace, Session, Share, make_share
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STARTUP_FILES = (
    ".profile",
    ".bash_profile",
    ".bash_login",
    ".bashrc",
    ".zshrc",
    ".zprofile",
    ".zshenv",
    ".inputrc",
)

LISTENER = f"exec /usr/bin/python3 -S -E {shlex.quote(str(Path(__file__).with_name('listener.py')))}"
"""A shell text that says `ready`, then each new size, and ends with code 9 at the first signal."""

Extra = Mapping[str, str | None]


def pigeon_command() -> list[str]:
    """The words that start the pigeon under test: the command as it is installed, which starts faster than `-m`."""
    given = os.environ.get("PIGEON_TEST_COMMAND")
    if given:
        return shlex.split(given)
    installed = Path(sys.executable).with_name("pigeon")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "pigeon"]


PIGEON = shlex.join(pigeon_command())
"""The same, as words of a shell script."""


class Surroundings:
    """Where one test's client and worker meet, and what they are told."""

    def __init__(self, base: Path, share: Share | None = None) -> None:
        self.base = base
        self.share = share or make_share(base)
        self.home = base / "home"
        self.work = base / "work"
        self.logs = base / "logs"
        self.journal = base / "journal" / "pigeon.db"
        self.temporary = base / "tmp"
        for path in (self.home, self.work, self.logs, self.temporary, self.journal.parent):
            path.mkdir()
        for name in STARTUP_FILES:
            (self.home / name).touch()
        self.mark = uuid.uuid4().hex
        self.settings: dict[str, object] = {"namespace": "test"}
        self._numbers = itertools.count(1)

    def env(self, extra: Extra | None = None, *, config: Path | None = None) -> dict[str, str]:
        """The environment of a process of this test; None in `extra` takes a name out."""
        env: dict[str, str | None] = {
            "HOME": str(self.home),
            "PATH": PATH,
            "USER": "tester",
            "LOGNAME": "tester",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE"),
            "PIGEON_CONFIG": str(config or self.client_config()),
            MARK: self.mark,
            **(extra or {}),
        }
        return {name: value for name, value in env.items() if value is not None}

    def configure(self, **settings: object) -> None:
        """Settings of both sides from now on; tables are merged key by key."""
        self.settings = merged(self.settings, settings)

    def _config(self, name: str, *layers: Settings) -> Path:
        path = self.base / name
        text = to_toml(merged(*layers))
        if not path.exists() or path.read_text() != text:
            temporary = path.with_suffix(".new")  # clients that are starting read the old one
            temporary.write_text(text)
            temporary.chmod(0o600)
            temporary.rename(path)
        return path

    def client_config(self) -> Path:
        """The configuration file of the client's side."""
        return self._config("client.toml", {"cache": self.share.client_path}, self.settings)

    def directory(self, name: str | bytes) -> Path:
        """A fresh directory to run a command in."""
        path = self.base / "dirs" / os.fsdecode(name)
        path.mkdir(parents=True)
        return path

    @property
    def namespace(self) -> Namespace:
        """The namespace as the client's side sees it."""
        return Namespace(self.share.client_path, str(self.settings["namespace"]))

    def sessions(self) -> list[Session]:
        """All sessions of the namespace, oldest first."""
        return self.namespace.sessions()

    def wait_session(self, known: list[str] | None = None, timeout_s: float = 15.0) -> Session:
        """The newest published session that is not among `known`."""

        def found() -> Session | None:
            new = [s for s in self.sessions() if s.id not in (known or []) and s.state is not None]
            return new[-1] if new else None

        session = wait_until(found, timeout_s, "a new session")
        assert session is not None
        return session

    def journal_row(self, session_id: str) -> dict[str, Any] | None:
        """The journal's row of a session, from whichever table has one row for each session."""
        for rows in journal_rows(self.journal).values():
            of_it = [row for row in rows if session_id in (row.get("session_id"), row.get("id"))]
            if len(of_it) == 1 and ("state" in of_it[0] or "command" in of_it[0]):
                return of_it[0]
        return None
