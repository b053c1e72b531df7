"""The way to the share is ours: whoever could put another directory in its place is told of, and nothing is run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.processes import Result
from tests.helpers.users import User, Users
from tests.helpers.waiting import wait_until
from tests.security.conftest import Makes
from tests.security.people import Person, directory_of

pytestmark = pytest.mark.slow

VERBS = (["sessions"], ["clean"], ["logs", "1"], ["stop", "1"], ["inspect", "1"], ["attach", "1"])


def plant(directory: Path, owner: User, text: str, *, sessions_mode: int = 0o755) -> None:
    """A namespace's directories with a pending session in them that runs `text`, all of it `owner`'s."""
    for name in ("sessions", "locks", "workers"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    session = directory / "sessions" / raw.new_id()
    session.mkdir()
    for name in ("stream.jsonl", "stdin.jsonl", "control.jsonl"):
        (session / name).touch()
    (session / "request.json").write_bytes(raw.dump(raw.a_request(session.name, "/", text, lock="none")))
    status = {
        "session_id": session.name,
        "state": "pending",
        "created_at": raw.STAMP,
        "updated_at": raw.STAMP,
    }
    (session / "status.json").write_bytes(raw.dump({**status, "exit_code": None}))
    for path in (directory, *directory.rglob("*")):
        mode = sessions_mode if path == session.parent else 0o755 if path.is_dir() else 0o644
        owner.own(path, mode=mode)


def assert_refused(result: Result, path: Path, what: str, remedy: str = "") -> None:
    """It ended with the place, what is wrong there and what mends it, in two lines."""
    assert result.code == 255, result
    words = result.words.splitlines()
    assert "the way to the shared directory is not safe" in words[-2], result.words
    assert f"`{path}` {what}" in words[-2], result.words
    assert words[-1].startswith("pigeon: hint: "), result.words
    assert remedy in words[-1], result.words


def assert_all_refuse(person: Person, path: Path, what: str, remedy: str = "") -> None:
    """Client, worker and every verb."""
    assert_refused(person.run("true", options=("--claim-timeout", "1")), path, what, remedy)
    assert_refused(person.run("true", options=("-d",)), path, what, remedy)
    for words in VERBS:
        assert_refused(person.run(*words), path, what, remedy)
    worker = person.start_worker()
    log = worker.wait(20)
    assert log.returncode == 255
    assert f"`{path}` {what}" in worker.err, worker.err
    doctor = person.run("doctor", "--json")
    assert doctor.code == 1
    assert f"`{path}` {what}" in doctor.stdout.decode(), doctor.stdout


def assert_each_place_refused(person: Person, place: str, path: Path, what: str, remedy: str = "") -> None:
    """A client, doctor (which looks by itself), and one verb at each of the places: all enter by one function."""
    assert_refused(person.run("true", options=("--claim-timeout", "1")), path, what, remedy)
    assert_refused(person.run(*VERBS[list(OPEN).index(place) % len(VERBS)]), path, what, remedy)
    doctor = person.run("doctor", "--json")
    assert doctor.code == 1
    assert f"`{path}` {what}" in doctor.stdout.decode(), doctor.stdout


def in_use(person: Person) -> Path:
    """His namespace's directory, as a first command leaves it that nobody served."""
    root = person.namespace.root
    for path in (root.parent, root, *(root / name for name in ("sessions", "locks", "workers"))):
        directory_of(person.user, path)
    return root


OPEN: dict[str, Callable[[Path], Path]] = {
    "the cache": lambda root: root.parent.parent,
    "namespaces": lambda root: root.parent,
    "the namespace": lambda root: root,
    "sessions": lambda root: root / "sessions",
    "locks": lambda root: root / "locks",
    "workers": lambda root: root / "workers",
    "a directory above": lambda root: root.parents[2],
}


