"""Settings from defaults, one file, the environment and flags, in that order; each value knows where it came from.

Promises absolute paths and values that `pigeon.settings` allows; refuses what it does not know, since a setting that
is silently ignored is a trap. A file that was named must exist; one in the current directory counts only if it is the
user's own and nobody else can write it, since any directory may hold somebody's bait. An empty variable is an unset
one. Relative paths mean something on a command line only; in a file or a variable they are refused.

On the path of every command, hence light: the TOML parser is imported only if there is a file.
"""

from __future__ import annotations

import os

from pigeon import settings
from pigeon.errors import ConfigError
from pigeon.settings import BY_KEY, OLD_TABLES, REMOTE_ENV, TABLE, TABLES, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

MAX_FILE_BYTES = 1 << 20
_LOCAL_NAMES = (".pigeon.toml", "pigeon.toml")
_SHOWN_CHARACTERS = 80
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY


class Section:
    """A group of settings with an attribute each; set once."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, object]) -> None:
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> object:
        values: dict[str, object] = object.__getattribute__(self, "_values")
        try:
            return values[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("settings do not change")


if TYPE_CHECKING:

    class WorkerSection:
        """`[worker]`; durations in seconds, sizes in bytes."""

        max_jobs: int
        poll_interval: float
        debug: bool
        journal: str | None
        lock: str
        route: str | None
        client_timeout: float
        host_timeout: float
        max_stream: int
        retention: float
        terminal_retention: float
        journal_retention: float

    class ClientSection:
        """`[client]`; durations in seconds."""

        shell: list[str]
        env_exclude: list[str]
        repair: bool
        claim_timeout: float
        worker_timeout: float
        on_disconnect: str
        escape_char: str

    class WireSection:
        """`[wire]`."""

        fsync: bool


class Config:
    """The effective settings. `files` are those that were read (one or none), `notes` what `-v` should say."""

    __slots__ = (
        "cache",
        "namespace",
        "user",
        "route",
        "worker",
        "client",
        "wire",
        "remote_env",
        "notes",
        "files",
        "_origins",
        "_passed_over",
    )

    cache: str | None
    namespace: str
    user: str
    route: str | None
    worker: WorkerSection
    client: ClientSection
    wire: WireSection
    remote_env: dict[str, str]
    notes: list[str]
    files: list[str]
    _origins: dict[str, str]
    _passed_over: list[str]

    def __init__(
        self,
        values: dict[str, object],
        origins: dict[str, str],
        remote_env: dict[str, str],
        notes: list[str],
        files: list[str],
        passed_over: list[str],
    ) -> None:
        put = object.__setattr__
        for name in ("cache", "namespace", "user", "route"):
            put(self, name, values[name])
        for table in ("worker", "client", "wire"):
            put(self, table, Section({s.name: values[s.key] for s in TABLE if s.table == table}))
        put(self, "remote_env", remote_env)
        put(self, "notes", notes)
        put(self, "files", files)
        put(self, "_origins", origins)
        put(self, "_passed_over", passed_over)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("settings do not change")

    def origin(self, key: str) -> str:
        """Where the value of a key came from: `default`, a file, a variable or a flag."""
        return self._origins.get(key, "default")

    def require_cache(self) -> str:
        """The shared directory. Raises ConfigError if none is set anywhere."""
        if self.cache is not None:
            return self.cache
        if self._passed_over:
            raise ConfigError(
                "no shared directory (`cache`) is configured; " + "; ".join(self._passed_over),
                hint="make the file your own (`chown`, `chmod go-w`), or name it with `--config`",
            )
        where = f"`{self.files[0]}` does not set it" if self.files else "there is no configuration file"
        raise ConfigError(
            f"no shared directory (`cache`) is configured: {where}",
            hint="set `cache` in a configuration file (`pigeon config init` writes one), PIGEON_CACHE "
            "or `--cache DIR`",
        )


def load(flags: Mapping[str, str], *, environ: Mapping[str, str], cwd: str) -> Config:
    """The settings that are in force.

    `flags`: full key -> text as typed, and `config` for the file to read.

    Raises:
        ConfigError: with the file (or variable, or flag) and the key.
    """
    notes: list[str] = []
    found = _find_file(flags, environ, cwd, notes)
    passed_over = list(notes)
    values: dict[str, object] = {setting.key: setting.default for setting in TABLE}
    origins: dict[str, str] = {}
    remote_env: dict[str, str] = {}
    if found is not None:
        _read_file(*found, values, origins, remote_env, notes, environ)
    for setting in TABLE:
        if setting.variable and environ.get(setting.variable):
            values[setting.key] = _from_text(
                setting, environ[setting.variable], setting.variable, environ, ""
            )
            origins[setting.key] = setting.variable
        text = flags.get(setting.key)
        if text is None and setting.key == "worker.route":
            text = flags.get("route")  # `pigeon worker --route` means the worker's, whatever the file says
        if text is not None:
            where = setting.flag or f"--{setting.name}"
            values[setting.key] = _from_text(setting, text, where, environ, cwd)
            origins[setting.key] = where
        elif isinstance(values[setting.key], list):
            values[setting.key] = list(values[setting.key])  # type: ignore[call-overload]  # the table keeps its own
    _fall_back(values, origins, environ, notes)
    return Config(values, origins, remote_env, notes, [found[0]] if found else [], passed_over)


def _fall_back(
    values: dict[str, object], origins: dict[str, str], environ: Mapping[str, str], notes: list[str]
) -> None:
    if values["user"] is None:
        values["user"] = environ.get("USER") or "default"
        origins["user"] = "$USER" if environ.get("USER") else "default"
    if values["namespace"] is None:
        user = str(values["user"])
        values["namespace"], origins["namespace"] = user, "user" if user != "default" else "default"
        if not settings.is_directory_name(user):
            if origins["user"] != "$USER":
                raise ConfigError(
                    f"{origins['user']}: `user` is {user!r}, which cannot stand in for the namespace",
                    hint="set `namespace`, PIGEON_NAMESPACE or `--namespace`",
                )
            values["namespace"], origins["namespace"] = "default", "default"
            notes.append(f"$USER is {user!r}, which cannot be a namespace: `default` is taken")
    if values["worker.route"] is None and values["route"] is not None:
        values["worker.route"] = values["route"]
        origins["worker.route"] = "route"


# Which file


def places(environ: Mapping[str, str], cwd: str) -> list[str]:
    """The default places, in the order in which they are looked at; the last two are those in `cwd`."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # its specification says that a relative one does not count
        base = f"{_home(environ)}/.config"
    found = [f"{base}/pigeon/config.toml"]
    checkout = checkout_root()
    if checkout is not None:
        found.append(f"{checkout}/.pigeon.toml")
    return [*found, *(os.path.join(cwd, name) for name in _LOCAL_NAMES)]


