"""The shared directory as a test sees it: a path for each side, and the sessions that lie in it.

Reads with nothing of pigeon, so that a test judges the format and not pigeon's opinion of it. With
`PIGEON_TEST_SHARES=CLIENT_DIR:WORKER_DIR` (two mounts of one filesystem) the same tests run over that.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.waiting import wait_until

FINAL = ("succeeded", "failed", "cancelled")

SEGMENT_CHANNELS = {1: "pty", 2: "stdout", 3: "stderr", 4: "stdin"}
MARK, END = 254, 255


def frames(directory: Path, stem: str = "stream") -> Iterator[tuple[int, bytes]]:
    """(channel, payload) of each whole frame of the segments, in order, by what FORMAT.md says of them."""
    for number in count(1):
        path = directory / f"{stem}.{number}.bulk"
        data = path.read_bytes() if path.exists() else b""
        at = 36
        while len(data) >= at + 12:
            length, check, channel = struct.unpack_from("<III", data, at)
            payload = data[at + 12 : at + 12 + length]
            if zlib.crc32(data[at : at + 4] + data[at + 8 : at + 12] + payload) != check:
                return
            at += 12 + length
            if channel == END:
                break
            yield channel, payload
        else:
            return


def outputs_in_order(records: Iterable[dict[str, Any]], directory: Path) -> Iterator[tuple[str, bytes]]:
    """(channel, data) of each output, whether it stands in the lines or in the segments."""
    bulk, is_bulk = frames(directory), False

    def up_to_mark() -> Iterator[tuple[str, bytes]]:
        for number, data in bulk:
            if number == MARK:
                return
            yield SEGMENT_CHANNELS[number], data

    for record in records:
        if record["type"] == "output":
            yield record["channel"], base64.b64decode(record["data_b64"])
        elif is_bulk:
            yield from up_to_mark()
        if record.get("event") in ("bulk", "lines"):
            is_bulk = record["event"] == "bulk"
    if is_bulk:
        yield from up_to_mark()


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
        """The output of the given channels (of all, if none is given): of the lines, then of the segments."""
        outputs = outputs_in_order(self.records(), self.directory)
        return b"".join(data for channel, data in outputs if not channels or channel in channels)

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
        """The worker files, each once: a listing may show a file twice, or not, while it is being replaced."""
        found = []
        for path in sorted({path for _ in range(2) for path in (self.root / "workers").glob("*.json")}):
            try:
                found.append(json.loads(path.read_bytes()))
            except (OSError, ValueError):
                continue
        return found
