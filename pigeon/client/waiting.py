"""Why a session that nobody has started still waits: read from the worker files, told to the user."""

from __future__ import annotations

import os

from pigeon.wire import files
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, BadDocument, Document, parse
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import Silence


class Workers:
    """What the worker files of a namespace say, and for how long no fitting one has changed."""

    def __init__(self, namespace: Namespace, route: str | None) -> None:
        self._namespace = namespace
        self._route = route
        self._seen: dict[str, bytes] = {}
        self._changed_at: dict[str, float] = {}
        self.absence = Silence()
        self.documents: dict[str, Document] = {}

    def look(self, now: float) -> None:
        """Read all worker files. `absence.seconds` grows while none of our route changes. Never raises."""
        try:
            names = [name for name in os.listdir(self._namespace.workers) if name.endswith(".json")]
        except FileNotFoundError:
            names = []
        except OSError:
            self.absence.failed()
            return
        changed = False
        self.documents = {}
        for name in names:
            try:
                data = files.read(f"{self._namespace.workers}/{name}", MAX_DOCUMENT_BYTES)
                document = parse(data, name)
            except (OSError, BadDocument):
                continue
            self.documents[name] = document
            if self._seen.get(name) not in (None, data):
                self._changed_at[name] = now
                if self._fits(document):
                    changed = True
            self._seen[name] = data
        self.absence.looked(now, grew=changed)

    def _fits(self, document: Document) -> bool:
        return document.get("route") == self._route and document.get("draining") is not True

    def reason(self, cwd: str, locks: bool, now: float) -> str:
        """One line: for what the session waits."""
        fitting = {name: d for name, d in self.documents.items() if self._fits(d)}
        live = {name: d for name, d in fitting.items() if now - self._changed_at.get(name, -1e9) < 10}
        if locks:
            for document in self.documents.values():
                for running in _running(document):
                    if running.get("cwd") == cwd and running.get("lock", "cwd") == "cwd":
                        return f"waiting for this directory, held by {_describe(running)} on {document.get('host')}"
        if not live:
            return self._no_worker(fitting, now)
        full = [d for d in live.values() if _is_full(d)]
        if len(full) == len(live):
            jobs = sum(len(_running(d)) for d in full)
            return f"waiting for a free worker: {len(full)} of {len(full)} full, {jobs} commands running"
        return "waiting for a worker to take the session"

    def _no_worker(self, fitting: dict[str, Document], now: float) -> str:
        where = f"namespace `{self._namespace.name}`" + (f", route `{self._route}`" if self._route else "")
        if not fitting:
            others = len(self.documents)
            return f"waiting for a worker: none in {where}" + (
                f" ({others} of other routes or ending)" if others else ""
            )
        seen = ", ".join(
            f"{d.get('worker_id', name)} {_last_seen(self._changed_at.get(name), now)}"
            for name, d in fitting.items()
        )
        return f"waiting for a worker in {where}: {seen}"

    def summary(self, now: float) -> str:
        """The workers there are and when each was last seen to change, for an error message."""
        if not self.documents:
            return "there is no worker file"
        told = []
        for name, document in self.documents.items():
            who = f"{document.get('worker_id', name)} (route {document.get('route') or 'none'})"
            told.append(f"{who}: {_last_seen(self._changed_at.get(name), now)}")
        return "; ".join(told)

    def seconds_since_change(self, worker_id: str, now: float) -> float | None:
        """Seconds since the file of that worker was last seen to change; None if it never was."""
        changed = self._changed_at.get(f"{worker_id}.json")
        return None if changed is None else now - changed


def _last_seen(changed_at: float | None, now: float) -> str:
    return "not seen to change" if changed_at is None else f"last changed {now - changed_at:.0f} s ago"


def _running(document: Document) -> list[Document]:
    running = document.get("running")
    return [r for r in running if isinstance(r, dict)] if isinstance(running, list) else []


def _is_full(document: Document) -> bool:
    jobs = document.get("max_jobs")
    return isinstance(jobs, int) and len(_running(document)) >= jobs


def _describe(running: Document) -> str:
    """`pip install x` (session 17…-ab) for 3 min: the command as the user typed it, as far as that can be told."""
    command = running.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    text = (
        words[-1] if len(words) >= 2 and words[-2].startswith("-") and "c" in words[-2] else " ".join(words)
    )
    text = "".join(c if c.isprintable() else " " for c in text)
    text = text if len(text) <= 40 else text[:39] + "…"
    since = running.get("since_s")
    how_long = duration(since if isinstance(since, (int, float)) else 0)
    return f"`{text}` (session {running.get('session_id')}) for {how_long}"


def duration(seconds: float) -> str:
    """`41 s`, `12 min`, `3 h`, `2 d`: for people."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
