"""A directory that is looked into all the time is read when it may have changed, and not at each look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon.wire.share import AGAIN_S, Listing


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One with an entry, which was changed long ago: a change from now on has another stamp."""
    made = tmp_path / "sessions"
    made.mkdir()
    (made / "a").mkdir()
    os.utime(made, (1, 1))
    return made


def test_what_has_not_changed_is_read_again_only_after_a_while(directory: Path) -> None:
    listing = Listing(str(directory))
    assert listing.changed(100.0) == ["a"]
    assert listing.changed(100.0 + AGAIN_S / 2) == ["a"], "something may have come in the last change's tick"
    settled = 100.0 + AGAIN_S * 1.5
    assert listing.changed(settled) == ["a"]
    assert listing.changed(settled + AGAIN_S / 2) is None
    assert listing.changed(settled + AGAIN_S * 1.5) == ["a"], "its stamps may be rounded, or cached"
    assert listing.changed(settled + AGAIN_S * 2) is None


def test_a_change_is_seen_at_once(directory: Path) -> None:
    listing = Listing(str(directory))
    for now in (100.0, 200.0):
        listing.changed(now)
    assert listing.changed(200.001) is None
    (directory / "b").touch()
    assert sorted(listing.changed(200.002) or []) == ["a", "b"]
    (directory / "a").rmdir()
    assert listing.changed(200.003) == ["b"], "it is not known yet that these stamps say all"


def test_another_directory_of_the_name_is_read(directory: Path) -> None:
    listing = Listing(str(directory))
    for now in (100.0, 200.0):
        listing.changed(now)
    directory.rename(directory.with_name("old"))
    directory.mkdir()
    os.utime(directory, (1, 1))
    assert listing.changed(200.001) == []


def test_one_that_could_not_be_read_is_read_when_it_can(directory: Path) -> None:
    listing = Listing(str(directory))
    for now in (100.0, 200.0):
        listing.changed(now)
    directory.rename(directory.with_name("old"))
    with pytest.raises(FileNotFoundError):
        listing.changed(200.001)
    directory.with_name("old").rename(directory)
    assert listing.changed(200.1) == ["a"]
