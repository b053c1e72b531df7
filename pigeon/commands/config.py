"""`pigeon config show|path|init`: which settings are in force, where they came from, and a file to start with."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping

from pigeon import config, settings
from pigeon.commands.common import add_common, current_directory, flags_of, load_config
from pigeon.errors import ConfigError
from pigeon.settings import TABLE, shown


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Show, locate or begin the configuration."""
    parser = argparse.ArgumentParser(
        prog="pigeon config", description="Look at pigeon's settings, or begin a file."
    )
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
    effective = load_config(arguments, globals_)
    for note in effective.notes:
        print(f"pigeon: {note}", file=sys.stderr)
    if arguments.verb == "path":
        return _path(effective)
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
        print(f"{key:<26} {text:<28} {origin}".encode("utf-8", "backslashreplace").decode())
    return 0


def _path(effective: config.Config) -> int:
    read = effective.files[0] if effective.files else None
    print(read or "no configuration file is read")
    for place in config.places(os.environ, current_directory()):
        state = "read" if place == read else "there" if os.path.exists(place) else "not there"
        print(f"  {place} ({state})", file=sys.stderr)
    return 0


def template() -> str:
    """A file with every key, commented out, with its default."""
    lines = ["# Settings of pigeon; `pigeon config show` tells what is in force.", ""]
    table = ""
    for setting in TABLE:
        if setting.table != table:
            table = setting.table
            lines += [f"[{table}]"]
        example = {"cache": '"/shared/pigeon"', "namespace": '"lab"'}.get(setting.key)
        value = example or (shown(setting.default) if setting.default is not None else '""')
        unit = f" ({setting.kind})" if setting.kind in (settings.SECONDS, settings.BYTES) else ""
        lines += [f"# {setting.help}{unit}", f"# {setting.name} = {value}", ""]
    lines += [
        "# Variables for the commands, over the client's own:",
        f"# [{settings.REMOTE_ENV}]",
        '# HTTPS_PROXY = "http://proxy:3128"',
    ]
    return "\n".join(lines) + "\n"


def _init(flags: Mapping[str, str]) -> int:
    path = (
        flags.get("config")
        or os.environ.get("PIGEON_CONFIG")
        or config.places(os.environ, current_directory())[0]
    )
    path = os.path.expanduser(path)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"`{path}` exists already and is left as it is", hint="edit it, or `--config` another file"
        ) from None
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be written: {error.strerror}") from error
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(template())
    print(f"wrote {path}; set `cache` in it")
    return 0
