"""What every verb does with its arguments: the options that choose settings, and reading them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from pigeon import config

_COMMON = ("config", "cache", "namespace", "user", "route")


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
    """The effective settings for a verb. Raises ConfigError."""
    return config.load(flags_of(arguments, globals_), environ=os.environ, cwd=current_directory())


def current_directory() -> str:
    """The resolved working directory; `/` where it has been removed, since most verbs do not need it."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
