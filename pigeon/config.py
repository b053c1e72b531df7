"""Settings from defaults, one file, the environment and flags, in that order; each value knows where it came from.

On the path of every command, hence light: the TOML parser is imported only if there is a file.
"""

from __future__ import annotations

import os

from pigeon import settings
from pigeon.errors import ConfigError
from pigeon.settings import BY_KEY, OLD_TABLES, REMOTE_ENV, TABLE, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


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

    def __init__(
        self,
        values: dict[str, object],
        origins: dict[str, str],
        remote_env: dict[str, str],
        notes: list[str],
        files: list[str],
    ) -> None:
        for name in ("cache", "namespace", "user", "route"):
            setattr(self, name, values[name])
        for table in ("worker", "client", "wire"):
            setattr(self, table, Section({s.name: values[s.key] for s in TABLE if s.table == table}))
        self.remote_env = remote_env
        self.notes = notes
        self.files = files
        self._origins = origins

    def origin(self, key: str) -> str:
        """Where the value of a key came from: `default`, a file, a variable or a flag."""
        return self._origins.get(key, "default")

    def require_cache(self) -> str:
        """The shared directory. Raises ConfigError if none is set anywhere."""
        if self.cache is None:
            raise ConfigError(
                "no shared directory is configured",
                hint="set `cache` in a file (`pigeon config init` writes one), or PIGEON_CACHE, or `--cache DIR`",
            )
        return self.cache


def load(flags: Mapping[str, str], *, environ: Mapping[str, str], cwd: str) -> Config:
    """The settings that are in force.

    `flags`: full key -> text as typed, and `config` for the file to read.

    Raises:
        ConfigError: with the file (or variable, or flag) and the key.
    """
    notes: list[str] = []
    path = _find_file(flags, environ, cwd, notes)
    values: dict[str, object] = {setting.key: setting.default for setting in TABLE}
    origins: dict[str, str] = {}
    remote_env: dict[str, str] = {}
    if path is not None:
        _read_file(path, values, origins, remote_env, notes)
    for setting in TABLE:
        if setting.variable and environ.get(setting.variable):
            values[setting.key] = _from_text(setting, environ[setting.variable], setting.variable)
            origins[setting.key] = setting.variable
        if setting.key in flags:
            where = setting.flag or f"--{setting.name}"
            values[setting.key] = _from_text(setting, flags[setting.key], where)
            origins[setting.key] = where
    _fall_back(values, origins, environ)
    return Config(values, origins, remote_env, notes, [path] if path else [])


def _fall_back(values: dict[str, object], origins: dict[str, str], environ: Mapping[str, str]) -> None:
    if values["user"] is None:
        values["user"] = environ.get("USER") or environ.get("LOGNAME") or "default"
        origins["user"] = "$USER" if environ.get("USER") else "default"
    if values["namespace"] is None:
        user = str(values["user"])
        values["namespace"] = user if _is_name(user) else "default"
        origins["namespace"] = "user" if _is_name(user) else "default"
    if values["worker.route"] is None and values["route"] is not None:
        values["worker.route"] = values["route"]
        origins["worker.route"] = "route"


# Which file


def places(environ: Mapping[str, str], cwd: str) -> list[str]:
    """The default places, in the order in which they are looked at; the first that exists is read."""
    home = environ.get("HOME") or os.path.expanduser("~")
    base = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    found = [f"{base}/pigeon/config.toml"]
    checkout = checkout_root()
    if checkout is not None:
        found.append(f"{checkout}/.pigeon.toml")
    return [*found, f"{cwd}/.pigeon.toml", f"{cwd}/pigeon.toml"]


