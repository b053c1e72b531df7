"""`pigeon attach SESSION`: become the terminal of a running session, or only watch it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pigeon.client import frames
from pigeon.client.following import in_two_processes, options_of
from pigeon.client.outcome import Outcome
from pigeon.client.session.conversation import Conversation
from pigeon.client.session.guardian_front import GuardianFront
from pigeon.client.session.replay import Reader, replay
from pigeon.client.session.submit import Submission
from pigeon.client.tty import is_terminal
from pigeon.commands.arguments import Parser, add_common, add_session, current_directory, load_config
from pigeon.config import Config
from pigeon.errors import PigeonError
from pigeon.report import session_view
from pigeon.report.session_choice import choose
from pigeon.wire import attachment, states
from pigeon.wire.tail import StreamReader


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """The session's exit code; 0 after detaching. Raises PigeonError."""
    parser = Parser(
        prog="pigeon attach",
        description="Take over a running session: its screen, its keyboard, its exit code. "
        "Whoever was attached before is told, and ends. Only a terminal's input is passed on.",
    )
    add_session(parser)
    parser.add_argument(
        "-r", "--read-only", action="store_true", help="only watch, until Ctrl-C; the present client stays"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens to the session")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    speaks = is_terminal(2) or arguments.verbose

    return in_two_processes(
        lambda mine: _outcome(mine, arguments, config, speaks=speaks),
        reads_keyboard=is_terminal(0),
        speaks=speaks,
        watches=arguments.read_only,
    )


def _outcome(
    mine: frames.FramePipe, arguments: argparse.Namespace, config: Config, *, speaks: bool
) -> Outcome:
    try:
        return _attach(mine, arguments, config, speaks=speaks)
    except Outcome as outcome:
        return outcome


def _attach(
    mine: frames.FramePipe, arguments: argparse.Namespace, config: Config, *, speaks: bool
) -> Outcome:
    namespace = config.open_namespace()
    view = session_view.view(
        namespace, choose(namespace, arguments.session, current_directory(), running=True)
    )
    if view.state in states.FINAL:
        raise PigeonError(
            f"session {view.session_id} has ended: {view.state}",
            hint=f"`pigeon logs {view.session_id}` shows its output",
        )
    if view.request is None or view.claim is None:
        raise PigeonError(
            f"session {view.session_id} has not been started yet", hint="`pigeon sessions` tells why"
        )
    if not arguments.read_only and not view.claim.takes_attachers:
        raise PigeonError(
            f"session {view.session_id} is run by an older worker, which cannot be attached to",
            hint="`--read-only` watches it",
        )
    options = options_of(
        view.request, config, speaks=speaks, verbose=arguments.verbose, reads_stdin=is_terminal(0)
    )
    options.read_only = arguments.read_only
    tail = StreamReader(view.files, is_late=True)
    front = GuardianFront(mine, options)
    reader = Reader(front, options, view.files.stream)
    screen, modes, ended = replay(tail, hear=reader.hear)
    if ended:
        raise PigeonError(
            f"session {view.session_id} has just ended",
            hint=f"`pigeon logs {view.session_id}` shows its output",
        )
    mine_now = None if options.read_only else attachment.create(view.files)
    submission = Submission(namespace, view.files, view.request)
    conversation = Conversation(submission, options, front, attachment=mine_now.number if mine_now else 0)
    conversation.join(tail, mine_now.control if mine_now else None)
    front.show(screen, modes)
    reader.hand_over()
    return conversation.run()
