"""Where each setting may come from, in which order, and what is said about a bad one."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pigeon import config, config_file, settings
from pigeon.commands import arguments
from pigeon.commands import config as verb
from pigeon.config import Config
from pigeon.errors import ConfigError
from tests.helpers.privileges import NOBODY, needs_root

ROOT = Path(__file__).resolve().parents[2]


class Where:
    """A home, a current directory and an environment of a test's own."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.cwd = base / "work"
        self.cwd.mkdir(parents=True)
        self.default = self.home / ".config/pigeon/config.toml"
        self.env = {"HOME": str(self.home), "USER": "me"}

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def load(self, flags: Mapping[str, str] | None = None, /, **env: str) -> Config:
        return config.load(flags or {}, environ={**self.env, **env}, cwd=str(self.cwd))

    def error(self, text: str | bytes, flags: Mapping[str, str] | None = None, **env: str) -> ConfigError:
        """What is said about a file with this content."""
        path = self.write(self.default, "")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as raised:
            self.load(flags, **env)
        return raised.value


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Where:
    # the checkout that the tests run from must not configure them
    monkeypatch.setattr(config_file, "checkout_root", lambda: None)
    return Where(tmp_path)


def test_the_defaults(where: Where) -> None:
    found = where.load()
    assert (found.cache, found.namespace, found.user, found.route) == (None, "me", "me", None)
    worker, client = found.worker, found.client
    assert (worker.max_jobs, worker.poll_interval, worker.debug, worker.journal) == (4, 0.2, False, None)
    assert (worker.lock, worker.route, worker.max_stream) == ("auto", None, 17179869184)
    assert (worker.client_timeout, worker.host_timeout) == (180.0, 600.0)
    assert (worker.retention, worker.terminal_retention, worker.journal_retention) == (
        86400.0,
        3600.0,
        7776000.0,
    )
    assert (client.shell, client.repair, client.on_disconnect) == (["bash", "-lc"], True, "hangup")
    assert (client.claim_timeout, client.worker_timeout, client.escape_char) == (30.0, 60.0, "~")
    assert client.env_exclude == list(settings.DEFAULT_ENV_EXCLUDE)
    assert found.wire.fsync is False
    assert (found.remote_env, found.notes, found.files) == ({}, [], [])
    assert found.origin("worker.max_jobs") == found.origin("cache") == found.origin("remote_env") == "default"


def test_settings_do_not_change(where: Where) -> None:
    found = where.load()
    with pytest.raises(AttributeError):
        found.cache = "/elsewhere"
    with pytest.raises(AttributeError):
        found.worker.max_jobs = 5
    found.client.shell.append("x")
    assert where.load().client.shell == ["bash", "-lc"]
    with pytest.raises(AttributeError):
        found.worker.no_such_key  # type: ignore[attr-defined]  # noqa: B018  # that is the point


