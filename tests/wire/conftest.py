"""A session's directory to write into."""

from __future__ import annotations

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