@contextmanager
def mode_of(path: Path, mode: int) -> Iterator[None]:
    """The directory has this mode meanwhile."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@pytest.mark.parametrize("where", OPEN)
def test_what_others_can_write(users: Users, person: Makes, where: str) -> None:
    victim = person(users.victim)
    path = OPEN[where](in_use(victim))
    for mode in (0o777, 0o770):
        with mode_of(path, mode):
            assert_each_place_refused(victim, where, path, "can be written by others", f"`chmod go-w {path}`")
    done = victim.run("true", options=("--claim-timeout", "0.1"))
    assert done.code == 255 and "no worker" in done.words  # and not because of the way


def test_nobody_enters_what_others_can_write(users: Users, person: Makes) -> None:
    victim = person(users.victim)
    path = in_use(victim) / "sessions"
    with mode_of(path, 0o777):
        assert_all_refuse(victim, path, "can be written by others", f"`chmod go-w {path}`")


@pytest.mark.parametrize("where", ["namespaces", "the namespace", "sessions", "locks", "workers"])
def test_a_link_below_the_cache_even_of_ones_own(users: Users, person: Makes, where: str) -> None:
    victim = person(users.victim)
    path = OPEN[where](in_use(victim))
    path.rename(path.with_name("real"))
    path.symlink_to("real")
    users.victim.own(path)
    assert_each_place_refused(victim, where, path, "is a symbolic link")


@pytest.mark.parametrize("where", ["the namespace", "sessions", "locks", "workers", "a directory above"])
def test_what_belongs_to_another(users: Users, person: Makes, where: str) -> None:
    victim = person(users.victim)
    path = OPEN[where](in_use(victim))
    users.attacker.own(path, mode=0o755)
    try:
        assert_each_place_refused(victim, where, path, f"belongs to another user (uid {users.attacker.uid})")
    finally:
        users.victim.own(path)


def test_a_link_of_another_on_the_way_to_the_cache(users: Users, person: Makes, common: Path) -> None:
    """It leads to a directory of the victim's own, with the stranger's content: a clone, an unpacked archive."""
    victim = person(users.victim)
    evil = directory_of(users.victim, victim.base / "clone")
    plant(evil / "namespaces" / "test", users.victim, f"id > {victim.base}/proof")
    (evil / "namespaces").chmod(0o700)
    users.victim.own(evil / "namespaces")
    link = common / "cache"
    link.symlink_to(evil)
    users.attacker.own(link)
    victim.configure(cache=str(link))
    worker = victim.start_worker("--cache", str(link))
    assert worker.wait(20).returncode == 255
    assert f"`{link}` is a symbolic link of another user (uid {users.attacker.uid})" in worker.err
    assert_refused(
        victim.run("true", options=("--cache", str(link))), link, "is a symbolic link of another user"
    )
    users.victim.own(link)  # his own link is his own choice
    assert "no worker" in victim.run("true", options=("--cache", str(link), "--claim-timeout", "0.1")).words
    assert not (victim.base / "proof").exists()


def test_who_is_first_in_a_common_cache_gets_nothing(users: Users, person: Makes, common: Path) -> None:
    """`namespaces/<victim>/sessions` leads to what the victim owns and the stranger has written."""
    victim = person(users.victim, common)
    evil = victim.base / "unpacked"
    plant(evil, users.victim, f"id > {victim.base}/proof")
    namespaces = directory_of(users.attacker, common / "namespaces", 0o755)
    root = directory_of(users.attacker, namespaces / "test", 0o755)
    (root / "sessions").symlink_to(evil / "sessions")
    assert_all_refuse(victim, namespaces, f"belongs to another user (uid {users.attacker.uid})")
    users.attacker.own(namespaces, mode=0o1777)
    assert_all_refuse(victim, namespaces, f"belongs to another user (uid {users.attacker.uid})")
    assert not (victim.base / "proof").exists()


def test_a_common_cache_serves_each_in_a_namespace_of_his_own(
    users: Users, person: Makes, common: Path
) -> None:
    (common / "namespaces").mkdir()
    (common / "namespaces").chmod(0o1777)
    both = [person(users.victim, common), person(users.attacker, common)]
    for number, one in enumerate(both):
        one.configure(namespace=one.user.name)
        one.worker()
        assert one.run(f"echo {number}; id -u").stdout.decode().split() == [str(number), str(one.user.uid)]
        assert one.namespace.root.stat().st_mode & 0o7777 == 0o700
    assert "for many users" in both[0].run("doctor", "--json").stdout.decode()
    both[0].configure(namespace=both[1].user.name)
    result = both[0].run("true")
    assert_refused(
        result,
        both[1].namespace.root,
        f"belongs to another user (uid {users.attacker.uid})",
        "another `namespace`",
    )


def a_directory(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_file(path: Path) -> None:
    path.touch()


def test_what_a_stranger_puts_into_a_common_cache(users: Users, person: Makes, common: Path) -> None:
    """In the place of a namespace that the victim has not made yet, and around the one that he has."""
    namespaces = common / "namespaces"
    namespaces.mkdir()
    namespaces.chmod(0o1777)
    victim = person(users.victim, common)
    victim.configure(namespace="mine")
    victim.worker()
    for make in (a_directory, a_pipe, a_link, a_file):
        path = namespaces / f"odd\x1b[31m\n{make.__name__}"
        make(path)
        users.attacker.own(path)
        path.rename(namespaces / make.__name__)
        make(path)
        users.attacker.own(path)
        name = make.__name__
        done = victim.run("true", options=("--namespace", name, "--claim-timeout", "0.1"))
        assert_refused(done, namespaces / name, "", "take another `namespace`")
    assert victim.run("echo served").stdout == b"served\n"
    done = victim.run("true", options=("--namespace", "none", "--claim-timeout", "0.1"))
    assert "there are worker files in `mine`" in done.words
    assert "\x1b" not in done.words


def test_a_group_that_is_trusted(users: Users, person: Makes) -> None:
    victim = person(users.victim)
    root = in_use(victim)
    for path in (root.parent.parent, root.parent, root, root / "sessions", root / "locks", root / "workers"):
        os.chown(path, users.victim.uid, users.victim.group)
        path.chmod(0o2770)
    assert_refused(
        victim.run("true"), root.parent.parent, "can be written by others", 'share_trust = "group"'
    )
    victim.configure(share_trust="group")
    worker = victim.worker()
    wait_until(lambda: f"warning: a whole group can write `{root}`" in worker.log, 20, "what it starts with")
    assert victim.run("echo served").stdout == b"served\n"
    root.chmod(0o2777)
    assert_refused(victim.run("true"), root, "can be written by others", "chmod go-w")
    root.chmod(0o2770)
    os.chown(root, users.victim.uid, users.attacker.gid)  # a group that he is not in
    assert_refused(victim.run("true"), root, "can be written by others", "chmod go-w")


def test_a_tree_put_in_the_place_of_one_that_is_served(users: Users, person: Makes) -> None:
    """The worker goes on in the tree that it has checked; what has come is looked at, and refused."""
    victim = person(users.victim)
    worker = victim.worker()
    assert victim.run("true").code == 0
    cache = victim.share.client_path
    cache.chmod(0o2775)
    os.chown(cache, users.victim.uid, users.victim.group)  # as umask 002 gives it
    (cache / "namespaces").rename(cache / ".old")
    evil = directory_of(users.victim, cache / "namespaces")
    plant(evil / "test", users.victim, f"id > {victim.base}/proof")
    wait_until(lambda: "can be written by others" in worker.log, 20, "the worker's words")
    assert f"`{cache}` can be written by others" in worker.log
    assert not (victim.base / "proof").exists()
    assert worker.child.running
    shutil.rmtree(cache / "namespaces")
    (cache / ".old").rename(cache / "namespaces")
    cache.chmod(0o700)
    wait_until(lambda: "works again" in worker.log, 20, "the worker's words")
    assert victim.run("echo served").stdout == b"served\n"


def test_a_way_that_is_opened_to_others_while_it_is_served(users: Users, person: Makes) -> None:
    victim = person(users.victim)
    worker = victim.worker()
    sessions = victim.namespace.root / "sessions"
    sessions.chmod(0o777)
    wait_until(lambda: f"`{sessions}` can be written by others" in worker.log, 10, "the worker's words")
    plant(victim.namespace.root, users.victim, f"id > {victim.base}/proof", sessions_mode=0o777)
    client = victim.start("true")
    assert_refused(client.wait(), sessions, "can be written by others")
    assert worker.log.count("can be written by others") == 1
    assert not (victim.base / "proof").exists()
