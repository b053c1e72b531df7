"""From a claimed session to its running command: the directory, the environment, what is executed."""

from __future__ import annotations

import os

from pigeon.errors import EXIT_PIGEON
from pigeon.wire import events
from pigeon.worker import identity
from pigeon.worker.handover import Task, Worker
from pigeon.worker.relay.command import CannotStart, Command, NoTerminal
from pigeon.worker.relay.command import start as start_command
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.runner.environment import command_environment
from pigeon.worker.runner.held_directory import HeldDirectory


def prepare(task: Task, host: str, lock: HeldDirectory | None) -> tuple[dict[str, str], list[str]]:
    """Enter the directory; the command's environment, and notes for `-v` on it. Raises CannotStart."""
    request = task.request
    try:
        os.chdir(os.fsencode(request.cwd))
    except OSError as error:
        why = (
            "does not exist"
            if isinstance(error, FileNotFoundError)
            else f"cannot be entered ({error.strerror})"
        )
        raise CannotStart(f"the directory `{request.cwd}` {why} on {host}", EXIT_PIGEON) from None
    if lock is not None and lock.leads_elsewhere():
        raise CannotStart(
            f"the directory `{request.cwd}` was moved just when the command was to start; run it again",
            EXIT_PIGEON,
        )
    if None in request.env.values():
        raise CannotStart("the request's environment has been blanked already", EXIT_PIGEON)
    return command_environment(request, task.environ, request.session_id)


def start(
    task: Task, worker: Worker, env: dict[str, str], *, held: tuple[int, ...], proof: int, outbound: Outbound
) -> Command:
    """Execute the request in the current directory. Raises CannotStart.

    `held`: descriptors of the directory's lock, which the command keeps. `proof`: that of the runner's proof of life,
    which its child keeps until it executes the command.
    """
    request = task.request
    argv = request.command
    if request.verb is not None:
        # A question to the worker's own pigeon: about this journal, whatever is on PATH.
        argv = [*worker.own_command, *request.verb]
        env = env | {
            "PIGEON_JOURNAL": worker.journal_path,
            "PIGEON_CACHE": worker.namespace.cache,
            "PIGEON_NAMESPACE": worker.namespace.name,
            identity.QUESTION_VARIABLE: request.session_id,
        }
    try:
        return start_command(
            argv,
            env,
            size=request.size,
            pixels=request.pixels,
            modes=request.modes,
            pty=request.pty,
            inherit=held,
            until_exec=(proof,),
        )
    except NoTerminal:
        outbound.say(events.fallback_to_pipes())
        return start_command(argv, env, size=None, pty=False, inherit=held, until_exec=(proof,))
