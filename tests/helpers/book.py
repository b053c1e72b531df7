"""A journal with sessions in it, and `pigeon history` on it as a real process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pigeon import clock
from pigeon.journal.store import Journal
from tests.helpers.journals import ROOT, STATES, row
from tests.helpers.processes import Result, run_to_end
from tests.helpers.surroundings import pigeon_command


def at(age_s: float) -> float:
    """Unix seconds, so long ago."""
    return clock.wall() - age_s


class Book:
    """A journal with sessions in it, and `pigeon history` on it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = base / "pigeon.db"
        self.count = 0

    def add(self, text: str | list[str], state: str = "final", **columns: Any) -> str:
        """A session that stands in `state`; its id."""
        self.count += 1
        token = f"{self.count:02x}" * 6
        words = ["bash", "-lc", text] if isinstance(text, str) else text
        ended = (
            {"outcome": "succeeded", "exit_code": 0, "return_code": 0, "run_s": 1.5}
            if state == "final"
            else {}
        )
        values = row(token, session_id=f"{1700000000000 + self.count}-{token}", command=words)
        values.update({"seen_at": at(60), "claimed_at": at(60), "started_at": at(60), "lock_wait_s": 0.0})
        with Journal.open(str(self.path)) as journal:
            journal.begin_claim(
                {**values, **{k: v for k, v in columns.items() if k in ("cwd", "namespace", "seen_at")}}
            )
            rest = {k: v for k, v in {**ended, **columns}.items() if k not in ("cwd", "namespace")}
            for step in STATES[1 : STATES.index(state)]:
                assert journal.advance(token, 1, to=step)
            assert journal.advance(token, 1, to=state, **rest)
        return str(values["session_id"])

    def run(self, *words: str | bytes, env: dict[str, str] | None = None, cwd: Path | None = None) -> Result:
        """`pigeon history --journal … words…`."""
        return self.ask("--journal", str(self.path), *words, env=env, cwd=cwd)

    def ask(self, *words: str | bytes, env: dict[str, str] | None = None, cwd: Path | None = None) -> Result:
        """`pigeon history words…`, without naming the journal."""
        environ = {
            "HOME": str(self.base),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        }
        argv: list[str | bytes] = [*pigeon_command(), "history", *words]
        return run_to_end(argv, env={**environ, **(env or {})}, cwd=cwd or self.base)

    def table(self, *words: str | bytes, env: dict[str, str] | None = None) -> list[str]:
        """The lines that it prints."""
        result = self.run(*words, env=env)
        assert (result.code, result.words) == (0, ""), result.words
        return result.stdout.decode().splitlines()

    def commands(self, *words: str | bytes) -> list[str]:
        """The commands that it finds, oldest first."""
        result = self.run("--json", *words)
        assert result.code == 0, result.words
        return [record["command"][-1] for record in json.loads(result.stdout)]
