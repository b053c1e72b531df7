"""What is remembered of a configuration file, and that nothing can make it a wrong answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from binascii import crc32
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pigeon import __version__, config, config_file, toml_memory
from pigeon.config import Config
from pigeon.errors import ConfigError
from tests.helpers.privileges import NOBODY, WITHOUT_OVERRIDE, mount_small, needs_root, unmount

ROOT = Path(__file__).resolve().parents[2]
TEXT = "route = 'right'\n"


class Home:
    """A home with one configuration file, and what is remembered of it."""

    def __init__(self, base: Path) -> None:
        self.path = base / "home"
        self.env = {"HOME": str(self.path), "USER": "me"}
        self.file = self.path / ".config/pigeon/config.toml"
        self.file.parent.mkdir(parents=True)
        self.directory = self.path / ".cache/pigeon"

    def load(self, text: str | None = None, flags: Mapping[str, str] | None = None, /, **env: str) -> Config:
        if text is not None:
            self.file.write_text(text)
            self.file.chmod(0o600)
        return config.load(flags or {}, environ={**self.env, **env}, cwd="/")

    @property
    def memory(self) -> Path:
        (path,) = self.directory.iterdir()
        return path

    def poison(self) -> Path:
        """Make what is remembered of TEXT differ from what it says: only a memory that is believed shows."""
        assert self.load(TEXT).route == "right"
        path = self.memory
        changed = path.read_bytes()[9:].replace(b'[["route","right"]]', b'[["route","bait"]]')
        path.write_bytes(b"%08x\n" % crc32(changed) + changed)
        assert self.load().route == "bait"
        return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    # the checkout that the tests run from must not configure them
    monkeypatch.setattr(config_file, "checkout_root", lambda: None)
    return Home(tmp_path)


def test_a_text_that_is_known_needs_no_parser(home: Home) -> None:
    program = (
        "import os, sys; from pigeon import config\n"
        "found = config.load({}, environ=os.environ, cwd='/')\n"
        "print(found.route, *sorted({'tomli', 'tomllib', 're', 'json'} & set(sys.modules)))"
    )
    said = []
    home.file.write_text(TEXT)
    for _ in range(2):
        path = f"import sys; sys.path[:] = {[str(ROOT), *sys.path]!r}\n"
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", path + program],
            env=home.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        said.append(done.stdout.split())
    assert "tomli" in said[0] or "tomllib" in said[0]
    assert said[1] == ["right"]


def test_what_is_remembered_is_what_was_parsed(home: Home) -> None:
    text = """
        route = "a \\"b\\" \\\\ é 🐦"
        [worker]
        max_jobs = 7
        poll_interval = 0.1
        client_timeout = 15
        journal = "~/j.db"
        debug = true
        max_stream = 1152921504606846976
        [client]
        shell = ["sh", "-c"]
        env_exclude = []
        [interactive]
        nested = [[1, {z = 1, a = [2.5, {}]}], []]
        [remote_env]
        Z = "\\u0001"
        A = "1"
        M = "2"
    """
    values = config_file.parse("x", text.encode())
    toml_memory.remember("/x", text.encode(), values, home.env)
    found = toml_memory.recall("/x", text.encode(), home.env)
    assert found is not None
    assert repr(found) == repr(values)  # types and order too
    first, second = home.load(text), home.load()
    assert list(second.remote_env.items()) == [("Z", "\x01"), ("A", "1"), ("M", "2")]
    assert second.notes == first.notes
    assert second.worker.journal == f"{home.path}/j.db"
    # what depends on the moment is not remembered
    other = config.load({"config": str(home.file)}, environ={**home.env, "HOME": "/other"}, cwd="/")
    assert other.worker.journal == "/other/j.db"


def test_an_edit_is_seen_at_once(home: Home) -> None:
    assert home.load(TEXT).route == "right"
    was = home.file.stat()
    assert home.load("route = 'other'\n").route == "other"
    os.utime(home.file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert home.file.stat().st_size == was.st_size
    assert home.load().route == "other"
    assert home.load(TEXT).route == "right"
    assert home.load(TEXT.replace("\n", "\r\n")).route == "right"


def test_each_file_has_a_memory_of_its_own(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("route = 'other'")
    long = tmp_path / f"{'d' * 200}/{'f' * 200}.toml"
    long.parent.mkdir()
    long.write_text("route = 'long'")
    for _ in range(2):
        assert home.load(TEXT).route == "right"
        assert home.load(None, {"config": str(other)}).route == "other"
        assert home.load(None, {"config": str(long)}).route == "long"
    assert len(list(home.directory.iterdir())) == 3


def test_it_is_private(home: Home) -> None:
    before = os.umask(0)
    try:
        home.load(TEXT)
    finally:
        os.umask(before)
    assert home.memory.stat().st_mode & 0o777 == 0o600
    assert home.directory.stat().st_mode & 0o777 == home.directory.parent.stat().st_mode & 0o777 == 0o700


def test_a_cache_home_of_ones_own(home: Home, tmp_path: Path) -> None:
    assert home.load(TEXT, XDG_CACHE_HOME=str(tmp_path / "cache")).route == "right"
    assert list((tmp_path / "cache/pigeon").iterdir())
    assert not home.directory.exists()
    home.load(TEXT, XDG_CACHE_HOME="relative")
    assert home.memory.exists()


@pytest.mark.parametrize("text", ["route = 7", "rout = 'x'", "route = ", "[remote_env]\nA = 1"])
def test_what_is_not_valid_is_not_remembered(home: Home, text: str) -> None:
    said = []
    for _ in range(2):
        with pytest.raises(ConfigError) as raised:
            home.load(text)
        said.append(raised.value.message)
    assert said[0] == said[1]
    assert not home.directory.exists()


@pytest.mark.parametrize("value", ["1979-05-27", "07:32:00", "nan", "[inf]", f"0x{'f' * 4000}"])
def test_what_json_cannot_hold_is_not_remembered(home: Home, value: str) -> None:
    for _ in range(2):
        assert home.load(f"{TEXT}[interactive]\nx = {value}\n").route == "right"
    assert not home.directory.exists()


def test_what_comes_through_a_pipe_is_not_remembered(home: Home) -> None:
    reading, writing = os.pipe()
    os.write(writing, TEXT.encode())
    os.close(writing)
    try:
        assert home.load(None, {"config": f"/dev/fd/{reading}"}).route == "right"
    finally:
        os.close(reading)
    assert not home.directory.exists()


# What must not be believed


def by_link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def by_second_name(path: Path) -> None:
    os.link(path, path.with_suffix(".second"))


def by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def by_open_directory(path: Path) -> None:
    path.parent.chmod(0o777)


def by_linked_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to("real")


@pytest.mark.parametrize(
    "spoil",
    [
        by_link,
        by_second_name,
        by_fifo,
        by_directory,
        by_open_directory,
        by_linked_directory,
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o602),
    ],
)
def test_what_others_may_have_made_is_not_believed(home: Home, spoil: Callable[[Path], None]) -> None:
    spoil(home.poison())
    assert home.load().route == "right"
    assert home.load().route == "right"


@needs_root
@pytest.mark.parametrize("which", ["file", "directory"])
def test_what_belongs_to_others_is_not_believed(home: Home, which: str) -> None:
    path = home.poison()
    os.chown(path if which == "file" else path.parent, NOBODY, NOBODY)
    assert home.load().route == "right"


@needs_root
def test_nothing_is_made_in_the_home_of_another_user(home: Home) -> None:
    os.chown(home.path, NOBODY, NOBODY)
    assert home.load(TEXT).route == "right"
    assert not home.directory.parent.exists()


BAIT: object = {"table": [["route", "bait"]]}
SHAPES: list[object] = [
    None,
    {},
    [],
    [__version__, TEXT],
    [__version__, TEXT, None],
    [__version__, TEXT, {"route": "bait"}],
    [__version__, TEXT, {"table": 1}],
    [__version__, TEXT, {"table": [1]}],
    [__version__, TEXT, {"table": [["route", "bait", "more"]]}],
    [__version__, TEXT, {"table": [[[], "bait"]]}],
    [__version__, TEXT, ["route", "bait"]],
    [__version__, TEXT, BAIT, 1],
    ["0.9", TEXT, BAIT],
    [__version__, "route = 'bait'\n", BAIT],
]
DAMAGED = [
    b"",
    bytes(200),
    b'["\xff"]',
    b"[" * 100_000,
    json.dumps([__version__, TEXT, BAIT]).encode()[:-1],
    *(json.dumps(shape).encode() for shape in SHAPES),
]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:60]))
def test_what_is_damaged_is_not_believed_and_made_anew(home: Home, content: bytes) -> None:
    home.load(TEXT)
    path = home.memory
    good = path.read_bytes()
    path.write_bytes(content)
    assert home.load().route == "right"
    assert path.read_bytes() == good


# Where it cannot be kept


@pytest.mark.parametrize("place", ["/proc/self", "/nonexistent", "", "relative"])
def test_a_home_that_takes_nothing(home: Home, place: str) -> None:
    home.file.write_text(TEXT)
    for _ in range(2):
        assert home.load(None, {"config": str(home.file)}, HOME=place).route == "right"


def test_a_file_in_place_of_the_directory(home: Home) -> None:
    (home.path / ".cache").touch()
    for _ in range(2):
        assert home.load(TEXT).route == "right"


def test_a_home_that_may_not_be_written(home: Home) -> None:
    program = (
        "import sys; from pigeon import toml_memory\n"
        "text, env = sys.argv[1].encode(), {'HOME': sys.argv[2]}\n"
        "toml_memory.remember('/x', text, {'route': 'right'}, env)\n"
        "print(toml_memory.recall('/x', text, env))"
    )
    home.path.chmod(0o500)
    done = subprocess.run(
        [*WITHOUT_OVERRIDE, sys.executable, "-c", program, TEXT, home.path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert not home.directory.parent.exists()


@needs_root
def test_a_full_disk(home: Home) -> None:
    home.directory.mkdir(parents=True, mode=0o700)
    mount_small(home.directory, "8k")
    try:
        (home.directory / "filler").write_bytes(bytes(4096))  # one page, and the directory's own
        padding = f"# {'x' * 8192}\n"
        for _ in range(2):
            assert home.load(padding + TEXT).route == "right"
        assert [path.name for path in home.directory.iterdir()] == ["filler"]
    finally:
        unmount(home.directory)


def test_two_writers_at_once(home: Home) -> None:
    """Each text is recalled with its own values or not at all, whoever wrote last."""
    program = (
        "import sys; from pigeon import toml_memory\n"
        "text = sys.argv[1].encode(); env = {'HOME': sys.argv[2]}; known = 0\n"
        "for _ in range(300):\n"
        "    toml_memory.remember('/x', text, {'route': sys.argv[1] * 5000}, env)\n"
        "    found = toml_memory.recall('/x', text, env)\n"
        "    assert found in (None, {'route': sys.argv[1] * 5000}), found\n"
        "    known += found is not None\n"
        "print(known)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, text, str(home.path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for text in ("one", "two")
    ]
    for writer in writers:
        known, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        assert int(known) > 0
    assert home.memory.name.endswith(".json")  # nothing else is left
