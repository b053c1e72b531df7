"""Whose files may configure pigeon: one check of owner and mode for every place, and what a directory brings along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pigeon import config, config_file, settings
from pigeon.config import Config
from pigeon.errors import ConfigError
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_root
from tests.helpers.terminal import Terminal
from tests.helpers.users import Users, needs_users

BAIT = """
cache = "{cache}"
namespace = "test"
[worker]
max_jobs = 3
debug = true
[client]
shell = ["bash", "-c", "echo caught >&2; eval \\"$0\\""]
claim_timeout = 7
[remote_env]
LURED = "yes"
"""


class Where:
    """A home, a directory that came from elsewhere, and what a user is told there."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.clone = base / "clone"
        for made in (self.home, self.clone):
            made.mkdir()
        self.env = {"HOME": str(self.home), "USER": "me"}

    def write(self, path: Path, text: str, mode: int = 0o644) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def load(self, flags: Mapping[str, str] | None = None, /, **env: str) -> Config:
        return config.load(flags or {}, environ={**self.env, **env}, cwd=str(self.clone))


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Where:
    monkeypatch.setattr(config_file, "checkout_root", lambda: None)
    return Where(tmp_path)


# -- every place -------------------------------------------------------------------------------------------

PLACES = ["named by a flag", "named by a variable", "config home", "home"]


def put(where: Where, place: str) -> tuple[Path, dict[str, str], dict[str, str]]:
    """(the file, flags, variables): a sound configuration in that place."""
    path, flags, env = where.home / ".config/pigeon/config.toml", dict[str, str](), dict[str, str]()
    if place == "named by a flag":
        path = where.home / "x.toml"
        flags = {"config": str(path)}
    elif place == "named by a variable":
        path = where.home / "x.toml"
        env = {"PIGEON_CONFIG": str(path)}
    elif place == "config home":
        path = where.home / "xdg/pigeon/config.toml"
        env = {"XDG_CONFIG_HOME": str(where.home / "xdg")}
    return where.write(path, "route = 'mine'"), flags, env


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_can_write_is_refused(where: Where, place: str, mode: int) -> None:
    path, flags, env = put(where, place)
    assert where.load(flags, **env).route == "mine"
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others can write it") as caught:
        where.load(flags, **env)
    assert str(path) in caught.value.message
    assert f"chmod go-w {path}" in str(caught.value.hint)


@needs_root
@pytest.mark.parametrize("place", PLACES)
def test_a_file_of_another_user_is_refused(where: Where, place: str) -> None:
    path, flags, env = put(where, place)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="belongs to another user") as caught:
        where.load(flags, **env)
    assert str(path) in caught.value.message and caught.value.hint


@needs_users
def test_a_file_of_root_is_taken(users: Users, meeting: Path) -> None:
    """Who administers the machine could do anything else."""
    path = meeting / "site.toml"
    path.write_text("route = 'site'")
    path.chmod(0o644)
    done = users.victim.pigeon("--config", str(path), "config", "show")
    assert done.code == 0 and b'"site"' in done.stdout
    os.chown(path, users.attacker.uid, users.attacker.gid)
    done = users.victim.pigeon("--config", str(path), "config", "show")
    assert done.code == 2 and f"uid {users.attacker.uid}" in done.words


