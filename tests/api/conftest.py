"""`import pigeon` as programs do it: this process is the caller, in the surroundings of a test's own pigeon."""

from __future__ import annotations

import os

import pytest

from tests.helpers.pigeon import Pigeon


def enter(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's environment and directory become those of a client of `pigeon`."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in pigeon.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(pigeon.work)


@pytest.fixture
def served(warm: Pigeon, monkeypatch: pytest.MonkeyPatch) -> Pigeon:
    """A worker is there."""
    enter(warm, monkeypatch)
    return warm


@pytest.fixture
def unserved(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch) -> Pigeon:
    """None is, unless the test starts it."""
    enter(pigeon, monkeypatch)
    return pigeon