def test_a_whole_file(where: Where) -> None:
    path = where.write(
        where.default,
        """
        cache = "~/share/"
        namespace = "lab"
        user = "somebody"
        route = "internet"
        share_trust = "group"
        [worker]
        max_jobs = 7
        poll_interval = 1
        idle_exit = "10m"
        debug = true
        log = "ids"
        journal = "/var//tmp/./j.db"
        lock = "strict"
        route = "other"
        client_timeout = 15.5
        host_timeout = 6
        max_stream = "3 GiB"
        scrollback = "1 MiB"
        retention = 0
        terminal_retention = 1
        journal_retention = 2
        wrap = ["nice"]
        launcher = ["srun"]
        net = false
        max_net = 3
        net_permit = ["*.example.org:443"]
        net_deny = []
        net_history = false
        [net]
        direct = ["10.0.0.0/8"]
        [client]
        shell = ["sh", "-c"]
        path = "login"
        notify_after = "2m"
        env_exclude = []
        repair = false
        claim_timeout = 8
        worker_timeout = 9
        on_disconnect = "keep"
        escape_char = "none"
        [wire]
        fsync = true
        [remote_env]
        HTTPS_PROXY = "http://x"
        EMPTY = ""
        """,
    )
    found = where.load()
    assert (found.cache, found.namespace) == (f"{where.home}/share", "lab")
    assert (found.user, found.route, found.worker.route) == ("somebody", "internet", "other")
    assert (found.worker.max_jobs, found.worker.poll_interval, found.worker.debug) == (7, 1.0, True)
    assert (found.worker.journal, found.worker.lock) == ("/var/tmp/j.db", "strict")
    assert (found.worker.client_timeout, found.worker.host_timeout) == (15.5, 6.0)
    assert (found.worker.max_stream, found.worker.scrollback) == (3 << 30, 1 << 20)
    assert (found.worker.retention, found.worker.wrap) == (0.0, ["nice"])
    assert (found.worker.net, found.worker.max_net, found.worker.net_history) == (False, 3, False)
    assert (found.worker.net_permit, found.worker.net_deny) == (["*.example.org:443"], [])
    assert found.net.direct == ["10.0.0.0/8"]
    assert isinstance(found.worker.poll_interval, float)
    assert found.worker.idle_exit == 600.0
    assert (found.client.shell, found.client.env_exclude, found.client.repair) == (["sh", "-c"], [], False)
    assert (found.client.path, found.client.notify_after) == ("login", 120.0)
    assert (found.client.claim_timeout, found.client.worker_timeout) == (8.0, 9.0)
    assert (found.client.on_disconnect, found.client.escape_char, found.wire.fsync) == ("keep", "none", True)
    assert found.remote_env == {"HTTPS_PROXY": "http://x", "EMPTY": ""}
    assert found.files == [str(path)]
    assert {found.origin(setting.key) for setting in settings.TABLE} == {str(path)}
    assert found.origin("remote_env") == str(path)


# Which file


