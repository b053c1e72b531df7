"""How often runners have died at a session, and what follows from that."""

from __future__ import annotations

MOST_DEATHS = 3
"""A session whose runners have died so often is not started, but ended."""

DEATH_S = 0.1
LONGEST_S = 60.0
"""Before a runner is forked for a session whose last one died: twice as long each time, from and up to this."""

MOST_GIVEN_UP = 100
"""So many that were given up are remembered."""


class Deaths:
    """Those that this scheduler has seen, of sessions that have no end yet."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self.given_up: dict[str, str] = {}
        """Sessions that are left alone, and why: their clients read it, and leave."""

    def add(self, session_id: str) -> None:
        """One more has died."""
        self._count[session_id] = self.of(session_id) + 1

    def of(self, session_id: str) -> int:
        """How many so far."""
        return self._count.get(session_id, 0)

    def pause_s(self, session_id: str) -> float:
        """Seconds to wait before the next one is forked; 0 if none has died."""
        deaths = self.of(session_id)
        return min(DEATH_S * float(2 ** min(deaths - 1, 20)), LONGEST_S) if deaths else 0.0

    def are_many(self, session_id: str) -> bool:
        """It is not started any more, but only ended."""
        return self.of(session_id) >= MOST_DEATHS

    def are_hopeless(self, session_id: str) -> bool:
        """Not even its end can be told."""
        return self.of(session_id) > 2 * MOST_DEATHS

    def give_up(self, session_id: str, why: str) -> None:
        """Nobody is at work on it any more."""
        self.given_up[session_id] = why
        for old in list(self.given_up)[:-MOST_GIVEN_UP]:
            del self.given_up[old]

    def forget(self, session_id: str) -> None:
        """The session has its end."""
        self._count.pop(session_id, None)


def how_died(code: int) -> str:
    """A process's end in words; `code` -n: by signal n."""
    return f"signal {-code}" if code < 0 else f"exit {code}"
