"""What the tests about strangers share: real other users, and a place that all of them can reach."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.users import User, Users, users_in
from tests.security.people import Person

PLACE = next(path for path in ("/srv", "/opt", "/var/tmp") if os.path.isdir(path))
"""Not below pytest's own directory, which only its user can enter; nor in one that others can write, if it can be had:
in a user namespace, what lies there may be anybody's."""


@pytest.fixture(scope="session")
def _users() -> Iterator[Users]:
    if os.geteuid() != 0:
        pytest.skip("needs root: makes other users, and becomes them")
    with (
        tempfile.TemporaryDirectory(prefix="pigeon-users-", dir=PLACE) as base,
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
    with tempfile.TemporaryDirectory(prefix="pigeon-meeting-", dir=PLACE) as base:
        path = Path(base)
        path.chmod(0o755)
        yield path


Makes = Callable[..., Person]


@pytest.fixture
def person(users: Users) -> Iterator[Makes]:
    """`person(user, share=PATH)`: a pigeon of that user's, ended with the test."""
    made: list[Person] = []

    def make(user: User, share: Path | None = None) -> Person:
        one = Person(user, share)
        made.append(one)
        return one

    yield make
    problems = [problem for one in made for problem in one.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def common(meeting: Path) -> Path:
    """A directory that root has made for all, of mode 1777."""
    path = meeting / "common"
    path.mkdir()
    path.chmod(0o1777)
    return path