def test_the_first_place_that_exists_is_read(
    where: Where, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    monkeypatch.setattr(config_file, "checkout_root", lambda: str(checkout))
    flag, variable = tmp_path / "flag.toml", tmp_path / "variable.toml"
    xdg = tmp_path / "xdg/pigeon/config.toml"
    env: dict[str, str] = {}
    flags: dict[str, str] = {}
    for path, name, value in (
        (where.cwd / "pigeon.toml", "", ""),
        (where.cwd / ".pigeon.toml", "", ""),
        (checkout / ".pigeon.toml", "", ""),
        (where.default, "", ""),
        (xdg, "XDG_CONFIG_HOME", str(tmp_path / "xdg")),
        (variable, "PIGEON_CONFIG", str(variable)),
        (flag, "config", str(flag)),
    ):
        where.write(path, f"route = '{path.name}'")
        (flags if name == "config" else env).update({name: value} if name else {})
        found = where.load(flags, **env)
        assert (found.files, found.route) == ([str(path)], path.name)
        assert config_file.locate(flags, environ={**where.env, **env}, cwd=str(where.cwd)) == (str(path), [])


def test_a_checkout_is_known_by_its_project_file() -> None:
    assert config_file.checkout_root() == str(ROOT)


@pytest.mark.parametrize("value", ["", "relative/xdg"])
def test_a_config_home_that_is_not_absolute_does_not_count(where: Where, value: str) -> None:
    path = where.write(where.default, "")
    assert where.load(XDG_CONFIG_HOME=value).files == [str(path)]


def test_a_named_file_may_be_relative_or_in_a_home_or_a_pipe(where: Where) -> None:
    here = where.write(where.cwd / "x.toml", "")
    assert where.load({"config": "x.toml"}).files == [str(here)]
    at_home = where.write(where.home / "x.toml", "")
    assert where.load({"config": "~/x.toml"}).files == [str(at_home)]
    reading, writing = os.pipe()
    os.write(writing, b"route = 'piped'")
    os.close(writing)
    try:
        assert where.load({"config": f"/dev/fd/{reading}"}).route == "piped"
    finally:
        os.close(reading)


def test_a_named_file_must_exist(where: Where) -> None:
    where.write(where.default, "")
    cases: list[tuple[dict[str, str], dict[str, str], str]] = [
        ({"config": "/no/such"}, {}, "--config"),
        ({}, {"PIGEON_CONFIG": "/no/such"}, "PIGEON_CONFIG"),
    ]
    for flags, env, source in cases:
        with pytest.raises(ConfigError, match="/no/such") as raised:
            where.load(flags, **env)
        assert source in raised.value.message
        assert "config init" in (raised.value.hint or "")
    where.write(where.cwd / "file", "")
    with pytest.raises(ConfigError, match="cannot be read") as raised:
        where.load({"config": str(where.cwd / "file" / "below")})
    assert raised.value.hint is None, "what is there and cannot be read is not to be written anew"
    with pytest.raises(ConfigError, match="--config"):
        where.load({"config": ""})
    with pytest.raises(ConfigError):
        where.load({"config": "nul\0"})
    assert where.load(PIGEON_CONFIG="").files == [str(where.default)]


def test_a_directory_or_a_huge_file_is_no_configuration(where: Where) -> None:
    with pytest.raises(ConfigError, match="directory"):
        where.load({"config": str(where.cwd)})
    huge = where.cwd / "huge.toml"
    huge.touch()
    os.truncate(huge, config_file.MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigError, match="larger"):
        where.load({"config": str(huge)})


def test_an_unreadable_default_file_is_an_error(where: Where) -> None:
    where.default.parent.mkdir(parents=True)
    where.default.symlink_to(where.default)
    with pytest.raises(ConfigError, match="cannot be read") as raised:
        where.load()
    assert str(where.default) in raised.value.message


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_local_file_that_others_can_write_is_passed_over(where: Where, mode: int) -> None:
    first = where.write(where.cwd / ".pigeon.toml", "route = 'bait'")
    first.chmod(mode)
    found = where.load()
    assert (found.route, found.files) == (None, [])
    assert str(first) in found.notes[0]
    with pytest.raises(ConfigError, match="others can write it") as raised:
        found.require_cache()
    assert "chmod" in (raised.value.hint or "")
    second = where.write(where.cwd / "pigeon.toml", "route = 'mine'")
    assert where.load().files == [str(second)]
    with pytest.raises(ConfigError, match="others can write it"):
        where.load({"config": str(first)})


@needs_root
def test_a_local_file_or_link_of_another_user_is_passed_over(where: Where) -> None:
    path = where.write(where.cwd / ".pigeon.toml", "")
    os.chown(path, NOBODY, NOBODY)
    assert "another user" in where.load().notes[0]
    path.unlink()
    own = where.write(where.cwd / "elsewhere.toml", "")
    path.symlink_to(own)
    assert where.load().files == [str(path)]
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert "another user" in where.load().notes[0]


def test_a_local_pipe_or_loop_or_directory_hangs_nobody(where: Where) -> None:
    os.mkfifo(where.cwd / ".pigeon.toml", 0o600)
    (where.cwd / "pigeon.toml").symlink_to("pigeon.toml")
    assert len(where.load().notes) == 2
    (where.cwd / ".pigeon.toml").unlink()
    (where.cwd / ".pigeon.toml").mkdir(0o700)
    assert "no regular file" in where.load().notes[0]


def test_the_default_file_counts_in_its_own_directory_too(where: Where) -> None:
    where.write(where.default, "")
    where.cwd = where.default.parent
    assert where.load().files == [str(where.default)]


# Which value


@pytest.mark.parametrize(
    ("key", "flag", "variable", "written", "default"),
    [
        ("cache", "/flag", "/variable", "/file", None),
        ("namespace", "flag", "variable", "file", "me"),
        ("user", "flag", "variable", "file", "me"),
        ("route", "flag", "variable", "file", None),
        ("worker.route", "flag", "variable", "file", None),
        ("worker.journal", "/flag", "/variable", "/file", None),
    ],
)
def test_flags_come_before_variables_before_the_file(
    where: Where, key: str, flag: str, variable: str, written: str, default: str | None
) -> None:
    setting = settings.BY_KEY[key]

    def value(found: Config) -> object:
        return getattr(getattr(found, setting.table) if setting.table else found, setting.name)

    env = {setting.variable: variable}
    assert value(where.load()) == default
    text = f"{setting.name} = '{written}'"
    path = where.write(where.default, f"[{setting.table}]\n{text}" if setting.table else text)
    for found, wanted, origin in (
        (where.load(), written, str(path)),
        (where.load(**{setting.variable: ""}), written, str(path)),
        (where.load(**env), variable, setting.variable),
        (where.load({key: flag}, **env), flag, setting.flag),
    ):
        assert (value(found), found.origin(key)) == (wanted, origin)


def test_the_workers_route(where: Where) -> None:
    assert where.load({"route": "flag"}).worker.route == "flag"
    assert where.load(PIGEON_ROUTE="variable").worker.route == "variable"
    where.write(where.default, "route = 'top'")
    found = where.load()
    assert (found.worker.route, found.origin("worker.route")) == ("top", "route")
    where.write(where.default, "route = 'top'\n[worker]\nroute = 'own'")
    assert where.load().worker.route == "own"
    assert where.load().route == "top"
    assert where.load({"route": "flag"}, PIGEON_ROUTE="variable").worker.route == "flag"
    assert where.load(PIGEON_ROUTE="variable").worker.route == "variable"


def test_the_namespace_falls_back(where: Where) -> None:
    assert where.load({"namespace": "a", "user": "b"}).namespace == "a"
    assert where.load({"user": "b"}).namespace == "b"
    assert where.load({"user": "b"}).origin("namespace") == "user"
    assert where.load().namespace == "me"
    assert where.load(USER="", LOGNAME="you").namespace == "you"
    del where.env["USER"]
    found = where.load()
    login = pwd.getpwuid(os.getuid()).pw_name
    assert (found.namespace, found.user, found.origin("user")) == (login, login, "your login name")


def test_a_user_that_cannot_be_a_namespace(where: Where) -> None:
    with pytest.raises(ConfigError, match="a/b"):
        where.load({"user": "a/b"})
    assert where.load({"user": "a/b", "namespace": "x"}).user == "a/b"
    found = where.load(USER="DOMAIN/me")
    assert (found.user, found.namespace) == ("DOMAIN/me", "default")
    assert "DOMAIN/me" in found.notes[0]


def test_relative_paths_mean_something_on_the_command_line_only(where: Where) -> None:
    assert where.load({"cache": "share"}).cache == f"{where.cwd}/share"
    assert where.load({"cache": "."}).cache == str(where.cwd)
    assert where.load({"cache": "/a/../b"}).cache == "/a/../b"
    assert where.load({"worker.journal": "~/j.db"}).worker.journal == f"{where.home}/j.db"
    assert where.load(PIGEON_CACHE="~/share").cache == f"{where.home}/share"
    assert where.load({"cache": "~root"}).cache == os.path.expanduser("~root")
    for flags, env in (({}, {"PIGEON_CACHE": "share"}), ({"cache": ""}, {}), ({"cache": "a\0"}, {})):
        with pytest.raises(ConfigError, match="cache"):
            where.load(flags, **env)
    assert "share" in where.error("cache = 'share'").message


def test_the_cache_is_required_only_where_it_is_used(where: Where) -> None:
    with pytest.raises(ConfigError, match="cache") as raised:
        where.load().require_cache()
    assert "--cache" in (raised.value.hint or "")
    where.write(where.default, "")
    with pytest.raises(ConfigError, match="does not set it"):
        where.load().require_cache()
    assert where.load({"cache": "/c"}).require_cache() == "/c"


def test_texts_of_flags_become_values(where: Where) -> None:
    found = where.load(
        {
            "worker.max_jobs": "64",
            "worker.poll_interval": ".5",
            "worker.debug": "true",
            "worker.lock": "flock",
            "worker.max_stream": "2MiB",
            "client.claim_timeout": "7",
            "client.escape_char": "%",
            "client.on_disconnect": "keep",
        }
    )
    assert (found.worker.max_jobs, found.worker.poll_interval, found.worker.debug) == (64, 0.5, True)
    assert (found.worker.lock, found.worker.max_stream) == ("flock", 2 << 20)
    assert (found.client.claim_timeout, found.client.escape_char) == (7.0, "%")
    assert found.client.on_disconnect == "keep"


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("worker.max_jobs", "four", "--max-jobs"),
        ("worker.max_jobs", "0", "from 1 to 4096"),
        ("worker.poll_interval", "nan", "--poll-interval"),
        ("worker.poll_interval", "inf", "--poll-interval"),
        ("worker.debug", "perhaps", "true or false"),
        ("worker.lock", "none", '"strict"'),
        ("client.claim_timeout", "", "--claim-timeout"),
        ("client.escape_char", "~~", "--escape-char"),
        ("client.escape_char", "^M", "^X"),
        ("client.escape_char", "\r", "^X"),
        ("client.escape_char", "^ß", "^X"),
        ("namespace", "", "--namespace"),
        ("namespace", "a\nb", "--namespace"),
        ("route", "", "--route"),
    ],
)
def test_a_bad_flag_is_named(where: Where, key: str, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as raised:
        where.load({key: text})
    assert wanted in raised.value.message
    assert key in raised.value.message


@pytest.mark.parametrize("given", ["^]", "\x1d"])
def test_an_escape_character_that_is_a_control_character(where: Where, given: str) -> None:
    assert where.load({"client.escape_char": given}).client.escape_char == "^]"
    assert where.load({"client.escape_char": "^a"}).client.escape_char == "^A"
    assert where.load({"client.escape_char": "^"}).client.escape_char == "^"


def test_a_bad_variable_is_named(where: Where) -> None:
    with pytest.raises(ConfigError, match=r"PIGEON_NAMESPACE: .*'\.\./x'"):
        where.load(PIGEON_NAMESPACE="../x")


# What a file may not say


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("cache = 7", "cache"),
        ("cache = ''", "cache"),
        ("namespace = 'a/b'", "namespace"),
        ("namespace = '..'", "namespace"),
        ("namespace = '.a'", "namespace"),
        ("namespace = ''", "namespace"),
        ('namespace = "a\\u0000"', "namespace"),
        (f"namespace = '{'é' * 101}'", "namespace"),
        ("user = 1979-05-27", "user"),
        ("[worker]\nmax_jobs = 'four'", "worker.max_jobs"),
        ("[worker]\nmax_jobs = 4.0", "worker.max_jobs"),
        ("[worker]\nmax_jobs = true", "worker.max_jobs"),
        ("[worker]\nmax_jobs = 0", "worker.max_jobs"),
        ("[worker]\nmax_jobs = 999999", "worker.max_jobs"),
        ("[worker]\npoll_interval = 0", "worker.poll_interval"),
        ("[worker]\npoll_interval = 1e9", "worker.poll_interval"),
        ("[worker]\npoll_interval = nan", "worker.poll_interval"),
        ("[worker]\ndebug = 1", "worker.debug"),
        ("[worker]\nlock = 'none'", "worker.lock"),
        ("[worker]\nretention = -1", "worker.retention"),
        ("[worker]\nclient_timeout = inf", "worker.client_timeout"),
        ("[worker]\nmax_stream = '16 parsecs'", "worker.max_stream"),
        ("[worker]\nmax_stream = 1.5", "worker.max_stream"),
        ("[worker]\nmax_stream = '1KiB'", "worker.max_stream"),
        ("[client]\nshell = 'bash -lc'", "client.shell"),
        ("[client]\nshell = []", "client.shell"),
        ("[client]\nshell = ['bash', 1]", "client.shell"),
        ("[client]\nenv_exclude = ['']", "client.env_exclude"),
        ("[client]\nescape_char = ' '", "client.escape_char"),
        ("[client]\non_disconnect = 'maybe'", "client.on_disconnect"),
        ("[client.shell]\na = 1", "client.shell"),
        ("worker = 3", "worker"),
        ("remote_env = 3", "remote_env"),
        ("[remote_env]\nA = 1", "remote_env.A"),
        ('[remote_env]\nA = "\\u0000"', "remote_env.A"),
        ("[remote_env]\n'A=B' = ''", "A=B"),
        ("[remote_env]\n'' = ''", "remote_env"),
    ],
)
def test_a_bad_value_is_named_with_file_and_key(where: Where, text: str, key: str) -> None:
    error = where.error(text)
    assert f"`{where.default}`: " in error.message
    assert key in error.message
    assert error.exit_code == 2


