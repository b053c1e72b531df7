"""`pigeon help [VERB]`: what `pigeon --help` and `pigeon VERB --help` print."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pigeon.cli_arguments import VERBS
from pigeon.errors import UsageError
from pigeon.guess import OTHER_NAMES, nearest
from pigeon.help import fitted, usage
from pigeon.printing import say
from pigeon.report.text import terminal_columns


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Raises UsageError for what is no verb."""
    words = [word for word in args if word not in ("-h", "--help")]
    if not words or words == ["help"]:
        say(fitted(usage(), terminal_columns()), lines=True)
        return 0
    verb = words[0]
    if verb not in VERBS:
        found = OTHER_NAMES.get(verb) or nearest(verb, VERBS)
        raise UsageError(
            f"`{verb}` is no verb of pigeon's" + (f"; did you mean `{found}`?" if found else ""),
            hint=f"`pigeon {verb} --help` asks the program of that name over there",
        )
    return int(import_module(f"pigeon.commands.{verb}").main([*words[1:], "--help"], globals_))
