"""Every source of settings, end to end, in its order; and what is said about bad ones."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import uuid
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_root
from tests.helpers.processes import Result
from tests.helpers.settings import to_toml
from tests.helpers.surroundings import ROOT, Extra

NO_CONFIG: dict[str, str | None] = {"PIGEON_CONFIG": None}


def place(pigeon: Pigeon, path: Path, name: str, **settings: object) -> Path:
    """A configuration file for this share whose commands can tell where it came from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = {"cache": str(pigeon.share.client_path), "namespace": "test", **settings}
    path.write_text(to_toml({**layers, "remote_env": {"SOURCE": name}}))
    path.chmod(0o600)
    return path


class User:
    """Somebody with a home and a current directory of their own, and without any configuration yet."""

    def __init__(self, pigeon: Pigeon) -> None:
        self.pigeon = pigeon
        self.home = pigeon.directory(f"home-{uuid.uuid4().hex}")
        self.cwd = pigeon.directory(f"cwd-{uuid.uuid4().hex}")

    def run(self, *words: str, env: Extra | None = None, options: tuple[str, ...] = ()) -> Result:
        """Run pigeon as this user."""
        both = {"PIGEON_CONFIG": None, "HOME": str(self.home), **(env or {})}
        return self.pigeon.run(*words, env=both, cwd=self.cwd, options=options)

    def source(self, env: Extra | None = None, options: tuple[str, ...] = ()) -> str:
        """Which file a client takes its settings from."""
        result = self.run("echo $SOURCE", env=env, options=options)
        assert result.code == 0, result.words
        return result.stdout.decode().strip()


@pytest.mark.parametrize("name", [".pigeon.toml", "pigeon.toml"])
def test_a_file_in_the_current_directory(warm: Pigeon, name: str) -> None:
    user = User(warm)
    place(warm, user.cwd / name, "here")
    assert user.source() == ""  # variables are nothing that a directory may bring along
    assert user.run("config", "trust").code == 0
    assert user.source() == "here"


def test_the_default_place_comes_before_the_current_directory(warm: Pigeon) -> None:
    user = User(warm)
    place(warm, user.cwd / "pigeon.toml", "here")
    place(warm, user.home / ".config" / "pigeon" / "config.toml", "home")
    assert user.source() == "home"
    place(warm, user.home / "xdg" / "pigeon" / "config.toml", "xdg")
    assert user.source(env={"XDG_CONFIG_HOME": str(user.home / "xdg")}) == "xdg"


def test_a_named_file_comes_before_all(warm: Pigeon) -> None:
    user = User(warm)
    place(warm, user.home / ".config" / "pigeon" / "config.toml", "home")
    variable = place(warm, user.home / "variable.toml", "variable")
    flag = place(warm, user.home / "flag.toml", "flag")
    env = {"PIGEON_CONFIG": str(variable)}
    assert user.source(env=env) == "variable"
    assert user.source(env=env, options=("--config", str(flag))) == "flag"


def test_an_edited_file_counts_for_the_next_command(warm: Pigeon) -> None:
    user = User(warm)
    for name in ("one", "two", "two", "one"):
        place(warm, user.home / ".config" / "pigeon" / "config.toml", name)
        assert user.source() == name
    assert len(list((user.home / ".cache" / "pigeon").iterdir())) == 1


