"""A directory that is looked into all the time is read when it may have changed, and not at each look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon.mountinfo import filesystem_of
from pigeon.wire import looks
from pigeon.wire.share import AGAIN_S, LIES, OPENED_EVERY, SETTLED_S, Listing


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


def test_where_asking_is_cheaper_the_stamps_are_asked_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a directory that was read long enough after its last change; and it is opened now and then all the same."""
    monkeypatch.setattr(looks, "KINDS", {filesystem_of(str(directory)).fstype})
    stamps_of = looks.stamps_for(str(directory))
    assert stamps_of is not None
    found = directory.stat()
    assert stamps_of(str(directory)) == (
        found.st_ino,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_nlink,
        found.st_size,
    )
    listing = Listing(str(directory), stamps_of)
    for now in (100.0, 100.0 + SETTLED_S):
        assert listing.changed(now) == ["a"]
    times = iter(range(200, 300))
    answers = [listing.changed(next(times)) for _ in range(2 * OPENED_EVERY)]
    assert [at for at, names in enumerate(answers, 1) if names] == [OPENED_EVERY, 2 * OPENED_EVERY]
    (directory / "b").touch()
    assert sorted(listing.changed(next(times)) or []) == ["a", "b"], "the stamps are others"
    assert listing.changed(next(times)) is not None, "something may have come in the last change's tick"


def test_stamps_that_lie_are_believed_no_longer(directory: Path) -> None:
    seen: list[tuple[int, ...]] = []
    listing = Listing(str(directory), lambda _: seen[0])
    now, looks_needed = 100.0, []
    for name in ("b", "c", "d", "e"):
        for _ in range(2):
            now += SETTLED_S
            listing.changed(now)
        found = directory.stat()
        seen[:] = [(found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_nlink, found.st_size)]
        (directory / name).touch()
        needed = 1
        while name not in (listing.changed(now) or []):
            needed += 1
        looks_needed.append(needed)
    assert max(looks_needed) <= OPENED_EVERY and looks_needed[LIES] == 1, looks_needed
