"""`pigeon config show|path|init`: which settings are in force, where they came from, and a file to start with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from pigeon import config, config_file, settings
from pigeon.commands.arguments import Parser, add_common, current_directory, flags_of, load_config
from pigeon.errors import ConfigError
from pigeon.settings import TABLE, shown

# For keys that have no default of their own; each must be valid, since people take the `#` away.
_EXAMPLES = {
    "cache": '"/shared/pigeon"',
    "namespace": '"lab"',
    "user": '"me"',
    "route": '"internet"',
    "worker.route": '"internet"',
    "worker.journal": '"~/.pigeon.db"',
    "worker.max_stream": '"16GiB"',
}


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Show, locate or begin the configuration."""
    parser = Parser(prog="pigeon config", description="Look at pigeon's settings, or begin a file.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="show|path|init")
    show = verbs.add_parser("show", help="each effective value and where it came from")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    path = verbs.add_parser("path", help="the file that is read, and the places that are looked at")
    init = verbs.add_parser("init", help="write a commented file to the default place, or to --config FILE")
    for one in (show, path, init):
        add_common(one)
    arguments = parser.parse_args(args)
    if arguments.verb == "init":
        return _init(flags_of(arguments, globals_))
    if arguments.verb == "path":
        return _path(flags_of(arguments, globals_))
    effective = load_config(arguments, globals_)
    for note in effective.notes:
        print(_printable(f"pigeon: {note}"), file=sys.stderr)
    return _show(effective, as_json=arguments.json)


def _value(effective: config.Config, key: str) -> object:
    table, _, name = key.rpartition(".")
    return getattr(getattr(effective, table) if table else effective, name)


def _show(effective: config.Config, *, as_json: bool) -> int:
    rows = [(s.key, _value(effective, s.key), effective.origin(s.key)) for s in TABLE]
    masked = [(f"{settings.REMOTE_ENV}.{name}", "***", effective.files[0]) for name in effective.remote_env]
    if as_json:
        print(json.dumps({k: {"value": v, "origin": o} for k, v, o in [*rows, *masked]}, indent=2))
        return 0
    for key, value, origin in [*rows, *masked]:
        text = str(value) if value == "***" else shown(value)
        print(_printable(f"{key:<26} {text:<28} {origin}"))
    return 0


def _printable(text: str) -> str:
    """Names that are not UTF-8 must not end in a traceback."""
    return text.encode("utf-8", "backslashreplace").decode()


def _path(flags: Mapping[str, str]) -> int:
    """The path alone on stdout, for scripts; the places on stderr. 1 if there is no file."""
    cwd = current_directory()
    read, notes = config_file.locate(flags, environ=os.environ, cwd=cwd)
    for note in notes:
        print(_printable(f"pigeon: {note}"), file=sys.stderr)
    print(_printable(read or "no configuration file is read"), file=sys.stdout if read else sys.stderr)
    named = config_file.named_path(flags, os.environ, cwd)
    for place in [named[0]] if named else config_file.places(os.environ, cwd):
        state = "read" if place == read else "there" if os.path.exists(place) else "not there"
        by = f", named by {named[1]}" if named else ""
        print(_printable(f"  {place} ({state}{by})"), file=sys.stderr)
    return 0 if read else 1


def template() -> str:
    """A file with every key, commented out, with its default."""
    lines = ["# Settings of pigeon; `pigeon config show` tells what is in force.", ""]
    table = ""
    for setting in TABLE:
        if setting.table != table:
            table = setting.table
            lines += [f"[{table}]"]
        value = _EXAMPLES.get(setting.key) or shown(setting.default)
        unit = f" ({setting.kind})" if setting.kind in (settings.SECONDS, settings.BYTES) else ""
        lines += [f"# {setting.help}{unit}", f"# {setting.name} = {value}", ""]
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


def _init(flags: Mapping[str, str]) -> int:
    path = (
        flags.get("config")
        or os.environ.get("PIGEON_CONFIG")
        or config_file.places(os.environ, current_directory())[0]
    )
    path = os.path.expanduser(path)
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
        file.write(template())
    print(_printable(f"wrote {path}; set `cache` in it"))
    return 0
