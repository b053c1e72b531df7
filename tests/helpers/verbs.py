"""Sessions to look at with the verbs, and what the verbs say of them."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until


def listed(pigeon: Pigeon, *options: str) -> dict[str, dict[str, Any]]:
    """`pigeon sessions --json`, by id."""
    result = pigeon.run("sessions", "--json", *options)
    assert (result.code, result.stderr) == (0, b""), result.words
    return {row["session_id"]: row for row in json.loads(result.stdout or b"[]")}


def report(pigeon: Pigeon, session: Session) -> dict[str, Any]:
    """What `pigeon inspect` finds on the worker's host."""
    result = pigeon.run("inspect", session.id, "--json", "--here", "--journal", str(pigeon.journal))
    assert result.code == 0, result.words
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["verdict"].startswith(session.id)
    return found


def rule(pigeon: Pigeon, session: Session) -> str:
    """The name of the rule by which it judges the session."""
    return str(report(pigeon, session)["rule"])


def waits_for_rule(pigeon: Pigeon, session: Session, wanted: str, timeout_s: float = 30.0) -> str:
    """The sentence, as soon as that rule speaks."""
    seen: list[dict[str, Any]] = []

    def is_so() -> bool:
        seen.append(report(pigeon, session))
        return bool(seen[-1]["rule"] == wanted)

    wait_until(is_so, timeout_s, lambda: f"the verdict {wanted!r}, not {[one['verdict'] for one in seen]}")
    return str(seen[-1]["verdict"])


def runner_of(pigeon: Pigeon, session: Session) -> int:
    """The pid of the session's runner, from the journal."""
    row = wait_until(
        lambda: (pigeon.journal_row(session.id) or {}).get("command_pid") and pigeon.journal_row(session.id),
        15,
        f"the journal's row of {session.id}",
    )
    assert row
    return int(row["runner_pid"])


def lose_host(pigeon: Pigeon, session: Session, number: int = signal.SIGKILL) -> int:
    """What a host's death looks like from elsewhere: scheduler killed, runner killed or stopped. The runner's pid."""
    runner = runner_of(pigeon, session)
    pigeon.workers[0].kill()
    os.kill(runner, number)
    return runner


def age(session: Session, name: str, seconds: float) -> None:
    """Make a file look as if nobody had written to it for so long."""
    path = session.directory / name
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))
