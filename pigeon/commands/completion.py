"""`pigeon completion bash|zsh|fish`: the text that a shell evaluates, and what it asks while somebody types."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import pigeon
from pigeon.commands.arguments import Parser, add_common, load_config
from pigeon.errors import PigeonError
from pigeon.printing import say_fields
from pigeon.report import session_view
from pigeon.report.overview import collect
from pigeon.report.text import clean

SHELLS = ("bash", "zsh", "fish")

_EPILOG = """\
to switch it on:
  bash   eval "$(pigeon completion bash)"         in ~/.bashrc
  zsh    eval "$(pigeon completion zsh)"          in ~/.zshrc, behind compinit
  fish   pigeon completion fish | source          in ~/.config/fish/config.fish
"""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Print it. Raises PigeonError."""
    import argparse

    parser = Parser(
        prog="pigeon completion",
        description="Print what makes a shell complete pigeon's verbs, options and session ids, and the command's own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "shell", choices=(*SHELLS, "sessions"), metavar="bash|zsh|fish", help="for which shell"
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    if arguments.shell == "sessions":
        return _sessions(arguments, globals_)
    sys.stdout.write(script(arguments.shell))  # a program of ours, as it is
    return 0


def script(shell: str) -> str:
    """The text for one shell. Not open(): inside a zipapp only the loader can read."""
    path = os.path.join(os.path.dirname(pigeon.__file__), "completions", f"pigeon.{shell}")
    loader = pigeon.__spec__.loader
    data: bytes = loader.get_data(path)  # type: ignore[union-attr]  # both loaders that load packages have it
    return data.decode("utf-8")


def _sessions(arguments: object, globals_: Mapping[str, str]) -> int:
    """Short ids of what runs or waits, with their commands, for the shells' functions. Never an error message."""
    try:
        config = load_config(arguments, globals_)  # type: ignore[arg-type]  # argparse's
        namespace = config.open_namespace()
        for view in collect(namespace):
            say_fields(session_view.short_id(view.session_id), clean(view.command)[:60])
    except PigeonError:
        return 1
    return 0