def test_a_message_is_short_and_keeps_secrets(where: Where) -> None:
    assert len(where.error(f"user = {[['x' * 10_000]]}").message) < 400
    assert "s3cret" not in where.error('[remote_env]\nTOKEN = "s3cret\\u0000"').message
    assert "s3cret" not in where.error("[remote_env]\nTOKEN = ['s3cret']").message


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("namespase = 'x'", "namespase", "namespace"),
        ("max_jobs = 4", "max_jobs", "worker.max_jobs"),
        ("[worker]\nmax_job = 3", "worker.max_job", "worker.max_jobs"),
        ("[worker]\nclaim_timeout = 3", "worker.claim_timeout", "client.claim_timeout"),
        ("[workers]\nmax_jobs = 3", "workers", "worker"),
        ("[remote-env]\nA = 'b'", "remote-env", "remote_env"),
        ("[client]\nREPAIR = true", "client.REPAIR", "client.repair"),
        ("zzzzzz = 1", "zzzzzz", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(where: Where, text: str, key: str, near: str) -> None:
    message = where.error(text).message
    assert f"`{where.default}`" in message
    assert f"`{key}`" in message
    assert (f"`{near}`" in message) if near else ("nearest" not in message)


@pytest.mark.parametrize(
    "text",
    ["not toml", "a = 1\na = 2", "a = '", b"\xff = 1", b"\xef\xbb\xbfcache = '/x'", "a = " + "[" * 5000],
)
def test_what_is_not_toml(where: Where, text: str | bytes) -> None:
    assert str(where.default) in where.error(text).message


def test_tables_of_older_versions_are_noted(where: Where) -> None:
    where.write(where.default, "route = 'x'\n[interactive]\nanything = [1]\n[interactive.deeper]\nmore = 2")
    found = where.load()
    assert found.route == "x"
    assert len(found.notes) == 1
    assert "interactive" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GiB", 16 << 30), ("16 gib", 16 << 30), ("16G", 16 << 30), ("1.5GB", 3 << 29), ("2048k", 2 << 20),
        ("1048576", 1 << 20), ("1048576B", 1 << 20), ("1T", 1 << 40),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert settings.check(settings.BY_KEY["worker.max_stream"], text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "16GiBs", "16GG", "16iB", "-16G", "infG", "nan", "1e400", "16 G G", "²G"]
)
def test_what_is_no_size(text: str) -> None:
    assert settings.check(settings.BY_KEY["worker.max_stream"], text) is None


