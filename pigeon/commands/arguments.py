"""What every verb does with its arguments: the options that choose settings, and reading them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import NoReturn

from pigeon import config
from pigeon.durations import EXAMPLES, seconds_of
from pigeon.errors import UsageError
from pigeon.help import fitted
from pigeon.printing import complain
from pigeon.report.text import terminal_columns
from pigeon.settings import BY_KEY, SWITCH, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.net.near.assembly import Plan


class Parser(argparse.ArgumentParser):
    """A verb's arguments; a mistake in them is told like every other error of pigeon's."""

    def format_help(self) -> str:
        """As wide as the terminal, whatever of it was written by hand."""
        return fitted(super().format_help(), terminal_columns())

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        from pigeon.guess import nearest, option

        _, _, unknown = message.partition("unrecognized arguments: ")
        _, is_choice, wrong = message.partition("invalid choice: '")
        meant = ""
        if unknown.startswith("-"):
            meant = option(unknown.split()[0].partition("=")[0], self._option_string_actions)
        elif is_choice:
            choices = [str(one) for action in self._actions for one in action.choices or ()]
            found = nearest(wrong.partition("'")[0], choices)
            meant = f"; did you mean `{found}`?" if found else ""
        raise UsageError(
            f"{self.prog.removeprefix('pigeon ')}: {message}{meant}", hint=f"`{self.prog} --help` tells more"
        )


def seconds(text: str) -> float:
    """The type of an option that takes a time. Raises ArgumentTypeError."""
    found = seconds_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"`{text}` is no time, such as {EXAMPLES}, or a number of seconds")
    return found


def add_common(parser: argparse.ArgumentParser) -> None:
    """`--config`, `--cache`, `--namespace`, `--user`, `--route`, as they may also stand before the verb."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="read the settings from FILE (PIGEON_CONFIG)")
    add_settings(group, *(setting.key for setting in options("")))


def add_settings(group: argparse._ActionsContainer, *keys: str) -> None:
    """The flags of these settings, with what the settings' table says of them."""
    for key in keys:
        setting = BY_KEY[key]
        if setting.kind == SWITCH:
            group.add_argument(setting.flag, dest=key, action="store_const", const="true", help=setting.told)
        else:
            group.add_argument(
                setting.flag,
                dest=key,
                metavar=setting.metavar or None,
                choices=setting.choices or None,
                help=setting.told.replace("%", "%%"),
            )


def add_session(parser: argparse.ArgumentParser) -> None:
    """SESSION, which may be left out where only one is open in this directory."""
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="its id, or a unique beginning of it or of its random part; without it, the only one of this directory",
    )


def add_sessions(parser: argparse.ArgumentParser) -> None:
    """SESSION…, likewise; `arguments.sessions` is a list of words, or [None]."""
    parser.add_argument(
        "sessions",
        nargs="*",
        default=[None],
        metavar="SESSION",
        help="ids, or unique beginnings of them or of their random parts; without, the only one of this directory",
    )


def add_forwards(parser: argparse.ArgumentParser) -> None:
    """`-L`, `-R`, `-D`, `-g`, as ssh has them, and what goes with them."""
    group = parser.add_argument_group("forwarding")
    group.add_argument(
        "-L", dest="local", action="append", default=[], metavar="[BIND:]PORT:HOST:HOSTPORT",
        help="a port here that leads to HOST over there",
    )  # fmt: skip
    group.add_argument(
        "-R", dest="remote", action="append", default=[], metavar="[BIND:]PORT:HOST:HOSTPORT",
        help="a port of the worker's host that leads to HOST here",
    )  # fmt: skip
    group.add_argument(
        "-D", dest="dynamic", action="append", default=[], metavar="[BIND:]PORT",
        help="the proxy's own port (HTTP and SOCKS); default: a free one",
    )  # fmt: skip
    group.add_argument(
        "-g", dest="to_all", action="store_true", help="other machines may use these ports, too"
    )
    group.add_argument("--auth", action="store_true", help="ask for a password besides")
    group.add_argument("-v", "--verbose", action="store_true", help="say what happens to the session")


def plan_of(
    arguments: argparse.Namespace, config: config.Config, flags: Mapping[str, str], *, title: str, kind: str
) -> Plan:
    """What these options want of a front. Raises UsageError."""
    from pigeon.cli_arguments import words_of
    from pigeon.commands.itself import own_command
    from pigeon.net.near import forwards
    from pigeon.net.near.assembly import Plan

    wanted = [
        forwards.parse(flag, text, to_all=arguments.to_all)
        for flag, texts in (("-D", arguments.dynamic), ("-L", arguments.local), ("-R", arguments.remote))
        for text in texts
    ]
    passed = dict(flags)
    if "config" in passed:
        passed["config"] = os.path.abspath(passed["config"])
    return Plan(
        title=title,
        kind=kind,
        client=[*own_command(), *words_of(passed), "net", "--carry"],
        where=(config.require_cache(), config.namespace, config.route or ""),
        patience_s=config.client.claim_timeout,
        forwards=wanted,
        has_password=arguments.auth,
        is_verbose=arguments.verbose,
    )


def flags_of(arguments: argparse.Namespace, globals_: Mapping[str, str]) -> dict[str, str]:
    """The settings among `arguments` over those that stood before the verb; keys are full setting names."""
    given = {
        key: value
        for key, value in vars(arguments).items()
        if isinstance(value, str) and (key == "config" or key in BY_KEY)
    }
    return {**globals_, **given}


def load_config(arguments: argparse.Namespace, globals_: Mapping[str, str]) -> config.Config:
    """The effective settings for a verb, once it is said what does not count. Raises ConfigError."""
    effective = config.load(flags_of(arguments, globals_), environ=os.environ, cwd=current_directory())
    for warning in effective.warnings:
        complain(warning)
    return effective


def directory_of(path: str) -> str:
    """A directory as sessions name it. Raises UsageError where a relative one has nothing to start from."""
    try:
        return os.path.realpath(path)
    except OSError as error:
        raise UsageError(
            f"`{path}` means nothing here, since the current directory cannot be used: {error.strerror}",
            hint="give an absolute path, or `cd` to a directory that exists",
        ) from error


def current_directory() -> str:
    """The resolved working directory; `/` where it has been removed, since most verbs do not need it."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
