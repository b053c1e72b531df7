"""What every verb does with its arguments: the options that choose settings, and reading them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import NoReturn

from pigeon import config
from pigeon.errors import UsageError
from pigeon.printing import complain

_COMMON = ("config", "cache", "namespace", "user", "route")


class Parser(argparse.ArgumentParser):
    """A verb's arguments; a mistake in them is told like every other error of pigeon's."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(
            f"{self.prog.removeprefix('pigeon ')}: {message}", hint=f"`{self.prog} --help` tells more"
        )


def add_common(parser: argparse.ArgumentParser) -> None:
    """`--config`, `--cache`, `--namespace`, `--user`, `--route`, as they may also stand before the verb."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="read the settings from FILE (PIGEON_CONFIG)")
    group.add_argument("--cache", metavar="DIR", help="the shared directory (PIGEON_CACHE)")
    group.add_argument("--namespace", metavar="NAME", help="the namespace (PIGEON_NAMESPACE)")
    group.add_argument("--user", metavar="NAME", help="the requester's name (PIGEON_USER)")
    group.add_argument("--route", metavar="NAME", help="the route (PIGEON_ROUTE)")


def flags_of(arguments: argparse.Namespace, globals_: Mapping[str, str]) -> dict[str, str]:
    """The settings among `arguments` over those that stood before the verb; keys are full setting names."""
    given = {
        key: value
        for key, value in vars(arguments).items()
        if isinstance(value, str) and (key in _COMMON or "." in key)
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