def checkout_root() -> str | None:
    """The directory of the checkout that this pigeon runs from; None for an installed one."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return root if os.path.exists(f"{root}/pyproject.toml") else None


def named_path(flags: Mapping[str, str], environ: Mapping[str, str], cwd: str) -> tuple[str, str] | None:
    """(the file that `--config` or PIGEON_CONFIG names, which of the two), None if neither does."""
    given = flags.get("config")
    if given == "":
        raise ConfigError("`--config` needs the name of a file")
    for path, where in ((given, "--config"), (environ.get("PIGEON_CONFIG"), "PIGEON_CONFIG")):
        if path:
            return os.path.join(cwd, _expand(path, environ)), where
    return None


def locate(flags: Mapping[str, str], *, environ: Mapping[str, str], cwd: str) -> tuple[str | None, list[str]]:
    """(the file that `load` would read, what it would pass over), whatever the file holds. Raises ConfigError."""
    notes: list[str] = []
    found = _find_file(flags, environ, cwd, notes)
    if found is None:
        return None, notes
    os.close(found[1])
    return found[0], notes


def _find_file(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: str, notes: list[str]
) -> tuple[str, int] | None:
    """Path and open descriptor of the file to read. What is passed over is noted."""
    named = named_path(flags, environ, cwd)
    if named is not None:
        path, where = named
        try:
            return path, os.open(path, _OPEN_FLAGS)  # may be a pipe, as `<(…)` makes
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
            raise ConfigError(
                f"the file named by {where} cannot be read: `{path}`: {reason}",
                hint="`pigeon config init` writes one",
            ) from error
    candidates = places(environ, cwd)
    for number, path in enumerate(candidates):
        is_local = number >= len(candidates) - len(_LOCAL_NAMES)
        try:
            # not blocking: a FIFO that lies about must not hang every command
            fd = os.open(path, _OPEN_FLAGS | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if not is_local:
                raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
            notes.append(f"`{path}` does not count: it cannot be read: {error.strerror}")
            continue
        fault = _fault(path, fd) if is_local else ""
        if not fault:
            return path, fd
        os.close(fd)
        notes.append(f"`{path}` does not count: {fault}")
    return None


def _fault(path: str, fd: int) -> str:
    """Why a file in whatever directory one happens to be in must not decide what runs with one's rights."""
    opened = os.fstat(fd)
    try:
        named = os.lstat(path)  # a link of another user's to a file of one's own is still his choice
    except OSError:
        return "it has just been removed"
    if opened.st_uid != os.geteuid() or named.st_uid != os.geteuid():
        return "it belongs to another user"
    if opened.st_mode & 0o170000 != 0o100000:
        return "it is no regular file"
    return "others can write it" if opened.st_mode & 0o022 else ""


