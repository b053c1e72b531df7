"""Asking a worker's own pigeon, through a session: what only the worker's host knows (its journal, its processes)."""

from __future__ import annotations

import os

from pigeon.client import frames
from pigeon.client.following import in_two_processes, options_of
from pigeon.client.outcome import Outcome
from pigeon.client.session import submit
from pigeon.client.session.conversation import Conversation
from pigeon.client.session.guardian_front import GuardianFront
from pigeon.client.tty import is_terminal, window_size
from pigeon.config import Config
from pigeon.printing import quote
from pigeon.wire.documents import BESIDE, CLIENT_FEATURES, Request, Requester
from pigeon.wire.names import new_session_id

_PASSED_ON = ("NO_COLOR", "FORCE_COLOR", "TZ", "LANG", "LC_ALL", "LC_TIME")


def ask_worker(verb_args: list[str], config: Config, *, talks: bool = False) -> int:
    """Run `pigeon <verb_args>` on a worker and print what it prints. Returns its exit code.

    `talks`: what comes on stdin goes to it, and everything is said that there is to say, whoever reads stderr.

    Paths in `verb_args` must be absolute. The session takes no lock. An older worker, which knows no `verb`, runs
    whatever `pigeon` its login shell finds.
    """
    speaks = talks or is_terminal(2)
    return in_two_processes(
        lambda mine: _talk(mine, verb_args, config, speaks=speaks, talks=talks),
        reads_keyboard=False,
        speaks=speaks,
    )


def question(verb_args: list[str], config: Config) -> Request:
    """The request that asks a worker's own pigeon."""
    text = "exec pigeon " + " ".join(quote(word) for word in verb_args)
    request = Request(new_session_id(), ["bash", "-lc", text], "/")
    request.verb = verb_args
    request.requester = Requester(submit.host_name(), os.getpid(), config.user)
    request.pty = False
    request.lock = BESIDE
    request.route = config.route
    return request


def _talk(
    mine: frames.FramePipe, verb_args: list[str], config: Config, *, speaks: bool, talks: bool
) -> Outcome:
    request = question(verb_args, config)
    request.features = CLIENT_FEATURES
    request.env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    size = window_size()
    if size is not None and is_terminal(1):
        request.env["COLUMNS"] = str(size[0])
        request.env.setdefault("FORCE_COLOR", "1")
    submission = submit.publish(config.open_namespace(), request)
    options = options_of(request, config, speaks=speaks, reads_stdin=talks)
    conversation = Conversation(submission, options, GuardianFront(mine, options))
    if not talks:
        conversation.upstream.end()
    return conversation.run()
