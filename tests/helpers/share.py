"""The shared directory as a test sees it: a path for each side, and the sessions that lie in it.

Reads with nothing of pigeon, so that a test judges the format and not pigeon's opinion of it. With
`PIGEON_TEST_SHARES=CLIENT_DIR:WORKER_DIR` (two mounts of one filesystem) the same tests run over that.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.waiting import wait_until

FINAL = ("succeeded", "failed", "cancelled")


class Share(NamedTuple):
    """One directory under the name that the client's side and the name that the worker's side has for it."""

    client_path: Path
    worker_path: Path


def make_share(base: Path) -> Share:
    """A fresh, empty share: below `base`, or on the mounts that the environment names."""
    places = os.environ.get("PIGEON_TEST_SHARES")
    if not places:
        path = base / "share"
        path.mkdir(mode=0o700)
        return Share(path, path)
    client_root, worker_root = (Path(place) for place in places.split(":"))
    name = f"share-{uuid.uuid4().hex}"
    (client_root / name).mkdir(mode=0o700)
    wait_until(lambda: name in os.listdir(worker_root), 60, f"{name} on the worker's mount")
    return Share(client_root / name, worker_root / name)


class Session:
    """One session's directory, read as FORMAT.md says: each time anew, whole lines only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.id = directory.name

    def json(self, name: str) -> dict[str, Any] | None:
        """The object in a `.json` file, or None while there is none that can be read."""
        try:
            value = json.loads((self.directory / name).read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def records(self, name: str = "stream.jsonl") -> list[dict[str, Any]]:
        """The complete records of a `.jsonl` file."""
        try:
            data = (self.directory / name).read_bytes()
        except OSError:
            return []
        return [json.loads(line) for line in data.split(b"\n")[:-1]]

    def events(self) -> list[str]:
        """The kinds of the events in the stream, in order."""
        return [record["event"] for record in self.records() if record["type"] == "event"]

    def output(self, *channels: str) -> bytes:
        """The output of the given channels (of all, if none is given)."""
        return b"".join(
            base64.b64decode(record["data_b64"])
            for record in self.records()
            if record["type"] == "output" and (not channels or record["channel"] in channels)
        )

    @property
    def status(self) -> dict[str, Any]:
        """status.json, or an empty object."""
        return self.json("status.json") or {}

    @property
    def state(self) -> str | None:
        """What status.json says."""
        return self.status.get("state")

    @property
    def claim(self) -> str | None:
        """The text of worker.claim, or None."""
        try:
            return (self.directory / "worker.claim").read_text()
        except OSError:
            return None

    def wait_state(self, *states: str, timeout_s: float = 15.0) -> dict[str, Any]:
        """The status, as soon as its state is one of `states`."""
        wait_until(
            lambda: self.state in states, timeout_s, lambda: f"{self.id} is {self.state}, wanted {states}"
        )
        return self.status

    def wait_final(self, timeout_s: float = 15.0) -> dict[str, Any]:
        """The final status."""
        return self.wait_state(*FINAL, timeout_s=timeout_s)

    def wait_event(self, event: str, timeout_s: float = 15.0) -> None:
        """Until the stream has this event."""
        wait_until(lambda: event in self.events(), timeout_s, f"event {event} of {self.id}")


class Namespace:
    """`<cache>/namespaces/<name>` as one side sees it."""

    def __init__(self, cache: Path, name: str) -> None:
        self.cache = cache
        self.root = cache / "namespaces" / name

    def session_names(self) -> list[str]:
        """What lies in `sessions/`, sorted, whatever it is; hidden names are nobody's session."""
        try:
            return sorted(name for name in os.listdir(self.root / "sessions") if not name.startswith("."))
        except OSError:
            return []

    def sessions(self) -> list[Session]:
        """All sessions, oldest first."""
        return [Session(self.root / "sessions" / name) for name in self.session_names()]

    def lock_path(self, cwd: str | bytes | Path) -> Path:
        """The lock file of a resolved directory."""
        return self.root / "locks" / f"{hashlib.sha256(os.fsencode(cwd)).hexdigest()}.lock"

    def workers(self) -> list[dict[str, Any]]:
        """The worker files."""
        found = []
        for path in sorted((self.root / "workers").glob("*.json")):
            try:
                found.append(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
        return found