@pytest.mark.skipif("PIGEON_TEST_COMMAND" in os.environ, reason="needs a checkout to run from")
def test_the_checkout_configures_both_sides(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PIGEON_TEST_COMMAND", f"{sys.executable} -m pigeon"
    )  # which looks into PYTHONPATH first
    checkout = pigeon.base / "checkout"
    for name in ("pigeon", "migrations"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    place(pigeon, checkout / ".pigeon.toml", "checkout", worker={"journal": str(pigeon.journal)})
    user = User(pigeon)
    place(pigeon, user.cwd / "pigeon.toml", "here")
    env = {**NO_CONFIG, "PYTHONPATH": str(checkout)}
    worker = pigeon.start_process(sys.executable, "-m", "pigeon", "worker", env=env)
    try:
        assert user.source(env=env) == "checkout"
        place(pigeon, user.home / ".config" / "pigeon" / "config.toml", "home")
        assert user.source(env=env) == "home"
    finally:
        worker.signal(15)
        assert worker.wait().code == 0
    assert pigeon.journal.exists()


def test_variables_override_the_file_and_flags_both(pigeon: Pigeon) -> None:
    pigeon.settings["namespace"] = "flag"
    pigeon.worker("--namespace", "flag", "--route", "flag", env={"PIGEON_NAMESPACE": "variable"})
    wrong = place(pigeon, pigeon.base / "wrong.toml", "wrong", namespace="file", cache="/nonexistent")
    env: dict[str, str | None] = {
        "PIGEON_CONFIG": str(wrong),
        "PIGEON_CACHE": str(pigeon.share.client_path),
        "PIGEON_NAMESPACE": "flag",
        "PIGEON_ROUTE": "flag",
    }
    assert pigeon.run("echo ok", env=env).stdout == b"ok\n"
    env.update({"PIGEON_CACHE": "/nonexistent", "PIGEON_NAMESPACE": "variable", "PIGEON_ROUTE": "variable"})
    flags = ("--cache", str(pigeon.share.client_path), "--namespace", "flag", "--route", "flag")
    assert pigeon.run("echo ok", env=env, options=flags).stdout == b"ok\n"


def test_the_namespace_falls_back(pigeon: Pigeon) -> None:
    """To `user`, then to `$USER`, then to `$LOGNAME`, then to the login name."""
    path = pigeon.base / "minimal.toml"
    path.write_text(to_toml({"cache": str(pigeon.share.client_path)}))
    base: dict[str, str | None] = {"PIGEON_CONFIG": str(path), "PIGEON_JOURNAL": str(pigeon.journal)}
    for env, name in (
        ({"PIGEON_USER": "of-pigeon"}, "of-pigeon"),
        ({"USER": "of-the-system"}, "of-the-system"),
        ({"USER": None, "LOGNAME": "of-cron"}, "of-cron"),
        ({"USER": None, "LOGNAME": None}, pwd.getpwuid(os.getuid()).pw_name),
    ):
        both = {**base, **env}
        pigeon.settings["namespace"] = name
        worker = pigeon.worker(env=both)
        assert pigeon.run("echo ok", env=both).stdout == b"ok\n"
        assert worker.stop() == 0


def test_the_journal_can_be_named_by_flag_and_variable(pigeon: Pigeon) -> None:
    for number, (args, env) in enumerate(
        (
            (("--journal", str(pigeon.base / "flag.db")), {"PIGEON_JOURNAL": str(pigeon.base / "no.db")}),
            ((), {"PIGEON_JOURNAL": str(pigeon.base / "variable.db")}),
        )
    ):
        worker = pigeon.worker(*args, env=env)
        assert pigeon.run("true").code == 0
        assert worker.stop() == 0
        assert (pigeon.base / ("flag.db", "variable.db")[number]).exists()
    assert not (pigeon.base / "no.db").exists()
    assert not pigeon.journal.exists()


def test_max_jobs_and_poll_interval_as_flags(pigeon: Pigeon) -> None:
    pigeon.worker("--max-jobs", "3", "--poll-interval", "0.05")
    assert pigeon.namespace.workers()[0]["max_jobs"] == 3


def complaint(result: Result) -> str:
    """The text of a configuration error, which it must be."""
    assert (result.code, result.stdout) == (2, b"")
    assert result.words.startswith("pigeon: ")
    assert "Traceback" not in result.words
    return result.words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("namespase = 'x'", ["namespase", "namespace"]),
        ("[worker]\nmax_job = 3", ["max_job", "max_jobs"]),
        ("[workers]\nmax_jobs = 3", ["workers", "worker"]),
        ("[worker]\nmax_jobs = 'four'", ["max_jobs"]),
        ("[worker]\nmax_jobs = 0", ["max_jobs"]),
        ("[worker]\nmax_jobs = true", ["max_jobs"]),
        ("[worker]\npoll_interval = -1", ["poll_interval"]),
        ("[client]\nclaim_timeout = nan", ["claim_timeout"]),
        ("[client]\nshell = 'bash'", ["shell"]),
        ("[client]\non_disconnect = 'maybe'", ["on_disconnect"]),
        ("[remote_env]\nA = 1", ["A"]),
        ("namespace = 'a/b'", ["a/b"]),
        ("namespace = '..'", [".."]),
        ('namespace = "nul\\u0000"', ["namespace"]),
        ("cache = 7", ["cache"]),
        ("cache = 'relative/path'", ["relative/path"]),
        ("not toml", []),
        ("a = 1\na = 2", []),
        ("\udcff = 1", []),
    ],
    ids=repr,
)
def test_a_bad_file_is_named_with_its_key(pigeon: Pigeon, text: str, wanted: list[str]) -> None:
    path = pigeon.base / "bad.toml"
    head = "" if text.startswith("cache") else f"cache = '{pigeon.share.client_path}'\n"
    path.write_bytes((head + text + "\n").encode("utf-8", "surrogateescape"))
    words = complaint(pigeon.run("true", env={"PIGEON_CONFIG": str(path)}))
    for part in [str(path), *wanted]:
        assert part in words
    worker = pigeon.run("worker", env={"PIGEON_CONFIG": str(path)})
    assert str(path) in complaint(worker)


