"""`pigeon worker --log`: one line when a command starts and one when it ends, with dates and without its bytes.

For a service: who reads the log of the machine learns what ran for whom and how it ended, and no typed password. What
a command's own text may hold is up to its user; `ids` leaves it out.
"""

from __future__ import annotations

import os

from pigeon import clock, printing
from pigeon.text import duration, typed
from pigeon.wire.documents import Request

AUTO, COMMANDS, IDS, NONE = "auto", "commands", "ids", "none"
"""What is logged. AUTO: commands where stderr is no terminal, else nothing."""

SHORT_ID = 8
COMMAND_CHARACTERS = 200


class ServiceLog:
    """Lines on the worker's stderr, from any of its processes. One whose stderr has gone says nothing."""

    def __init__(self, what: str) -> None:
        self._what = what if what != AUTO else NONE if os.isatty(2) else COMMANDS

    def started(self, request: Request) -> None:
        """`2026-11-30T16:13:37Z 1b82d2fe start ann@gpu7 /proj/x: sleep 40`."""
        if self._what == NONE:
            return
        who = f"{request.requester.user or '?'}@{request.requester.host or '?'}"
        text = typed(request.command)
        shown = text if len(text) <= COMMAND_CHARACTERS else text[: COMMAND_CHARACTERS - 1] + "…"
        self._say(
            request.session_id,
            f"start {who}" + (f" {request.cwd}: {shown}" if self._what == COMMANDS else ""),
        )

    def ended(
        self, session_id: str, how: str, *, ran_s: float | None, bytes_in: int = 0, bytes_out: int = 0
    ) -> None:
        """`2026-11-30T16:14:17Z 1b82d2fe end succeeded 40s in 0 out 12`; bytes where it ran."""
        if self._what == NONE:
            return
        counts = "" if ran_s is None else f" {duration(ran_s)} in {bytes_in} out {bytes_out}"
        self._say(session_id, f"end {how}{counts}")

    def _say(self, session_id: str, text: str) -> None:
        stamp = f"{clock.utc_text()[:19]}Z"
        printing.log(f"{stamp} {session_id.partition('-')[2][:SHORT_ID] or session_id} {text}")
