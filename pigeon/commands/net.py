"""`pigeon net CMD`: run a command here, with a worker's network."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping

from pigeon.commands.arguments import Parser, add_common, add_forwards, flags_of, load_config, plan_of
from pigeon.commands.itself import own_command
from pigeon.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, PigeonError, UsageError
from pigeon.net.near.environment import PROXY_VARIABLE
from pigeon.printing import complain, quote, say

_EPILOG = """\
examples:
  pigeon net python3 train.py               wandb, Hugging Face and the rest reach the world
  pigeon net -R 6006:localhost:6006 tensorboard --logdir runs
                                            port 6006 of the worker's machine shows it
  pigeon net bash                           a shell in which everything has a network
  pigeon net --status                       who is connected where

The command gets variables (`https_proxy`, … all with `http://`), and connect(2) of it and its children is answered by
pigeon where the kernel allows that, so programs that ignore proxies work, too. What it may not have then are the rights
of setuid programs (`sudo`, `ping`). Private, on-link and loopback addresses are reached from here, and `[net] direct`.

Exit codes: the command's own; 127 and 126 as a shell has them; 255 when pigeon itself failed; 2 for wrong usage.
"""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """The command's own exit code. Raises PigeonError."""
    arguments = _parser().parse_args(args)
    if arguments.far:
        from pigeon.net.far.main import serve

        environ = os.environ.get
        return serve(
            environ("PIGEON_NET_RULES", ""), environ("PIGEON_SESSION", ""), environ("PIGEON_JOURNAL", "")
        )
    if arguments.carry:
        from pigeon.client.ask import ask_worker
        from pigeon.wire.documents import NET_VERB

        return ask_worker(NET_VERB, load_config(arguments, globals_), talks=True)
    if arguments.status:
        return _print_statuses(as_json=arguments.json)
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not words:
        raise UsageError("net: no command given", hint="`pigeon net --help` tells more")
    return _run(words, arguments, globals_)


def _parser() -> Parser:
    parser = Parser(
        prog="pigeon net",
        usage="pigeon net [options] [--] COMMAND [ARGUMENT…]\n       pigeon net --status [--json]",
        description="Run a command here, with the network of a worker.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run, and its arguments"
    )
    parser.add_argument("--no-catch", action="store_true", help="only set variables")
    parser.add_argument("--no-env", action="store_true", help="set no variables")
    parser.add_argument(
        "--direct",
        metavar="LIST",
        default="",
        help="names, addresses, networks to reach from here, with commas",
    )
    parser.add_argument("--status", action="store_true", help="show who is connected where, and run nothing")
    parser.add_argument("--json", action="store_true", help="with --status: for programs")
    add_forwards(parser)
    add_common(parser)
    # What the two sides start of each other: the far end of a session, and a client that carries it.
    parser.add_argument("--far", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--carry", action="store_true", help=argparse.SUPPRESS)
    return parser


def _run(words: list[str], arguments: argparse.Namespace, globals_: Mapping[str, str]) -> int:
    from pigeon.net.near.mirror import Dispositions

    dispositions = Dispositions()
    if os.environ.get("PIGEON_SESSION") or os.environ.get(PROXY_VARIABLE):
        # On the worker's machine, or within another `pigeon net`: the network is there already.
        dispositions.restore()
        _execute(words)
    from pigeon.net.near import places
    from pigeon.net.near.command import Keeper
    from pigeon.net.near.lending import Lending, lend
    from pigeon.net.policy import Rule

    config = load_config(arguments, globals_)
    direct = [*config.net.direct, *(text for text in arguments.direct.split(",") if text)]
    for text in direct:
        try:
            Rule(text)
        except ValueError:
            raise UsageError(f"`{text}` is neither a name nor an address nor a network") from None
    plan = plan_of(arguments, config, flags_of(arguments, globals_), title="pigeon net", kind=places.NET)
    wanted = Lending(
        argv=words,
        plan=plan,
        connect=" ".join(quote(word) for word in (*own_command(), "connect")),
        catches=not arguments.no_catch,
        sets_variables=not arguments.no_env,
        direct=direct,
    )
    return Keeper(lend(wanted, dispositions)).run()


def _execute(words: list[str]) -> None:
    try:
        os.execvp(words[0], words)
    except OSError as error:
        failure = PigeonError(f"`{words[0]}` cannot be executed: {error.strerror}")
        failure.exit_code = EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE
        raise failure from error


def _print_statuses(*, as_json: bool) -> int:
    from pigeon.net.near.running import statuses
    from pigeon.report.network import status_lines
    from pigeon.report.text import terminal_columns
    from pigeon.text import fold

    found = statuses()
    if as_json:
        say(json.dumps(found, indent=1), lines=True)
    elif not found:
        complain("neither `pigeon net` nor `pigeon proxy` runs here")
    else:
        for line in status_lines(found):
            say("\n".join(fold(line, terminal_columns())), lines=True)
    return 0