# Reading it


def _read_file(
    path: str,
    fd: int,
    values: dict[str, object],
    origins: dict[str, str],
    remote_env: dict[str, str],
    notes: list[str],
    environ: Mapping[str, str],
) -> None:
    for key, value in _parse(path, _content(path, fd)).items():
        if key == REMOTE_ENV:
            _read_remote_env(path, value, remote_env)
            origins[key] = path
        elif key in OLD_TABLES and isinstance(value, dict):
            notes.append(f"`{path}`: the table [{key}] of an older version is passed over")
        elif key in TABLES:
            if not isinstance(value, dict):
                raise ConfigError(
                    f"`{path}`: `{key}` must be a table", hint=f"write `[{key}]` above its keys"
                )
            for name, inner in value.items():
                _set(path, f"{key}.{name}", inner, values, origins, environ)
        else:
            _set(path, key, value, values, origins, environ)


def _content(path: str, fd: int) -> bytes:
    try:
        with os.fdopen(fd, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"`{path}` is larger than {MAX_FILE_BYTES} bytes, so it is no configuration of pigeon's"
        )
    return data


def _parse(path: str, data: bytes) -> dict[str, object]:
    try:
        import tomli
    except ImportError:  # a checkout without any package installed
        import tomllib as tomli  # type: ignore[no-redef]
    try:
        return tomli.loads(data.decode("utf-8"))
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"`{path}` is not TOML: {error}", hint="`pigeon config init --config NEW` writes an example"
        ) from error


def _set(
    path: str,
    key: str,
    value: object,
    values: dict[str, object],
    origins: dict[str, str],
    environ: Mapping[str, str],
) -> None:
    setting = BY_KEY.get(key)
    if setting is None:
        near = settings.nearest(key)
        raise ConfigError(
            f"`{path}`: unknown key `{key}`" + (f"; the nearest known one is `{near}`" if near else ""),
            hint="`pigeon config show` lists all keys",
        )
    values[key] = _checked(setting, value, f"`{path}`", environ, "")
    origins[key] = path


def _read_remote_env(path: str, value: object, remote_env: dict[str, str]) -> None:
    """No message shows a value: they may be secrets."""
    if not isinstance(value, dict):
        raise ConfigError(f"`{path}`: `{REMOTE_ENV}` must be a table of texts")
    for name, text in value.items():
        if not isinstance(text, str) or "\0" in text:
            raise ConfigError(
                f"`{path}`: `{REMOTE_ENV}.{name}` must be a text",
                hint='numbers too stand in quotes: `N = "1"`',
            )
        if not name or "=" in name or "\0" in name:
            raise ConfigError(f"`{path}`: `{REMOTE_ENV}` has {name!r}, which no variable can be called")
        remote_env[name] = text


# Values


def _from_text(setting: Setting, text: str, where: str, environ: Mapping[str, str], cwd: str) -> object:
    """A value from a variable or a flag."""
    try:
        value = settings.from_text(setting, text)
    except ValueError:
        raise _bad(setting, text, where) from None
    return _checked(setting, value, where, environ, cwd)


def _checked(setting: Setting, value: object, where: str, environ: Mapping[str, str], cwd: str) -> object:
    """`cwd` is what a relative path starts from; "" where it may not be relative (a file, a variable)."""
    wanted = value
    if setting.kind == settings.PATH and isinstance(value, str) and value:
        wanted = os.path.join(cwd, _expand(value, environ))
    checked = settings.check(setting, wanted)
    if checked is None:
        raise _bad(setting, value, where)
    return checked


def _bad(setting: Setting, value: object, where: str) -> ConfigError:
    text = repr(value)
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return ConfigError(f"{where}: `{setting.key}` must be {settings.wanted(setting)}, not {shown}")


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _expand(path: str, environ: Mapping[str, str]) -> str:
    """`~` and `~user` at its start replaced; as it is where there is no such home."""
    if path == "~" or path.startswith("~/"):
        return _home(environ) + path[1:]
    return os.path.expanduser(path) if path.startswith("~") else path
