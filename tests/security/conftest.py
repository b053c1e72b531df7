"""What the tests about strangers share: real other users, and a place that all of them can reach."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.users import Users, users_in


@pytest.fixture(scope="session")
def _users() -> Iterator[Users]:
    if os.geteuid() != 0:
        pytest.skip("needs root: makes other users, and becomes them")
    # Not below pytest's own directory, which only its user can enter.
    with (
        tempfile.TemporaryDirectory(prefix="pigeon-users-", dir="/var/tmp") as base,
        users_in(Path(base)) as made,
    ):
        yield made


@pytest.fixture
def users(_users: Users) -> Users:
    """The victim and the attacker, made once for all tests."""
    return _users


@pytest.fixture
def meeting(_users: Users, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh directory of root's, 0755, in which both users may be given something; for one test."""
    with tempfile.TemporaryDirectory(prefix="pigeon-meeting-", dir="/var/tmp") as base:
        path = Path(base)
        path.chmod(0o755)
        yield path
