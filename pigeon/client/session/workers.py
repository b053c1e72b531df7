"""What a client reads from the worker files: why a session that nobody has started still waits, and whether whoever
watches over a silent one lives."""

from __future__ import annotations

import os

from pigeon.wire import files
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, BadDocument, Document, parse
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import Silence

WATCHED_S = 2.5
"""A worker that lives has changed its file within this: it does so every second."""

LIVES_S = 10.0
"""And one that has not for so long is not believed any more."""


class Workers:
    """What the worker files of a namespace say, and for how long no fitting one has changed."""

    def __init__(self, namespace: Namespace, route: str | None) -> None:
        self._namespace = namespace
        self._route = route
        self._seen: dict[str, bytes] = {}
        self._changed_at: dict[str, float] = {}
        self.absence = Silence()
        self.documents: dict[str, Document] = {}
        self.changed: set[str] = set()
        """The names of the files that the last look has seen to change, or to have come since the look before it."""
        self._has_looked = False
        self._foreign = 0
        self.is_readable = True
        """The last look has worked."""

    def look(self, now: float) -> None:
        """Read all worker files. `absence.seconds` grows while none of our route changes. Never raises."""
        self.changed = set()
        self.is_readable = True
        try:
            names = [name for name in os.listdir(self._namespace.workers) if name.endswith(".json")]
        except FileNotFoundError:
            names = []
        except OSError:
            self.is_readable = False
            self.absence.failed()
            return
        changed = False
        self.documents = {}
        self._foreign = 0
        for name in names:
            try:
                data = files.read(f"{self._namespace.workers}/{name}", MAX_DOCUMENT_BYTES)
                document = parse(data, name)
            except (OSError, BadDocument) as error:
                self._foreign += isinstance(error, files.Refused)
                continue
            self.documents[name] = document
            if self._seen.get(name) not in (None, data):
                self._changed_at[name] = now
                self.changed.add(name)
                if self._fits(document):
                    changed = True
            elif self._has_looked and name not in self._seen:
                self.changed.add(name)
            self._seen[name] = data
        self._has_looked = True
        self.absence.looked(now, grew=changed)

    def _fits(self, document: Document) -> bool:
        return document.get("route") == self._route and document.get("draining") is not True

    def reason(self, session_id: str, cwd: str, locks: bool, now: float) -> str:
        """One line: for what the session waits."""
        fitting = {name: d for name, d in self.documents.items() if self._fits(d)}
        live = {name: d for name, d in fitting.items() if now - self._changed_at.get(name, -1e9) < 10}
        if locks:
            for document in self.documents.values():
                for running in _running(document):
                    if running.get("session_id") == session_id:
                        continue  # it is being tried
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
            passed_over = [f"{others} of other routes or ending"] if others else []
            passed_over += [f"{self._foreign} of another user"] if self._foreign else []
            return f"waiting for a worker: none in {where}" + (
                f" ({', '.join(passed_over)})" if passed_over else ""
            )
        seen = ", ".join(
            f"{d.get('worker_id', name)} {_last_seen(self._changed_at.get(name), now)}"
            for name, d in fitting.items()
        )
        return f"waiting for a worker in {where}: {seen}"

    def summary(self, now: float) -> str:
        """The workers there are and when each was last seen to change, for an error message."""
        if not self.documents:
            return "there is no worker file" + (
                " but another user's, who cannot serve you" if self._foreign else ""
            )
        told = []
        for name, document in self.documents.items():
            who = f"{document.get('worker_id', name)} (route {document.get('route') or 'none'})"
            told.append(f"{who}: {_last_seen(self._changed_at.get(name), now)}")
        return "; ".join(told)

    def seconds_since_change(self, worker_id: str, now: float) -> float | None:
        """Seconds since the file of that worker was last seen to change; None if it never was."""
        changed = self._changed_at.get(f"{worker_id}.json")
        return None if changed is None else now - changed


class Watchers:
    """Whether those who watch over one session live, as far as it has been seen since this was made.

    They are its owner and whoever lists it among what he runs: a worker that has adopted the runners of a former one.
    """

    def __init__(self, namespace: Namespace, session_id: str, owner: str) -> None:
        self.lives: bool | None = None
        """None: they have not been watched for long enough."""
        self.watcher = owner
        """Who has shown life last."""
        self._workers = Workers(namespace, None)
        self._session_id = session_id
        self._owner = owner
        self._silence = Silence()

    @property
    def silence_s(self) -> float:
        """For how long none of them has been seen to change, in looks that worked."""
        return self._silence.seconds

    @property
    def is_readable(self) -> bool:
        """Whether the worker files can be read at all."""
        return self._workers.is_readable

    def look(self, now: float) -> None:
        """Read the worker files. Never raises."""
        self._workers.look(now)
        if not self._workers.is_readable:
            self._silence.failed()
            self.lives = None
            return
        signs = [name for name in self._workers.changed if self._watches(name)]
        self._silence.looked(now, grew=bool(signs))
        if signs:
            self.lives = True
            self.watcher = signs[0].removesuffix(".json")
        elif self._silence.seconds >= (WATCHED_S if self.lives is None else LIVES_S):
            self.lives = False

    def _watches(self, name: str) -> bool:
        document = self._workers.documents[name]
        return name == f"{self._owner}.json" or lists(document, self._session_id)


def lists(document: Document, session_id: str) -> bool:
    """Whether a worker file says that its worker watches over this session."""
    return any(running.get("session_id") == session_id for running in _running(document))


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
