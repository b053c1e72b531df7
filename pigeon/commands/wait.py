"""`pigeon wait SESSION…`: until they have ended; the exit code is that of the last one, as with the shell's `wait`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from pigeon import clock
from pigeon.commands.arguments import (
    Parser,
    add_common,
    add_sessions,
    current_directory,
    load_config,
    seconds,
)
from pigeon.errors import EXIT_PIGEON, NotFoundError, ShareError
from pigeon.printing import complain
from pigeon.report import session_view
from pigeon.report.session_choice import choose
from pigeon.text import duration
from pigeon.wire import files, states
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import WATCHING, interval

EXIT_TIMEOUT = 124
"""As timeout(1) has it."""

TELLS_S = (30.0, 120.0, 600.0)
"""When a person at a terminal hears that it still waits; then every half an hour."""

AGAIN_S = 1800.0
PATIENCE_S = 300.0
"""A share that gives errors for longer ends the waiting."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """The exit code of the last session; 124 after `--timeout`. Raises PigeonError."""
    parser = Parser(
        prog="pigeon wait",
        description="Wait until sessions have ended, and end with the exit code of the last one named. "
        "Nothing is printed, and Ctrl-C ends the waiting only.",
    )
    add_sessions(parser)
    parser.add_argument(
        "--timeout", type=seconds, metavar="TIME", help="give up after TIME, with exit code 124"
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    cwd = current_directory()
    ids = [choose(namespace, typed, cwd) for typed in arguments.sessions]
    until = None if arguments.timeout is None else clock.monotonic() + arguments.timeout
    code = 0
    for session_id in ids:
        found = _end_of(namespace, session_id, until)
        if found is None:
            complain(f"session {session_id} has not ended within {duration(arguments.timeout)}")
            return EXIT_TIMEOUT
        code = found
    return code


def _end_of(namespace: Namespace, session_id: str, until: float | None) -> int | None:
    """The exit code; None when time is up. Raises NotFoundError, ShareError."""
    began = readable_at = clock.monotonic()
    tells, told = list(TELLS_S), 0.0
    while True:
        now = clock.monotonic()
        try:
            view = session_view.view(namespace, session_id)
            readable_at = now
        except NotFoundError:
            raise NotFoundError(
                f"session {session_id} has been removed from the share",
                hint=f"`pigeon history {session_id}` knows how it ended",
            ) from None
        except ShareError as error:
            cause = error.__cause__
            if not (isinstance(cause, OSError) and files.may_pass(cause)) or now - readable_at > PATIENCE_S:
                raise
            view = None
        if view is not None and view.state in states.FINAL:
            code = view.status.exit_code if view.status else None
            return EXIT_PIGEON if code is None else code
        if until is not None and now >= until:
            return None
        waited = now - began
        if view is not None and sys.stderr.isatty() and waited >= (tells[0] if tells else told + AGAIN_S):
            told = tells.pop(0) if tells else waited
            doing = f"{view.state} for {duration(view.age_s())}: `{view.command}`"
            complain(f"still waiting for session {session_id}, {doing}")
        pause = interval(WATCHING, waited)
        clock.sleep(max(0.02, pause if until is None else min(pause, until - now)))
