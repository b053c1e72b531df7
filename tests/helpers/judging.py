"""What a session that must not run has to show for it."""

from __future__ import annotations

from typing import Any

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until


def goes_on(pigeon: Pigeon) -> None:
    """The worker still serves."""
    assert pigeon.workers[0].child.running
    result = pigeon.run("echo still there", cwd=pigeon.directory(f"after-{raw.new_id()}"))
    assert result == (b"still there\n", b"", 0)


def final_row(pigeon: Pigeon, session: Session) -> dict[str, Any]:
    """The session's row in the journal, once it is closed."""
    row = pigeon.journal_row(session.id) or {}
    return row if row.get("state") == "final" else {}


def judged(pigeon: Pigeon, session: Session, *, ran: str = "ran", timeout_s: float = 20.0) -> dict[str, Any]:
    """Not run, `failed`, with an error text, a row in the journal, and the worker goes on; the final status."""
    status = session.wait_final(timeout_s)
    assert status["state"] == "failed"
    assert isinstance(status["exit_code"], int)
    assert status["exit_code"] != 0
    assert status["error"]
    assert "Traceback" not in status["error"]
    assert "started" not in session.events()
    assert not (pigeon.work / ran).exists()
    closed = wait_until(
        lambda: final_row(pigeon, session), 10, f"a closed row for {session.id} in the journal"
    )
    assert closed["error"]
    goes_on(pigeon)
    return status
