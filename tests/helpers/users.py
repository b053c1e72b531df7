"""Other users of the same machine: real uids, made for the tests and removed after them. Needs root."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import Result
from tests.helpers.surroundings import PATH, ROOT
from tests.helpers.waiting import patient, wait_until

GROUP = "pigeontest"
"""A group that all of them are in, as members of one project are."""

needs_users = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes other users, and becomes them")


class User:
    """One user, with a home directory of his own that nobody else can enter."""

    def __init__(self, name: str, home: Path, group: int, library: Path, interpreter: str) -> None:
        """`library`: where he finds pigeon; `interpreter`: a Python that he may execute."""
        entry = pwd.getpwnam(name)
        self.library = library
        self.interpreter = interpreter
        self.name = name
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        self.group = group
        self.home = home

    def own(self, *paths: Path, mode: int | None = None) -> None:
        """Give files to this user (links themselves, not what they lead to)."""
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
            if mode is not None:
                path.chmod(mode)

    def environment(self, **extra: str) -> dict[str, str]:
        """What a login would give him, and Python's way to his copy of pigeon."""
        return {
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.library),
            "PYTHONDONTWRITEBYTECODE": "1",
            **extra,
        }

    def identity(self) -> dict[str, Any]:
        """Keywords with which `subprocess` becomes this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": [self.group]}

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        umask: int = 0o022,
        stdin: int | None = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """A process of his, with pipes for its output."""
        return subprocess.Popen(
            argv,
            cwd=cwd or self.home,
            env=dict(self.environment() if env is None else env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=umask,
            start_new_session=True,
            **self.identity(),
        )

    def run(self, argv: Sequence[str], *, timeout_s: float = 30.0, **how: Any) -> Result:
        """One of his processes, to its end."""
        process = self.start(argv, **how)
        try:
            out, err = process.communicate(timeout=patient(timeout_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{argv} did not end\n{out!r}\n{err!r}") from None
        return Result(out, err, process.returncode)

    def python(self, code: str, *words: str, **how: Any) -> Result:
        """A Python program of his, with pigeon's modules."""
        return self.run([self.interpreter, "-c", code, *words], **how)

    def pigeon(self, *words: str, **how: Any) -> Result:
        """`pigeon words…` of his, to its end."""
        return self.run(self.command(*words), **how)

    def command(self, *words: str) -> list[str]:
        """The argument list of that."""
        return [self.interpreter, "-m", "pigeon", *words]


class Users:
    """Who takes part: the one who uses pigeon, and one who shares his machines and his group."""

    def __init__(self, victim: User, attacker: User) -> None:
        self.victim = victim
        self.attacker = attacker


@contextmanager
def users_in(base: Path) -> Iterator[Users]:
    """Make the users, with homes below `base`, and remove them. Skips where that cannot be done."""
    made: list[str] = []
    suffix = os.urandom(4).hex()  # a run that was killed may have left users
    try:
        group = GROUP + suffix
        _run("groupadd", group)
        for one in ("v", "a"):
            name = f"pigeont{one}{suffix}"
            home = base / name
            _run(
                *"useradd --no-create-home --shell /bin/bash -U -G".split(),
                group,
                "--home-dir",
                str(home),
                name,
            )
            made.append(name)
            home.mkdir(mode=0o700)
        base.chmod(0o755)
        gid = int(subprocess.check_output(["getent", "group", group]).split(b":")[2])
        library = base / "lib"
        _copy_pigeon(library)
        people = [User(name, base / name, gid, library, sys.executable) for name in made]
        for person in people:
            person.own(person.home, mode=0o700)
            person.interpreter = _interpreter_of(person)
        # Once, as an installer does: none of them can write there, and each of their processes would compile all of it.
        _run(people[0].interpreter, "-m", "compileall", "-q", str(library))
        yield Users(*people)
    finally:
        for name in made:
            _unhindered("userdel", name)
        _unhindered("groupdel", GROUP + suffix)


def _copy_pigeon(library: Path) -> None:
    """Pigeon, its schema and the packages that it needs: a checkout of root's may be closed to others.

    With what is compiled already, which is good as long as the times of the sources are the same.
    """
    skipped = shutil.ignore_patterns("*.pyc.*")  # one that is being written
    for name in ("pigeon", "migrations"):
        shutil.copytree(ROOT / name, library / name, ignore=skipped)
    for package in _needed("filelock", "ptyprocess", "sqlite-utils", "tomli"):
        for file in package.files or ():
            source = Path(str(file.locate()))
            if ".." not in file.parts and source.is_file():
                (library / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, library / file)


def _needed(*names: str) -> list[metadata.Distribution]:
    """The distributions of these names, and all that they require here."""
    found: dict[str, metadata.Distribution] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop().lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # required on another Python, or by an extra
        needed = [line for line in found[name].requires or () if "extra ==" not in line]
        wanted.extend(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in needed)
    return list(found.values())


def _interpreter_of(person: User) -> str:
    """The first Python that he may execute and that runs pigeon."""
    said = ""
    for interpreter in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            probe = person.run([interpreter, "-c", "import pigeon.journal.store, pigeon.worker.locks.kinds"])
        except PermissionError as error:
            said = str(error)
            continue
        if probe.code == 0:
            return interpreter
        said = probe.words.strip()[-200:]
    pytest.skip(f"no Python here runs pigeon for another user: {said}")


def _unhindered(*argv: str) -> subprocess.CompletedProcess[str]:
    """The end of a program that changes the tables of users, which only one can do at a time (passwd(5) is locked)."""
    ends: list[subprocess.CompletedProcess[str]] = []

    def has_had_its_turn() -> bool:
        ends.append(subprocess.run(argv, capture_output=True, text=True, check=False))
        return "cannot lock" not in ends[-1].stderr

    wait_until(has_had_its_turn, 60, lambda: f"`{argv[0]}`: {ends[-1].stderr}", interval_s=0.2)
    return ends[-1]


def _run(*argv: str) -> None:
    done = _unhindered(*argv)
    if done.returncode != 0:
        pytest.skip(f"`{argv[0]}` does not work here: {done.stderr.strip()}")
