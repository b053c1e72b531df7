"""Removal never leaves the session's directory, and a directory exchanged meanwhile changes nothing: races, bounded."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pigeon.wire import directories, files, share
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from tests.helpers.waiting import wait_until

ROUNDS = 300
RENAME_EXCHANGE = 2
AT_FDCWD = -100


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    return share.enter(str(cache), "test", make=True)


def a_session(namespace: Namespace) -> SessionFiles:
    session = namespace.session(new_session_id())
    files.make_directory(session.directory)
    for name in ("request.json", "stream.jsonl", "control.jsonl"):
        files.create(f"{session.directory}/{name}", b"x")
    return session


@contextmanager
def exchanging(one: str, other: str) -> Iterator[list[int]]:
    """The two names have been exchanged, and are so again and again, as fast as it goes (renameat2(2)); how often."""
    libc = ctypes.CDLL(None, use_errno=True)
    count = [0]
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            done = libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE)
            count[0] += done == 0

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: count[0], describe="the first exchange", interval_s=0.0)
        yield count
    finally:
        stop.set()
        thread.join()


def test_removal_while_a_link_takes_the_directorys_place(namespace: Namespace, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    swapped = 0
    for _ in range(ROUNDS):
        (precious / "file").write_text("kept")
        session = a_session(namespace)
        link = Path(namespace.sessions) / "link"
        link.symlink_to(precious)
        with exchanging(session.directory, str(link)) as count:
            try:
                directories.remove_session(session)
            except OSError:
                pass  # it may find the link, or be told that the directory was exchanged
        swapped += count[0]
        assert (precious / "file").read_text() == "kept"
        for left in (link, Path(session.directory)):
            if left.is_symlink():
                left.unlink()
            elif left.exists():
                for path in left.iterdir():
                    path.unlink()
                left.rmdir()
    assert swapped >= ROUNDS


def test_removal_while_another_session_takes_its_place(namespace: Namespace) -> None:
    """Whichever directory it has opened is emptied; what is removed by name is only ever an empty directory."""
    for _ in range(ROUNDS // 10):
        session, other = a_session(namespace), a_session(namespace)
        with exchanging(session.directory, other.directory):
            try:
                directories.remove_session(session)
            except OSError:
                pass
        kept = [names for one in (session, other) if (names := there(one)) is not None]
        assert ["control.jsonl", "request.json", "stream.jsonl"] in kept
        for one in (session, other):
            if there(one) is not None:
                directories.remove_session(one)


def there(session: SessionFiles) -> list[str] | None:
    try:
        return sorted(os.listdir(session.directory))
    except FileNotFoundError:
        return None


def test_links_in_a_session_are_unlinked_and_not_followed(namespace: Namespace, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    session = a_session(namespace)
    os.symlink(precious, f"{session.directory}/link")
    os.mkdir(f"{session.directory}/inside")
    os.symlink(precious / "file", f"{session.directory}/inside/link")
    assert directories.remove_session(session)
    assert there(session) is None
    assert (precious / "file").read_text() == "kept"


def test_a_held_session_is_read_and_written_whatever_takes_its_name(
    namespace: Namespace, tmp_path: Path
) -> None:
    session = a_session(namespace)
    assert files.read(session.stream, 10) == b"x"
    evil = Path(namespace.sessions) / "evil"
    evil.mkdir(mode=0o700)
    (evil / "stream.jsonl").write_bytes(b"evil")
    (evil / "stream.jsonl").chmod(0o600)
    with exchanging(session.directory, str(evil)) as count:
        for _ in range(ROUNDS):
            assert files.read(session.stream, 10) == b"x"
            files.replace(session.status, b"mine")
    assert count[0] > 0
    for place in (evil, Path(session.directory)):
        is_evil = (place / "stream.jsonl").read_bytes() == b"evil"
        assert (place / "status.json").exists() != is_evil


def test_a_way_that_was_made_again_is_found_again(namespace: Namespace) -> None:
    """`rm -rf` of the namespace's directories under a process that holds them, and a client that makes them anew."""
    session = a_session(namespace)
    assert files.read(session.stream, 10) == b"x"
    for place in ("sessions", "workers", "locks"):
        os.rename(f"{namespace.root}/{place}", f"{namespace.cache}/{place}")
        os.mkdir(f"{namespace.root}/{place}", 0o700)
    share.renew(namespace)
    assert files.list_names(namespace.sessions) == []
    files.create(namespace.worker("host-1"), b"{}")
    assert os.listdir(namespace.workers) == ["host-1.json"]


def test_what_cannot_be_listed_is_removed_once_it_has_been_missing_for_minutes(namespace: Namespace) -> None:
    session = a_session(namespace)
    assert not files.is_removed(session, files.GONE_S)
    assert directories.remove_session(session)
    assert files.is_removed(session)
    session = a_session(namespace)
    shutil.rmtree(namespace.cache)
    assert not files.is_removed(session, files.GONE_S - 1)
    assert files.is_removed(session, files.GONE_S)


def test_nothing_of_the_share_is_reached_by_a_path_of_several_parts() -> None:
    """Only wire/ opens, lists, renames and removes there; the others go through it."""
    import ast

    from tests.helpers.surroundings import ROOT

    forbidden = {f"os.{word}" for word in "listdir scandir unlink rename replace rmdir link symlink".split()}
    # /proc, beside the journal, a page
    allowed = ("identity.py", "proof.py", "note.py", "command.py", "history.py")
    for room in ("worker", "client", "report", "commands"):
        for path in sorted((ROOT / "pigeon" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in forbidden:
                    is_proc = "/proc" in ast.unparse(node)
                    assert is_proc or path.name in allowed, f"{path}:{node.lineno}: {ast.unparse(node)}"
