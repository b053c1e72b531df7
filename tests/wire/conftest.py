"""A session's directory to write into."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pigeon.wire import directories, files
from pigeon.wire.names import Namespace, SessionFiles


@pytest.fixture
def session(tmp_path: Path) -> SessionFiles:
    """A session whose directory is there, and empty."""
    namespace = Namespace(str(tmp_path), "test")
    directories.make_directories(namespace.sessions)
    found = namespace.session("1700000000000-0123456789ab")
    files.make_directory(found.directory)
    return found


def failing_writes(chance: random.Random) -> Callable[[int, list[memoryview], int], int]:
    """A pwritev(2) that writes part of what it is given; at times it fails though that was written."""

    def pwritev(fd: int, pieces: list[memoryview], offset: int) -> int:
        data = b"".join(pieces)
        count = os.pwrite(fd, data[: chance.randrange(1, len(data) + 1)], offset)
        if chance.random() < 0.05:
            raise OSError(errno.ENOSPC, "no room")
        return count

    return pwritev
