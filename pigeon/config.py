"""Settings from defaults, one file, the environment and flags, in that order; each value knows where it came from.

Promises absolute paths and values that `pigeon.settings` allows; refuses what it does not know, since a setting that
is silently ignored is a trap. An empty variable is an unset one. Relative paths mean something on a command line only;
in a file or a variable they are refused. `config_file.py` finds and reads the file.

On the path of every command, hence light: a text that `toml_memory.py` knows is not parsed again.
"""

from __future__ import annotations

import os

from pigeon import config_file, settings
from pigeon.errors import ConfigError
from pigeon.settings import BY_KEY, OLD_TABLES, REMOTE_ENV, TABLE, TABLES, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from pigeon.wire.names import Namespace

_SHOWN_CHARACTERS = 80


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
        idle_exit: float | None
        debug: bool
        log: str
        journal: str | None
        lock: str
        route: str | None
        client_timeout: float
        host_timeout: float
        max_stream: int
        wrap: list[str]
        launcher: list[str]
        scrollback: int
        retention: float
        terminal_retention: float
        journal_retention: float
        net: bool
        max_net: int
        net_permit: list[str]
        net_deny: list[str]
        net_history: bool

    class ClientSection:
        """`[client]`; durations in seconds."""

        shell: list[str]
        env_exclude: list[str]
        repair: bool
        claim_timeout: float
        worker_timeout: float
        on_disconnect: str
        path: str
        notify_after: float
        escape_char: str

    class NetSection:
        """`[net]`."""

        direct: list[str]

    class WireSection:
        """`[wire]`."""

        fsync: bool


class Config:
    """The effective settings. `files` are those that were read (one or none), `notes` what `-v` should say, `warnings`
    what is to be said in any case."""

    __slots__ = (
        "cache",
        "namespace",
        "user",
        "route",
        "share_trust",
        "worker",
        "client",
        "net",
        "wire",
        "remote_env",
        "notes",
        "warnings",
        "files",
        "_origins",
        "_passed_over",
    )

    cache: str | None
    namespace: str
    user: str
    route: str | None
    share_trust: str
    worker: WorkerSection
    client: ClientSection
    net: NetSection
    wire: WireSection
    remote_env: dict[str, str]
    notes: list[str]
    warnings: list[str]
    files: list[str]
    _origins: dict[str, str]
    _passed_over: list[str]

    def __init__(
        self,
        values: dict[str, object],
        origins: dict[str, str],
        remote_env: dict[str, str],
        notes: list[str],
        warnings: list[str],
        files: list[str],
        passed_over: list[str],
    ) -> None:
        put = object.__setattr__
        for name in ("cache", "namespace", "user", "route", "share_trust"):
            put(self, name, values[name])
        for table in ("worker", "client", "net", "wire"):
            put(self, table, Section({s.name: values[s.key] for s in TABLE if s.table == table}))
        put(self, "remote_env", remote_env)
        put(self, "notes", notes)
        put(self, "warnings", warnings)
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

    def open_namespace(self, *, make: bool = False) -> Namespace:
        """The namespace on the share, once the way to it has been checked. `make`: its directories, if they lack.

        Raises:
            ConfigError: no shared directory is set.
            ShareError: as `share.enter`.
        """
        from pigeon.wire import share

        return share.enter(
            self.require_cache(),
            self.namespace,
            self.share_trust,
            make=make,
            is_durable=self.wire.fsync,
        )


def load(flags: Mapping[str, str], *, environ: Mapping[str, str], cwd: str) -> Config:
    """The settings that are in force.

    `flags`: full key -> text as typed, and `config` for the file to read.

    Raises:
        ConfigError: with the file (or variable, or flag) and the key.
    """
    notes: list[str] = []
    warnings: list[str] = []
    found = config_file.find(flags, environ, cwd, notes)
    passed_over = list(notes)
    values: dict[str, object] = {setting.key: setting.default for setting in TABLE}
    origins: dict[str, str] = {}
    remote_env: dict[str, str] = {}
    if found is not None:
        _read_file(found, values, origins, remote_env, notes, warnings, environ)
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
    return Config(values, origins, remote_env, notes, warnings, [found.path] if found else [], passed_over)


_LOGIN = "your login name"
_FALLBACKS = ("$USER", "$LOGNAME", _LOGIN)


def _login_name(environ: Mapping[str, str]) -> tuple[str, str]:
    """(the user's name, where it comes from): cron and containers set no variable, and both sides must agree."""
    for variable in ("USER", "LOGNAME"):
        if environ.get(variable):
            return environ[variable], f"${variable}"
    from pwd import getpwuid

    try:
        return getpwuid(os.getuid()).pw_name, _LOGIN
    except KeyError:
        return "default", "default"


def _fall_back(
    values: dict[str, object], origins: dict[str, str], environ: Mapping[str, str], notes: list[str]
) -> None:
    if values["user"] is None:
        values["user"], origins["user"] = _login_name(environ)
    if values["namespace"] is None:
        user = str(values["user"])
        values["namespace"], origins["namespace"] = user, "user" if user != "default" else "default"
        if not settings.is_directory_name(user):
            if origins["user"] not in _FALLBACKS:
                raise ConfigError(
                    f"{origins['user']}: `user` is {user!r}, which cannot stand in for the namespace",
                    hint="set `namespace`, PIGEON_NAMESPACE or `--namespace`",
                )
            values["namespace"], origins["namespace"] = "default", "default"
            notes.append(f"{origins['user']} is {user!r}, which cannot be a namespace: `default` is taken")
    if values["worker.route"] is None and values["route"] is not None:
        values["worker.route"] = values["route"]
        origins["worker.route"] = "route"


# Reading it


def _read_file(
    found: config_file.Found,
    values: dict[str, object],
    origins: dict[str, str],
    remote_env: dict[str, str],
    notes: list[str],
    warnings: list[str],
    environ: Mapping[str, str],
) -> None:
    from pigeon import toml_memory

    path = found.path
    text, lasts = config_file.read(path, found.fd)
    known = toml_memory.recall(path, text, environ) if lasts else None
    parsed = config_file.parse(path, text) if known is None else known
    counting = parsed
    held = needs_trust(parsed) if found.is_local else []
    if held:
        from pigeon import config_trust

        counting = config_trust.counting(path, text, parsed, held, warnings, environ)
    for key, value in counting.items():
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
    if known is None and lasts and counting is parsed:  # only now is it known to be valid
        toml_memory.remember(path, text, parsed, environ)


def needs_trust(parsed: Mapping[str, object]) -> list[str]:
    """The keys in a file that count only where the user has placed or allowed it. Unknown ones are not among them."""
    found = []
    for key, value in parsed.items():
        inner = [f"{key}.{name}" for name in value] if key in TABLES and isinstance(value, dict) else [key]
        found += [one for one in inner if one == REMOTE_ENV or (one in BY_KEY and not BY_KEY[one].harmless)]
    return found


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
        wanted = os.path.join(cwd, config_file.expand(value, environ))
    checked = settings.check(setting, wanted)
    if checked is None:
        raise _bad(setting, value, where)
    return checked


def _bad(setting: Setting, value: object, where: str) -> ConfigError:
    try:
        text = repr(value)
    except ValueError:  # Python does not write thousands of digits
        text = "a number without end"
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return ConfigError(f"{where}: `{setting.key}` must be {settings.wanted(setting)}, not {shown}")
