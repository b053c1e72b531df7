"""How often each fault was met and took effect, counted over all mounts of one rig.

Owns one small file of fixed records; every change happens under a lock on that file, so that the "second write" is the
second one, whichever mount it comes from. It is touched only by requests that a rule means.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

_RECORD = struct.Struct("<QQd")
"""Met, took effect, when it first did (this machine's monotonic clock, which all its processes share)."""


class Tally:
    """The shared record of what the rules have done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_due(self, rule_id: int, *, nth: int, times: int | None, for_s: float | None) -> bool:
        """Count one more meeting; does the rule act this time?"""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            met, fired, since_s = self._read(descriptor, rule_id)
            now_s = time.monotonic()
            met += 1
            acts = met >= nth and (times is None or fired < times)
            if acts and fired and for_s is not None and now_s - since_s > for_s:
                acts = False
            if acts:
                since_s = since_s if fired else now_s
                fired += 1
            os.pwrite(descriptor, _RECORD.pack(met, fired, since_s), rule_id * _RECORD.size)
        finally:
            os.close(descriptor)
        return acts

    def fired(self, rule_id: int) -> int:
        """How often it took effect."""
        if not self._path.exists():
            return 0
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._read(descriptor, rule_id)[1]
        finally:
            os.close(descriptor)

    @staticmethod
    def _read(descriptor: int, rule_id: int) -> tuple[int, int, float]:
        data = os.pread(descriptor, _RECORD.size, rule_id * _RECORD.size)
        met, fired, since_s = _RECORD.unpack(data.ljust(_RECORD.size, b"\0"))
        return met, fired, since_s
