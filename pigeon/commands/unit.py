"""`pigeon worker --print-unit [--user | --template]`: a unit for systemd that runs this pigeon with these settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pigeon.commands.arguments import Parser, add_settings, load_config
from pigeon.config import Config
from pigeon.printing import say

SYSTEM, USER, TEMPLATE = "system", "user", "template"

_NAMES = {
    SYSTEM: "/etc/systemd/system/pigeon-worker.service",
    USER: "~/.config/systemd/user/pigeon-worker.service",
    TEMPLATE: "/etc/systemd/system/pigeon-worker@.service",
}

_ENABLE = {
    SYSTEM: "systemctl enable --now pigeon-worker",
    USER: "systemctl --user enable --now pigeon-worker; loginctl enable-linger",
    TEMPLATE: "systemctl enable --now pigeon-worker@alice pigeon-worker@bob",
}


def print_unit(args: list[str], globals_: Mapping[str, str]) -> int:
    """Print it. Raises PigeonError."""
    parser = Parser(prog="pigeon worker --print-unit", description="Print a unit for systemd.")
    parser.add_argument("--print-unit", action="store_true", help="print the unit")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--user", action="store_true", help="for `systemctl --user`")
    kind.add_argument("--template", action="store_true", help="for a group: one instance a user")
    parser.add_argument("--config", metavar="FILE", help="read the settings from FILE (PIGEON_CONFIG)")
    add_settings(parser, "cache", "namespace", "route")
    arguments = parser.parse_args(args)
    chosen = USER if arguments.user else TEMPLATE if arguments.template else SYSTEM
    del arguments.user  # a switch here, and no name
    config = load_config(arguments, globals_)
    say(unit(chosen, config), lines=True)
    return 0


def unit(kind: str, config: Config) -> str:
    """The text of the unit (systemd.unit(5), systemd.service(5)). Raises ConfigError where the share is not named."""
    cache = config.require_cache()
    own = os.environ.get("USER") or "root"
    if kind == TEMPLATE:  # what is named after this user is named after each
        cache = "/".join("%i" if part == own else _escaped(part) for part in cache.split("/"))
    else:
        cache = _escaped(cache)
    variables = [f"PIGEON_CACHE={cache}"]
    if kind != TEMPLATE and config.origin("namespace") != "default":
        variables.append(f"PIGEON_NAMESPACE={_escaped(config.namespace)}")
    if config.route:
        variables.append(f"PIGEON_ROUTE={_escaped(config.route)}")
    lines = [
        f"# {_NAMES[kind]}",
        f"#   {_ENABLE[kind]}",
        "[Unit]",
        "Description=pigeon worker" + (" of %i" if kind == TEMPLATE else ""),
        f"RequiresMountsFor={_quoted(cache)}",
        *(
            ["Wants=network-online.target", "After=network-online.target remote-fs.target"]
            if kind != USER
            else []
        ),
        "",
        "[Service]",
        *(["User=%i"] if kind == TEMPLATE else [f"User={own}"] if kind == SYSTEM else []),
        *(f"Environment={_quoted(one)}" for one in variables),
        f"ExecStart={' '.join(_quoted(_escaped(word)) for word in _own_words())} worker",
        "# Commands outlive their worker: the next one finds them through the journal.",
        "KillMode=process",
        "TimeoutStopSec=10",
        "Restart=on-failure",
        "RestartSec=5",
        "",
        "[Install]",
        f"WantedBy={'default.target' if kind == USER else 'multi-user.target'}",
    ]
    return "\n".join(lines)


def _own_words() -> list[str]:
    """How this pigeon was started: the installed command or the single file, else this Python with the package."""
    program = os.path.abspath(sys.argv[0])
    if os.access(program, os.X_OK) and os.path.isfile(program) and not program.endswith(".py"):
        return [program]
    return [sys.executable, "-m", "pigeon"]


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """As systemd splits words again: in double quotes where that is needed."""
    if word and not set(word) & set(" \t\"'\\;$"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'
