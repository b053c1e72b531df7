"""`pigeon config show|path|init|trust|untrust`: which settings are in force, where they came from, a file to start
with, and which files of directories that one happens to be in may choose what is run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from pigeon import commandline, config, config_file, config_trust, env_rules, settings
from pigeon.commands.arguments import Parser, add_common, current_directory, flags_of, load_config
from pigeon.errors import ConfigError
from pigeon.printing import complain, say, visible
from pigeon.report.text import terminal_columns
from pigeon.settings import BY_KEY, TABLE, shown
from pigeon.text import fold


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Show, locate or begin the configuration."""
    parser = Parser(prog="pigeon config", description="Look at pigeon's settings, or begin a file.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="show|path|init|trust|untrust")
    show = verbs.add_parser("show", help="each effective value and where it came from")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    show.add_argument(
        "--env", action="store_true", help="what becomes of each variable of this environment over there"
    )
    path = verbs.add_parser("path", help="the file that is read, and the places that are looked at")
    init = verbs.add_parser("init", help="write a commented file to the default place, or to --config FILE")
    trust = verbs.add_parser("trust", help="let all of ./.pigeon.toml (or ./pigeon.toml) count, as it is now")
    untrust = verbs.add_parser("untrust", help="take that back")
    for one in (trust, untrust):
        one.add_argument("file", nargs="?", metavar="FILE", help="the file that is meant")
    for one in (show, path, init, trust, untrust):
        add_common(one)
    arguments = parser.parse_args(args)
    if arguments.verb == "init":
        return _init(flags_of(arguments, globals_))
    if arguments.verb == "path":
        return _path(flags_of(arguments, globals_))
    if arguments.verb == "trust":
        return _trust(_local(arguments.file, must_exist=True))
    if arguments.verb == "untrust":
        return _untrust(_local(arguments.file, must_exist=False))
    effective = load_config(arguments, globals_)
    for note in effective.notes:
        complain(note)
    return (_show_env if arguments.env else _show)(effective, as_json=arguments.json)


def _value(effective: config.Config, key: str) -> object:
    table, _, name = key.rpartition(".")
    return getattr(getattr(effective, table) if table else effective, name)


def _show(effective: config.Config, *, as_json: bool) -> int:
    rows = [(s.key, _value(effective, s.key), effective.origin(s.key)) for s in TABLE]
    masked = [(f"{settings.REMOTE_ENV}.{name}", "***", effective.files[0]) for name in effective.remote_env]
    if as_json:
        say(json.dumps({k: {"value": v, "origin": o} for k, v, o in [*rows, *masked]}, indent=2), lines=True)
        return 0
    for key, value, origin in [*rows, *masked]:
        text = str(value) if value == "***" else shown(value)
        for line in fold(f"{key:<26} {visible(text):<28} {visible(origin)}", terminal_columns(), 27):
            say(line)
    return 0


def _path(flags: Mapping[str, str]) -> int:
    """The path alone on stdout, for scripts; the places on stderr. 1 if there is no file."""
    cwd = current_directory()
    read, notes = config_file.locate(flags, environ=os.environ, cwd=cwd)
    for note in notes:
        complain(note)
    if read:
        say(read, flush=True)
    else:
        complain("no configuration file is read")
    named = config_file.named_path(flags, os.environ, cwd)
    for place in [named[0]] if named else config_file.places(os.environ, cwd):
        state = "read" if place == read else "there" if os.path.exists(place) else "not there"
        by = f", named by {named[1]}" if named else ""
        complain(f"  {place} ({state}{by})")
    return 0 if read else 1


def _show_env(effective: config.Config, *, as_json: bool) -> int:
    """Names only: values may be secrets."""
    rows = {name: _fate(name, effective) for name in sorted({*os.environ, *effective.remote_env})}
    if as_json:
        say(json.dumps(rows, indent=2), lines=True)
        return 0
    for name, fate in rows.items():
        say(f"{name:<26} {fate}")
    return 0


def _fate(name: str, effective: config.Config) -> str:
    """What becomes of a variable, as far as this host can say."""
    if name in effective.remote_env:
        return f"set there by `[{settings.REMOTE_ENV}]`"
    pattern = next((one for one in effective.client.env_exclude if commandline.exclusion([one])(name)), None)
    if pattern is not None:
        why = next((what for what, patterns in settings.STAYS_BEHIND if pattern in patterns.split()), "")
        return f"stays here (`{pattern}`{f': {why}' if why else ''})"
    if name == "PWD":
        return "names the directory that the command runs in"
    if commandline.names_socket(os.environ[name]):
        return "stays here (a socket of this host)"
    if name in commandline.MAKE:
        return "goes along without the jobserver of a make on this host"
    if name in env_rules.TABLE:
        kind = env_rules.TABLE[name]
        return f"goes along where the worker's host has it, and nobody else could have put it there ({kind})"
    return "goes along"


def _local(given: str | None, *, must_exist: bool) -> str:
    """The file that is meant, named as it is when it is read: in a resolved directory. Raises ConfigError."""
    names = config_file.LOCAL_NAMES
    if given is None:
        here = [os.path.join(current_directory(), name) for name in names]
        there = [path for path in here if os.path.lexists(path)]
        if not there and must_exist:
            raise ConfigError(
                f"there is neither `{'` nor `'.join(here)}`", hint="name the file: `pigeon config trust FILE`"
            )
        return (there or here)[0]
    path = os.path.join(os.path.realpath(os.path.dirname(given) or "."), os.path.basename(given))
    if os.path.basename(path) not in names:
        raise ConfigError(
            f"`{given}` is read only where it is named, and then counts as it is",
            hint=f"only files called `{'` or `'.join(names)}` need to be trusted",
        )
    return path


def _trust(path: str) -> int:
    text = config_file.read_local(path)
    keys = config.needs_trust(config_file.parse(path, text))
    config_trust.allow(path, text, os.environ)
    if keys:
        say(f"{path} counts as it is now, with {', '.join(keys)}")
    else:
        say(f"{path} counts as it is now; nothing in it needed that")
    return 0


def _untrust(path: str) -> int:
    if config_trust.forget(path, os.environ):
        say(f"{path} is not trusted any more")
        return 0
    complain(f"`{path}` was not trusted")
    return 1


def template(given: Mapping[str, object]) -> str:
    """A file with every key, commented out, with its default; those that are `given` count."""
    lines = ["# Settings of pigeon; `pigeon config show` tells what is in force.", ""]
    table = ""
    for setting in TABLE:
        if setting.table != table:
            table = setting.table
            lines += [f"[{table}]"]
        is_given = setting.key in given
        value = shown(given[setting.key]) if is_given else setting.example or shown(setting.default)
        unit = f" ({setting.kind})" if setting.kind in (settings.SECONDS, settings.BYTES) else ""
        lines += [f"# {setting.help}{unit}", f"{'' if is_given else '# '}{setting.name} = {value}", ""]
    lines += [
        "# Variables for the commands, over the client's own:",
        f"# [{settings.REMOTE_ENV}]",
        '# HTTPS_PROXY = "http://proxy:3128"',
    ]
    return "\n".join(lines) + "\n"


def _exists(path: str) -> ConfigError:
    return ConfigError(
        f"`{path}` exists already and is left as it is", hint="edit it, or `--config` another file"
    )


def _given(flags: Mapping[str, str]) -> dict[str, object]:
    """The settings that stand on the command line, checked. Raises ConfigError."""
    chosen = {key: text for key, text in flags.items() if key in BY_KEY}
    if not chosen:
        return {}
    named = config.load({**chosen, "config": os.devnull}, environ=os.environ, cwd=current_directory())
    return {key: _value(named, key) for key in chosen}


def _init(flags: Mapping[str, str]) -> int:
    path = (
        flags.get("config")
        or os.environ.get("PIGEON_CONFIG")
        or config_file.places(os.environ, current_directory())[0]
    )
    path = config_file.expand(path, os.environ)
    given = _given(flags)
    if "\0" in path:
        raise ConfigError(f"{path!r} cannot be the name of a file")
    if os.path.lexists(path):
        raise _exists(path)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        if os.path.lexists(path):  # somebody was quicker
            raise _exists(path) from None
        raise ConfigError(f"`{path}` cannot be written: {error.strerror}") from error
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(template(given))
    say(f"wrote {path}" + ("" if "cache" in given else "; set `cache` in it"))
    return 0
