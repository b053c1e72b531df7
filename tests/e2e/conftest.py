"""What many of these tests have beside a pigeon."""

from __future__ import annotations

import pytest

from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon


@pytest.fixture
def notes(pigeon: Pigeon) -> Notes:
    """Where the commands of a test note their times."""
    return Notes(pigeon.base / "notes")