def test_the_file_of_the_checkout_is_as_safe_as_the_code(
    where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout that was made with umask 002 all files are open to the group: the code that runs is, too."""
    package = where.home / "checkout" / "pigeon"
    code = where.write(package / "config_file.py", "", 0o664)
    path = where.write(where.home / "checkout" / ".pigeon.toml", "client = { shell = ['sh', '-c'] }", 0o664)
    monkeypatch.setattr(config_file, "checkout_root", lambda: str(where.home / "checkout"))
    monkeypatch.setattr(config_file, "__file__", str(code))
    assert where.load().client.shell == ["sh", "-c"]
    code.chmod(0o644)
    with pytest.raises(ConfigError, match="others can write it"):
        where.load()
    path.chmod(0o644)
    assert where.load().client.shell == ["sh", "-c"]


# -- what a directory brings along -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".pigeon.toml", "pigeon.toml"])
def test_only_what_does_no_harm_counts_in_a_directory(where: Where, name: str) -> None:
    path = where.write(where.clone / name, BAIT.format(cache="/shared"))
    found = where.load()
    assert (found.cache, found.namespace, found.worker.max_jobs) == ("/shared", "test", 3)
    assert found.client.claim_timeout == 7
    assert found.client.shell == ["bash", "-lc"]
    assert found.worker.debug is False
    assert found.remote_env == {}
    (warning,) = found.warnings
    for word in (str(path), "client.shell", "remote_env", "worker.debug", "pigeon config trust"):
        assert word in warning
    assert "claim_timeout" not in warning
    assert where.load({"config": str(path)}).client.shell[1] == "-c", "who names it means it"


def test_each_key_that_could_do_harm_waits_for_trust(where: Where) -> None:
    """A key that is new counts as one, until somebody says in the table that it is harmless."""
    harmless = {setting.key for setting in settings.TABLE if setting.harmless}
    assert {"cache", "namespace", "user", "route", "worker.max_jobs", "worker.retention"} <= harmless
    assert not harmless & {
        "client.shell", "client.env_exclude", "worker.journal", "worker.debug", "worker.lock",
    }  # fmt: skip
    for setting in settings.TABLE:
        number = setting.kind in (settings.COUNT, settings.SECONDS, settings.BYTES)
        assert setting.harmless or not number, setting.key
        value = settings.shown(setting.default) if setting.default is not None else '"x"'
        if setting.default is None:
            value = {settings.PATH: '"/x"', settings.SECONDS: '"5m"'}.get(setting.kind, value)
        table, _, key = setting.key.rpartition(".")
        where.write(
            where.clone / "pigeon.toml", f"[{table}]\n{key} = {value}" if table else f"{key} = {value}"
        )
        assert bool(where.load().warnings) is not setting.harmless, setting.key


def test_trust_is_of_a_path_and_a_content(pigeon: Pigeon) -> None:
    clone = pigeon.directory("clone")
    path = clone / ".pigeon.toml"
    path.write_text(BAIT.format(cache=pigeon.share.client_path))
    env: dict[str, str | None] = {"PIGEON_CONFIG": None}
    pigeon.worker()

    def ran() -> tuple[bytes, str]:
        done = pigeon.run("echo $LURED", cwd=clone, env=env)
        assert done.code == 0, done.words
        return done.stdout, done.words

    out, said = ran()
    assert out == b"\n" and "caught" not in said
    assert said.count("pigeon config trust") == 1 and len(said.splitlines()) == 1
    done = pigeon.run("config", "trust", cwd=clone, env=env)
    assert done.code == 0 and b"client.shell" in done.stdout, done
    assert ran() == (b"yes\n", "caught\n")
    path.write_text(path.read_text() + "# and one thing more\n")
    out, said = ran()
    assert out == b"\n" and "has changed since" in said
    assert pigeon.run("config", "trust", ".pigeon.toml", cwd=clone, env=env).code == 0
    other = pigeon.directory("other")
    shutil.copy2(path, other)
    assert "is not trusted" in pigeon.run("true", cwd=other, env=env).words
    assert ran() == (b"yes\n", "caught\n")
    assert pigeon.run("config", "untrust", cwd=clone, env=env).code == 0
    assert ran()[0] == b"\n"
    assert pigeon.run("config", "untrust", cwd=clone, env=env).code == 1


def test_what_was_trusted_is_private_and_believed_only_then(where: Where) -> None:
    from pigeon import config_trust

    path = where.write(where.clone / "pigeon.toml", "client = { shell = ['sh', '-c'] }")
    before = os.umask(0)
    try:
        config_trust.allow(str(path), path.read_bytes(), where.env)
    finally:
        os.umask(before)
    memory = where.home / ".local/state/pigeon/trusted"
    (entry,) = memory.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert memory.stat().st_mode & 0o777 == memory.parent.stat().st_mode & 0o777 == 0o700
    assert where.load().client.shell == ["sh", "-c"]
    for spoilt, mode in ((memory, 0o777), (memory.parent, 0o777), (entry, 0o666)):
        was = spoilt.stat().st_mode
        spoilt.chmod(mode)
        assert where.load().client.shell == ["bash", "-lc"], spoilt
        spoilt.chmod(was)
    where.home.chmod(0o777)
    with pytest.raises(ConfigError, match="cannot be remembered"):
        config_trust.allow(str(path), b"", where.env)
    where.home.chmod(0o700)
    assert where.load().client.shell == ["sh", "-c"]


def test_a_terminal_is_told_before_it_is_raw(pigeon: Pigeon) -> None:
    clone = pigeon.directory("clone")
    (clone / "pigeon.toml").write_text(BAIT.format(cache=pigeon.share.client_path))
    pigeon.worker()
    window: Terminal = pigeon.spawn_tty("echo done", env={"PIGEON_CONFIG": None}, cwd=clone)
    window.wait_for("pigeon config trust")
    window.wait_for("done")
    assert window.wait().code == 0


def test_detach_and_verbs_tell_it_too(pigeon: Pigeon) -> None:
    clone = pigeon.directory("clone")
    (clone / "pigeon.toml").write_text(BAIT.format(cache=pigeon.share.client_path))
    env: dict[str, str | None] = {"PIGEON_CONFIG": None}
    for words in (("--detach", "true"), ("sessions",), ("config", "show")):
        assert "pigeon config trust" in pigeon.run(*words, cwd=clone, env=env).words, words


def test_only_files_that_need_it_are_trusted(pigeon: Pigeon) -> None:
    clone = pigeon.directory("clone")
    assert "neither" in pigeon.run("config", "trust", cwd=clone).words
    other = clone / "other.toml"
    other.write_text("")
    assert pigeon.run("config", "trust", "other.toml", cwd=clone).code == 2
    bad = clone / "pigeon.toml"
    bad.write_text("not toml")
    assert "not TOML" in pigeon.run("config", "trust", cwd=clone).words
    bad.write_text("")
    bad.chmod(0o666)
    assert "others can write it" in pigeon.run("config", "trust", cwd=clone).words
    bad.chmod(0o600)
    done = pigeon.run("config", "trust", cwd=clone)
    assert done.code == 0 and b"nothing in it needed that" in done.stdout


@pytest.mark.parametrize("value", ["~\\u0000x", "~\\u0000/x", "/x\\u0000", "~nobody\\u0000here"])
def test_a_name_with_nul_is_told(where: Where, value: str) -> None:
    where.write(where.home / ".config/pigeon/config.toml", f'cache = "{value}"')
    with pytest.raises(ConfigError, match="`cache` must be"):
        where.load()


@pytest.mark.parametrize("key", ["user", "route", "namespace"])
@pytest.mark.parametrize(
    "char", ["\\u001b", "\\u0085", "\\u009b", "\\u202e", "\\u2066", "\\u2028", "\\u007f", "\\u061c"]
)
def test_a_name_that_a_terminal_would_act_upon(where: Where, key: str, char: str) -> None:
    where.write(where.home / ".config/pigeon/config.toml", f'{key} = "a{char}b"')
    with pytest.raises(ConfigError, match=f"`{key}` must be") as caught:
        where.load()
    assert caught.value.message.isprintable()