def test_tables_of_older_versions_are_passed_over(warm: Pigeon) -> None:
    warm.configure(interactive={"anything": 1})
    quiet = warm.run("true")
    assert (quiet.code, quiet.stderr) == (0, b"")
    assert "interactive" in warm.run("true", options=("-v",)).words


def test_no_configuration_at_all(pigeon: Pigeon) -> None:
    for words in (["true"], ["worker"]):
        said = complaint(pigeon.run(*words, env=NO_CONFIG))
        assert "cache" in said
        assert "hint:" in said


def test_a_named_file_that_is_missing(pigeon: Pigeon) -> None:
    missing = str(pigeon.base / "missing.toml")
    assert missing in complaint(pigeon.run("true", env={"PIGEON_CONFIG": missing}))
    assert missing in complaint(pigeon.run("true", options=("--config", missing)))


@pytest.mark.parametrize("mode", [0o622, 0o660])
def test_a_local_file_that_others_can_write_does_not_count(pigeon: Pigeon, mode: int) -> None:
    user = User(pigeon)
    place(pigeon, user.cwd / "pigeon.toml", "here").chmod(mode)
    assert "cache" in complaint(user.run("true"))


@needs_root
def test_a_local_file_of_another_user_does_not_count(pigeon: Pigeon) -> None:
    user = User(pigeon)
    os.chown(place(pigeon, user.cwd / "pigeon.toml", "here"), NOBODY, NOBODY)
    assert "cache" in complaint(user.run("true"))


@pytest.mark.parametrize("words", [["--no-such-option", "true"], ["--namespace"]])
def test_usage_errors(pigeon: Pigeon, words: list[str]) -> None:
    complaint(pigeon.run(*words))


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_no_command_and_no_terminal(pigeon: Pigeon, options: tuple[str, ...]) -> None:
    result = pigeon.run(options=options, stdin=b"ls\n")
    assert (result.code, result.stdout) == (2, b"")
    first, second = result.words.splitlines()[:2]
    assert first == "pigeon: no command given, and stdin is not a terminal"
    assert second.startswith("usage:")


@pytest.mark.parametrize("namespace", ["a/b", "..", ".", "", ".hidden", "x" * 300])
def test_namespaces_that_are_no_directory_name(pigeon: Pigeon, namespace: str) -> None:
    complaint(pigeon.run("true", options=("--namespace", namespace)))
    complaint(pigeon.run("worker", "--namespace", namespace))


def test_help_and_version_need_nothing(pigeon: Pigeon) -> None:
    for words in (["--help"], ["--version"], ["worker", "--help"], ["history", "--help"]):
        result = pigeon.run(*words, env=NO_CONFIG)
        assert (result.code, result.stderr) == (0, b"")
        assert result.stdout


def test_two_dashes_end_the_options(warm: Pigeon) -> None:
    assert warm.run("echo", "ok", options=("--",)).stdout == b"ok\n"
    program = warm.directory("bin") / "worker"
    program.write_text("#!/bin/sh\necho my own worker\n")
    program.chmod(0o755)
    assert warm.run(f"PATH={program.parent}:$PATH worker").stdout == b"my own worker\n"
    assert warm.run("worker", options=("--",)).code == 127
