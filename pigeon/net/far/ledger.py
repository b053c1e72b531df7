"""What went where: one entry for each destination of a session. Pure; `written` hands over what has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass
class Destination:
    """One host and port as they were asked for. Stamps are unix seconds, for people."""

    host: str
    port: int
    first_at: float
    last_at: float
    connections: int = 0
    refused: int = 0
    open: int = 0
    sent: int = 0
    """Bytes to it, of connections that have ended."""
    received: int = 0
    waiting_since: float | None = None
    """Since when it has not answered; None: nobody waits for it."""


MAX_DESTINATIONS = 10_000
"""A scan of a network must not fill a journal: what comes later counts as one."""


class Ledger:
    """All destinations of one session."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, int], Destination] = {}
        self._changed: set[tuple[str, int]] = set()
        self._waiting: dict[tuple[str, int], list[float]] = {}

    def _of(self, host: str, port: int, now: float) -> Destination:
        key = host, port
        if key not in self._all and len(self._all) >= MAX_DESTINATIONS:
            key = "(others)", 0
        self._changed.add(key)
        found = self._all.setdefault(key, Destination(*key, first_at=now, last_at=now))
        found.last_at = now
        return found

    def asked(self, host: str, port: int, now: float) -> None:
        """Somebody wants to be connected with it."""
        one = self._of(host, port, now)
        waiting = self._waiting.setdefault((one.host, one.port), [])
        waiting.append(now)
        one.waiting_since = waiting[0]

    def _answered(self, one: Destination) -> None:
        waiting = self._waiting.get((one.host, one.port), [])
        del waiting[:1]
        one.waiting_since = waiting[0] if waiting else None

    def opened(self, host: str, port: int, now: float) -> None:
        """It has answered."""
        one = self._of(host, port, now)
        self._answered(one)
        one.connections += 1
        one.open += 1

    def refused(self, host: str, port: int, now: float) -> None:
        """It has not, or may not be asked."""
        one = self._of(host, port, now)
        self._answered(one)
        one.refused += 1

    def given_up(self, host: str, port: int, now: float) -> None:
        """Who asked does not wait any longer."""
        self._answered(self._of(host, port, now))

    def closed(self, host: str, port: int, sent: int, received: int, now: float) -> None:
        """A connection with it has ended."""
        one = self._of(host, port, now)
        one.open -= 1
        one.sent += sent
        one.received += received

    def changed(self) -> list[Destination]:
        """Copies of those that have changed since the last call."""
        found = [replace(self._all[key]) for key in self._changed]
        self._changed.clear()
        return found
