"""In a user namespace everybody whom it does not map is shown as one uid, 65534: owners must not be guessed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.processes import Result, run_to_end
from tests.helpers.users import User, Users
from tests.helpers.waiting import wait_until
from tests.security.conftest import Makes
from tests.security.people import Person, directory_of

MAPPED = ("unshare", "--map-root-user")
UNMAPPED = ("unshare", "--user")


@pytest.fixture(autouse=True)
def _can_be_had(users: Users) -> None:
    if subprocess.run([*become(users.victim), *MAPPED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("users may make no user namespaces here")


def become(user: User) -> list[str]:
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", f"--groups={user.group}"]


def run_in(person: Person, namespace: tuple[str, ...], *words: str) -> Result:
    """`pigeon words…` of that person's, inside a new user namespace."""
    argv = person.command(*words)
    setpriv = len(become(person.user))
    return run_to_end(
        [*argv[:setpriv], *namespace, *argv[setpriv:]], env=person.env(), cwd=person.work, timeout_s=40
    )


def test_a_container_with_one_uid_is_served(users: Users, person: Makes) -> None:
    """Root's directories above belong to nobody there, and are taken for root's; what is his own is `root`'s."""
    victim = person(users.victim)
    victim.worker()
    assert run_in(victim, MAPPED, "echo served; id -u").stdout.decode().split() == [
        "served",
        str(users.victim.uid),
    ]
    doctor = run_in(victim, MAPPED, "doctor", "--json")
    assert b"every directory from `/` to the sessions is yours or root's" in doctor.stdout, doctor


def test_a_worker_in_a_container_with_one_uid(users: Users, person: Makes) -> None:
    victim = person(users.victim)
    argv = victim.command("worker", "--journal", str(victim.journal))
    setpriv = len(become(victim.user))
    child = victim.start_process(*argv[:setpriv], *MAPPED, *argv[setpriv:])
    wait_until(lambda: list(victim.namespace.workers()), 20, child.tell)
    assert victim.run("echo served; id -u").stdout == b"served\n0\n"
    child.signal(15)
    assert child.wait(20).code == 0


def test_nobody_known_is_not_root_where_others_may_write(
    users: Users, person: Makes, common: Path, meeting: Path
) -> None:
    """Being first in a common cache, or owning a directory there, makes no stranger the host's root."""
    victim = person(users.victim, common)
    namespaces = directory_of(users.attacker, common / "namespaces", 0o755)
    refused(
        run_in(victim, MAPPED, "true"), namespaces, "belongs to another user (uid 65534, which may be anybody"
    )
    namespaces.chmod(0o1777)
    refused(
        run_in(victim, MAPPED, "true"), namespaces, "belongs to another user (uid 65534, which may be anybody"
    )
    theirs = directory_of(users.attacker, common / "theirs", 0o755)
    inside = directory_of(users.victim, theirs / "cache")
    victim.configure(cache=str(inside))
    refused(
        run_in(victim, MAPPED, "--cache", str(inside), "true"),
        theirs,
        "belongs to another user (uid 65534, which may be anybody",
    )
    link = common / "link"
    link.symlink_to(victim.base)
    users.attacker.own(link)
    refused(
        run_in(victim, MAPPED, "--cache", str(link), "true"),
        link,
        "is a symbolic link of another user (uid 65534",
    )


def test_who_is_nobody_himself_is_refused(users: Users, person: Makes) -> None:
    """Without a uid of his own a stranger's files look like his: nothing is served, sent or believed."""
    victim = person(users.victim)
    victim.run("true", options=("--claim-timeout", "0.1"))
    cache = victim.share.client_path
    for words in (("true",), ("sessions",), ("worker",)):
        done = run_in(victim, UNMAPPED, "--cache", str(cache), *words)
        assert done.code == 255, (words, done)
        assert "Traceback" not in done.words
        assert "pigeon: hint: " in done.words, (words, done)
    users.attacker.own(*(path for path in cache.rglob("*")), cache)
    done = run_in(victim, UNMAPPED, "--cache", str(cache), "true")
    assert done.code == 255, done
    assert os.path.isdir(cache)


def refused(result: Result, path: Path, what: str) -> None:
    assert result.code == 255, result
    assert f"`{path}` {what}" in result.words, result.words
