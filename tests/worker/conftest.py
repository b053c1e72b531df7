"""A journal of a test's own: where it is to be, and the same one open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.journal.store import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal can be made: alone in its directory, so that a test sees all that lies beside it."""
    directory = tmp_path / "journal"
    directory.mkdir()
    return directory / "pigeon.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """The journal there, new and open."""
    with Journal.open(str(path)) as opened:
        yield opened
