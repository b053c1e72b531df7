"""`pigeon stop SESSION…`: end sessions from any machine that sees the share."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from pigeon import clock
from pigeon.client.session.submit import withdraw
from pigeon.commands.arguments import Parser, add_common, add_sessions, current_directory, load_config
from pigeon.config import Config
from pigeon.errors import NotFoundError, PigeonError, ShareError, UsageError
from pigeon.printing import complain, say
from pigeon.report import session_view
from pigeon.report.session_choice import choose
from pigeon.wire import attachment, states, takeover
from pigeon.wire.claim import Claim
from pigeon.wire.names import TAKEOVER_NAME, Namespace, new_token
from pigeon.wire.records import HANGUP, client_line, signal_line

WAIT_S = 20.0
"""A hang-up takes up to 10 s to come to SIGKILL."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Stop, signal or, with --force, give an end to a session whose owner is silent. Raises PigeonError."""
    parser = Parser(
        prog="pigeon stop",
        description="End sessions: withdraw those that wait, hang up the commands of those that run.",
    )
    add_sessions(parser)
    parser.add_argument(
        "--signal", metavar="N", help="send this signal (a number or a name) instead of hanging up"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="publish an end although its worker does not answer; only after that has been silent for `host_timeout`",
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    number = _signal_number(arguments.signal) if arguments.signal is not None else None
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    cwd = current_directory()
    ids = [
        choose(namespace, typed, cwd) for typed in arguments.sessions
    ]  # nothing is ended before all are known
    code = 0
    for session_id in ids:
        try:
            _end(namespace, session_id, config, number, force=arguments.force)
        except PigeonError as error:
            if session_id == ids[-1]:
                raise
            code = error.exit_code
            complain(error.message)
            if error.hint:
                complain(f"hint: {error.hint}")
    return code


def _end(namespace: Namespace, session_id: str, config: Config, number: int | None, *, force: bool) -> None:
    view = session_view.view(namespace, session_id)
    if view.state in states.FINAL:
        say(f"session {view.session_id} has ended already: {view.state}", stderr=True)
        return
    try:
        # What is pending and unclaimed has no owner to be silent: giving it up takes the claim itself.
        if force and view.state != states.PENDING:
            _force(namespace, view, config.worker.host_timeout)
        else:
            _stop(namespace, view, number)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ShareError(
            f"`{view.files.directory}` cannot be written: {error.strerror}",
            hint="try again; `pigeon doctor` looks at the share",
        ) from error


def _stop(namespace: Namespace, view: session_view.View, number: int | None) -> None:
    if view.claim is None and number is not None:
        raise PigeonError(
            f"session {view.session_id} has not been started: there is nothing to signal",
            hint=f"`pigeon stop {view.session_id}` withdraws it",
        )
    if view.claim is None:
        created = view.status.created_at if view.status else clock.utc_text()
        if withdraw(view.files, created, "stopped by `pigeon stop` before it ran"):
            say(f"session {view.session_id} is withdrawn")
            return
        view = session_view.view(namespace, view.session_id)  # somebody was faster
    owner = view.claim or Claim({})
    if owner.is_withdrawal:
        raise PigeonError(
            f"session {view.session_id} was being withdrawn by a client that has died meanwhile",
            hint=f"workers end it after `host_timeout`; so does `pigeon stop --force {view.session_id}`",
        )
    if not owner.takes_attachers:
        raise PigeonError(
            f"session {view.session_id} is run by an older worker, which only listens to its own client",
            hint="press Ctrl-C there, or stop the command on its host",
        )
    _tell(namespace, view, number)


def _signal_number(text: str) -> int:
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    try:
        number = int(text) if text.isdecimal() else int(signal.Signals[name])
    except KeyError:
        number = 0
    if not 0 < number < signal.NSIG:
        raise UsageError(f"there is no signal `{text}`", hint="a number, or a name such as TERM")
    return number


def _tell(namespace: Namespace, view: session_view.View, number: int | None) -> None:
    """As a visitor: the runner does what it says and goes on listening to its client."""
    line = client_line(HANGUP) if number is None else signal_line(0, number)
    attachment.create(view.files, visitor_records=line)
    if number is not None:
        say(f"session {view.session_id}: signal {number} is on its way")
        return
    until = clock.monotonic() + WAIT_S
    while clock.monotonic() < until:
        try:
            state = session_view.view(namespace, view.session_id).state
        except NotFoundError:
            return
        if state in states.FINAL:
            say(f"session {view.session_id}: {state}")
            return
        clock.sleep(0.1)
    raise PigeonError(
        f"session {view.session_id} has not ended within {WAIT_S:.0f} s; its worker may be gone",
        hint=f"`pigeon inspect {view.session_id}` tells what is known; `pigeon stop --force` gives it an end",
    )


def _force(namespace: Namespace, view: session_view.View, host_timeout_s: float) -> None:
    say(
        f"watching the owner of {view.session_id} for {host_timeout_s:.0f} s of silence (`[worker] host_timeout`); "
        "Ctrl-C gives up",
        stderr=True,
    )
    stalled = TAKEOVER_NAME in view.names
    silent = takeover.wait_for_silence(namespace, view.files, view.owner or "", host_timeout_s)
    if not silent:
        raise PigeonError(
            f"the owner of {view.session_id} lives: it has just said something",
            hint=f"`pigeon stop {view.session_id}` asks it to end the session; if that does nothing, its runner hangs "
            f"or is stopped: `pigeon inspect {view.session_id}` names the process, to be continued or killed there",
        )
    by = f"pigeon stop on {os.uname().nodename}"
    if takeover.end(view.files, new_token(), by, view.owner or "?", stalled=stalled):
        say(f"session {view.session_id} has been given an end; its command is not run again")
        return
    state = session_view.view(namespace, view.session_id).state
    if state not in states.FINAL:
        raise PigeonError(
            f"somebody else has begun to give session {view.session_id} an end, and has not done so yet",
            hint="try again, if it stays so",
        )
    say(f"session {view.session_id} has got an end meanwhile: {state}")