def checkout_root() -> str | None:
    """The directory of the checkout that this pigeon runs from; None for an installed one."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return root if os.path.exists(f"{root}/pyproject.toml") else None


def _find_file(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: str, notes: list[str]
) -> str | None:
    for path, where in ((flags.get("config"), "--config"), (environ.get("PIGEON_CONFIG"), "PIGEON_CONFIG")):
        if path:
            path = os.path.join(cwd, os.path.expanduser(path))
            if not os.path.exists(path):
                raise ConfigError(
                    f"the file named by {where} does not exist: `{path}`",
                    hint="`pigeon config init` writes one",
                )
            return path
    for place in places(environ, cwd):
        try:
            status = os.stat(place)
        except OSError:
            continue
        if os.path.dirname(place) != cwd or place == f"{checkout_root()}/.pigeon.toml":
            return place
        # A file in whatever directory one happens to be in decides what runs with one's rights.
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            why = "others can write it" if status.st_uid == os.geteuid() else "it belongs to another user"
            notes.append(f"`{place}` does not count: {why}")
            continue
        return place
    return None


# Reading it


def _read_file(
    path: str,
    values: dict[str, object],
    origins: dict[str, str],
    remote_env: dict[str, str],
    notes: list[str],
) -> None:
    document = _parse(path)
    for key, value in document.items():
        if key == REMOTE_ENV:
            _read_remote_env(path, value, remote_env)
        elif key in OLD_TABLES and isinstance(value, dict):
            notes.append(f"`{path}`: the table [{key}] of an older version is passed over")
        elif isinstance(value, dict) and any(setting.table == key for setting in TABLE):
            for name, inner in value.items():
                _set(path, f"{key}.{name}", inner, values, origins)
        else:
            _set(path, key, value, values, origins)


def _parse(path: str) -> dict[str, object]:
    try:
        import tomli
    except ImportError:  # a checkout without any package installed
        import tomllib as tomli  # type: ignore[no-redef]
    try:
        with open(path, "rb") as file:
            return tomli.load(file)
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"`{path}` is not TOML: {error}", hint="`pigeon config init` writes an example"
        ) from error


def _set(path: str, key: str, value: object, values: dict[str, object], origins: dict[str, str]) -> None:
    setting = BY_KEY.get(key)
    if setting is None:
        _refuse_unknown(path, key)
    values[key] = _checked(setting, value, f"`{path}`")
    origins[key] = path


def _refuse_unknown(path: str, key: str) -> NoReturn:
    from difflib import get_close_matches

    tables = [setting.table for setting in TABLE if setting.table] + [REMOTE_ENV]
    near = get_close_matches(key, [*BY_KEY, *tables], 1, 0.5) or get_close_matches(
        key.rpartition(".")[2], [s.name for s in TABLE], 1, 0.5
    )
    if near and near[0] not in BY_KEY and near[0] not in tables:
        near = [s.key for s in TABLE if s.name == near[0]]
    raise ConfigError(
        f"`{path}`: unknown key `{key}`" + (f"; the nearest known one is `{near[0]}`" if near else ""),
        hint="`pigeon config show` lists all keys",
    )


def _read_remote_env(path: str, value: object, remote_env: dict[str, str]) -> None:
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


# Checking values


def _from_text(setting: Setting, text: str, where: str) -> object:
    """A value from a variable or a flag."""
    value: object = text
    try:
        if setting.kind == settings.COUNT:
            value = int(text)
        elif setting.kind == settings.SECONDS:
            value = float(text)
        elif setting.kind == settings.SWITCH:
            value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        elif setting.kind == settings.WORDS:
            value = text.split()
    except (ValueError, KeyError):
        raise ConfigError(f"{where}: `{setting.key}` must be {_wanted(setting)}, not {text!r}") from None
    return _checked(setting, value, where)


def _checked(setting: Setting, value: object, where: str) -> object:
    checked = _CHECKS[setting.kind](setting, value)
    if checked is None:
        raise ConfigError(f"{where}: `{setting.key}` must be {_wanted(setting)}, not {value!r}")
    return checked


def _wanted(setting: Setting) -> str:
    kind = {
        settings.COUNT: "a whole number",
        settings.SECONDS: "a number of seconds",
        settings.BYTES: 'a number of bytes, or a text like "16GiB"',
        settings.PATH: "an absolute path (`~` is allowed)",
        settings.NAME: "one directory name: not empty or hidden, without `/`",
        settings.WORDS: "a list of texts, not empty",
        settings.SWITCH: "true or false",
        settings.TEXT: "a text, not empty",
        settings.CHARACTER: "one ASCII character, or `none`",
        settings.CHOICE: " or ".join(f'"{choice}"' for choice in setting.choices),
    }[setting.kind]
    if setting.kind in (settings.COUNT, settings.SECONDS, settings.BYTES):
        kind += f", at least {setting.low:g}"
    return kind


def _is_name(text: str) -> bool:
    return (
        bool(text)
        and not text.startswith(".")
        and "/" not in text
        and "\0" not in text
        and len(os.fsencode(text)) <= 200
    )


def _text(_setting: Setting, value: object) -> str | None:
    return value if isinstance(value, str) and value and "\0" not in value else None


def _name(_setting: Setting, value: object) -> str | None:
    return value if isinstance(value, str) and _is_name(value) else None


def _path(_setting: Setting, value: object) -> str | None:
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    expanded = os.path.expanduser(value)
    return os.path.normpath(expanded) if expanded.startswith("/") else None


def _switch(_setting: Setting, value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(setting: Setting, value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= setting.low else None


def _seconds(setting: Setting, value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if setting.low <= value < 1e12 else None


def _bytes(setting: Setting, value: object) -> int | None:
    if isinstance(value, str):
        text = value.strip().lower().removesuffix("b").removesuffix("i")
        number, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "")
        try:
            value = int(float(number) * _UNITS[unit])
        except (ValueError, OverflowError):
            return None
    return _count(setting, value)


def _words(_setting: Setting, value: object) -> list[str] | None:
    if not isinstance(value, list) or not all(isinstance(v, str) and v and "\0" not in v for v in value):
        return None
    return list(value) if value or _setting.key == "client.env_exclude" else None


def _choice(setting: Setting, value: object) -> str | None:
    return value if isinstance(value, str) and value in setting.choices else None


def _character(_setting: Setting, value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return (
        value if value == "none" or (len(value) == 1 and value.isascii() and value not in "\r\n\0") else None
    )


_CHECKS = {
    settings.TEXT: _text,
    settings.NAME: _name,
    settings.PATH: _path,
    settings.SWITCH: _switch,
    settings.COUNT: _count,
    settings.SECONDS: _seconds,
    settings.BYTES: _bytes,
    settings.WORDS: _words,
    settings.CHOICE: _choice,
    settings.CHARACTER: _character,
}
