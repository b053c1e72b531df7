"""What one NFS client believes about names and attributes, and for how long.

Pure bookkeeping, no file operation: the caller says what the server answered and when it had been asked. An answer to
an older question never replaces one to a newer question, so threads may ask at the same time.

Rules (nfs(5), "Data and metadata coherence"): attributes and names that were found hold for `ttl_s`; misses, and the
attributes of directories, for `negative_ttl_s`; a listing drops every miss in its directory, and every name that now
leads elsewhere. Stricter than the real thing in one point: a change by this client does not freshen the other names.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import NamedTuple

Attributes = dict[str, int]
"""As the binding wants them: `st_*`, times in nanoseconds."""
Key = tuple[int, int]
"""Device and inode number of the backing file."""

_UNKNOWN: Key = (-1, -1)
"""Stands in place of a key when this client changed the name: answers to questions asked before are too old."""

_MANY = 20_000
"""So many names are kept before those that no longer hold are swept out."""


class Entry(NamedTuple):
    """One name in a listing."""

    name: str
    kind: int
    """The type bits of its mode."""
    inode: int


class _Known(NamedTuple):
    attributes: Attributes
    asked_s: float


class _Name(NamedTuple):
    key: Key | None
    """None: a look-up failed."""
    asked_s: float


def attributes_of(found: os.stat_result) -> Attributes:
    """The binding's form of a stat result."""
    return {
        "st_mode": found.st_mode,
        "st_ino": found.st_ino,
        "st_nlink": found.st_nlink,
        "st_uid": found.st_uid,
        "st_gid": found.st_gid,
        "st_rdev": found.st_rdev,
        "st_size": found.st_size,
        "st_blocks": found.st_blocks,
        "st_atime": found.st_atime_ns,
        "st_mtime": found.st_mtime_ns,
        "st_ctime": found.st_ctime_ns,
    }


class ClientCache:
    """Names, misses, attributes and listings of one mount."""

    def __init__(self, ttl_s: float, negative_ttl_s: float, listing_ttl_s: float = 0.0) -> None:
        self._ttl_s = ttl_s
        self._negative_ttl_s = negative_ttl_s
        self._listing_ttl_s = listing_ttl_s
        self._lock = threading.Lock()
        self._names: dict[str, dict[str, _Name]] = {}
        """By directory, then by name."""
        self._known: dict[Key, _Known] = {}
        self._listings: dict[str, tuple[list[Entry], float]] = {}
        self._count = 0

    def name(self, path: str) -> tuple[bool, Key | None]:
        """(is anything believed about it, what): a miss is `(True, None)`."""
        directory, leaf = os.path.split(path)
        found = self._names.get(directory, {}).get(leaf)
        if found is None or found.key == _UNKNOWN:
            return False, None
        ttl_s = self._negative_ttl_s if found.key is None else self._ttl_s
        if time.monotonic() - found.asked_s >= ttl_s:
            return False, None
        return True, found.key

    def attributes(self, key: Key) -> Attributes | None:
        """Those believed now, or None: ask the server."""
        known = self._known.get(key)
        if known is None or not known.attributes:
            return None
        is_directory = stat.S_ISDIR(known.attributes["st_mode"])
        ttl_s = self._negative_ttl_s if is_directory else self._ttl_s
        return known.attributes if time.monotonic() - known.asked_s < ttl_s else None

    def learn(self, path: str | None, found: os.stat_result, asked_s: float) -> Attributes:
        """The server's answer to a question asked at `asked_s`; what holds afterwards, which may be newer."""
        key = (found.st_dev, found.st_ino)
        with self._lock:
            if path is not None:
                self._set_name(path, _Name(key, asked_s))
            known = self._known.get(key)
            if known is None or known.asked_s <= asked_s:
                known = self._known[key] = _Known(attributes_of(found), asked_s)
        return known.attributes or attributes_of(found)

    def miss(self, path: str, asked_s: float) -> None:
        """The server knows no such name."""
        with self._lock:
            self._set_name(path, _Name(None, asked_s))

    def _set_name(self, path: str, name: _Name) -> None:
        directory, leaf = os.path.split(path)
        names = self._names.setdefault(directory, {})
        before = names.get(leaf)
        if before is None or before.asked_s <= name.asked_s:
            names[leaf] = name
            self._count += 1
            if self._count > _MANY:
                self._sweep()

    def _sweep(self) -> None:
        oldest_s = time.monotonic() - max(self._ttl_s, self._negative_ttl_s)
        self._names = {
            directory: kept
            for directory, names in self._names.items()
            if (kept := {leaf: name for leaf, name in names.items() if name.asked_s > oldest_s})
        }
        self._known = {key: known for key, known in self._known.items() if known.asked_s > oldest_s}
        self._count = 0

    def listing(self, directory: str) -> list[Entry] | None:
        """What was listed before, while that is believed (never, by default)."""
        names, asked_s = self._listings.get(directory, ([], 0.0))
        return names if asked_s and time.monotonic() - asked_s < self._listing_ttl_s else None

    def listed(self, directory: str, entries: list[Entry], asked_s: float) -> None:
        """The server listed the directory: no miss survives, nor a name that has another inode now."""
        inodes = {entry.name: entry.inode for entry in entries}
        with self._lock:
            if self._listing_ttl_s:
                self._listings[directory] = (entries, asked_s)
            self._names[directory] = {
                leaf: name
                for leaf, name in self._names.get(directory, {}).items()
                if name.asked_s > asked_s or (name.key is not None and inodes.get(leaf) == name.key[1])
            }

    def forget(self, path: str) -> None:
        """This client has just changed the name: it and its directory's attributes are asked for anew."""
        directory, _ = os.path.split(path)
        now_s = time.monotonic()
        with self._lock:
            self._set_name(path, _Name(_UNKNOWN, now_s))
            self._listings.pop(directory, None)
            above, below = os.path.split(directory)
            parent = self._names.get(above, {}).get(below)
            if parent is not None and parent.key is not None:
                self._known[parent.key] = _Known({}, now_s)

    def forget_tree(self, path: str) -> None:
        """This client moved or removed it; if it was a directory, everything below goes too."""
        self.forget(path)
        with self._lock:
            for directory in [place for place in self._names if f"{place}/".startswith(f"{path}/")]:
                del self._names[directory]

    def forget_attributes(self, key: Key) -> None:
        """This client has just changed them: ask the server at the next occasion."""
        with self._lock:
            self._known[key] = _Known({}, time.monotonic())