# The verb, and what the others share


def verb_in(where: Where, monkeypatch: pytest.MonkeyPatch, *args: str, **flags: str) -> int:
    """`pigeon config …` with this home and current directory."""
    for name, value in where.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(where.cwd)
    return verb.main(list(args), flags)


def test_show(where: Where, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = where.write(where.default, "cache = '/share'\n[remote_env]\nTOKEN = 's3cret'\n[interactive]\n")
    assert verb_in(where, monkeypatch, "show", "--namespace", "lab", route="r") == 0
    said = capsys.readouterr()
    rows = {line.split()[0]: line for line in said.out.splitlines()}
    assert [*rows] == [*settings.BY_KEY, "remote_env.TOKEN"]
    assert rows["cache"].split()[1:] == ['"/share"', str(path)]
    assert rows["namespace"].split()[1:] == ['"lab"', "--namespace"]
    assert rows["route"].split()[1:] == ['"r"', "--route"]
    assert rows["worker.max_jobs"].split()[1:] == ["4", "default"]
    assert "s3cret" not in said.out + said.err
    assert "interactive" in said.err
    assert verb_in(where, monkeypatch, "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["cache"] == {"value": "/share", "origin": str(path)}
    assert shown["client.shell"]["value"] == ["bash", "-lc"]
    assert shown["remote_env.TOKEN"]["value"] == "***"


def test_path(where: Where, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb_in(where, monkeypatch, "path") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(where.default) in said.err
    local = where.write(where.cwd / "pigeon.toml", "not toml")
    assert verb_in(where, monkeypatch, "path") == 0
    said = capsys.readouterr()
    assert said.out == f"{local}\n"
    assert f"{local} (read)" in said.err
    other = where.write(where.cwd / "other.toml", "")
    assert verb_in(where, monkeypatch, "path", "--config", "other.toml") == 0
    assert capsys.readouterr().out == f"{other}\n"


def test_init_writes_what_it_is_given(
    where: Where, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--cache", "/shared/p", "--namespace", "lab")
    assert verb_in(where, monkeypatch, "init", *given) == 0
    assert "set `cache`" not in capsys.readouterr().out
    found = where.load()
    assert (found.cache, found.namespace) == ("/shared/p", "lab")
    assert "config.toml" in found.origin("cache")
    other = where.home / "bad.toml"
    with pytest.raises(ConfigError):
        verb_in(where, monkeypatch, "init", "--namespace", "a/b", config=str(other))
    assert not other.exists()


def test_init_writes_what_load_takes(
    where: Where, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = where.load()
    assert verb_in(where, monkeypatch, "init") == 0
    assert str(where.default) in capsys.readouterr().out
    assert where.default.stat().st_mode & 0o777 == 0o600
    found = where.load()
    assert found.files == [str(where.default)]
    for setting in settings.TABLE:
        if setting.table:
            was, now = (getattr(getattr(one, setting.table), setting.name) for one in (plain, found))
            assert was == now
    text = where.default.read_text()
    assert all(f"# {setting.name} = " in text and setting.help in text for setting in settings.TABLE)
    # every example is valid once the `#` is taken away
    keys = (*(f"# {s.name} = " for s in settings.TABLE), "# [remote_env]", "# HTTPS_PROXY")
    where.default.write_text(
        "\n".join(line[2:] if line.startswith(keys) else line for line in text.splitlines())
    )
    assert {where.load().origin(setting.key) for setting in settings.TABLE} == {str(where.default)}
    with pytest.raises(ConfigError, match="exists already"):
        verb_in(where, monkeypatch, "init")
    other = where.cwd / "new/other.toml"
    assert verb_in(where, monkeypatch, "init", config=str(other)) == 0
    assert other.exists()
    where.write(where.cwd / "file", "")
    with pytest.raises(ConfigError, match="cannot be written"):
        verb_in(where, monkeypatch, "init", "--config", "file/x.toml")


def test_the_common_options_stand_on_both_sides_of_a_verb(where: Where) -> None:
    parser = argparse.ArgumentParser()
    arguments.add_common(parser)
    parser.add_argument("--max-jobs", dest="worker.max_jobs")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args(["--cache", "/after", "--max-jobs", "3", "--json"])
    flags = arguments.flags_of(parsed, {"cache": "/before", "namespace": "before"})
    assert flags == {"cache": "/after", "namespace": "before", "worker.max_jobs": "3"}


def test_a_current_directory_that_is_gone(
    where: Where, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert arguments.current_directory() == "/"


def test_every_default_is_a_value_that_may_be_set() -> None:
    for setting in settings.TABLE:
        assert setting.help
        assert setting.default is None or settings.check(setting, setting.default) == setting.default, (
            setting.key
        )


def test_what_a_client_loads() -> None:
    """Nothing slow, and what only a file needs not without one."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from pigeon import config\n"
        "config.load({}, environ={'HOME': '/nonexistent', 'USER': 'me', 'PIGEON_CACHE': '/x'}, cwd='/')\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - {"__future__"}
    assert loaded == {"pigeon", "pigeon.config", "pigeon.config_file", "pigeon.errors", "pigeon.settings"}
