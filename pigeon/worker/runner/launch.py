"""From a claimed session to its running command: the directory, the environment, what is executed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from pigeon import env_rules, inside
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import events
from pigeon.wire.documents import Request
from pigeon.wire.text import to_bytes, to_here
from pigeon.worker import identity, profile, words
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.process_context import ProcessContext
from pigeon.worker.relay.program import TOO_LONG, CannotStart, find_program
from pigeon.worker.relay.spawn import NoTerminal
from pigeon.worker.relay.spawn import start as start_command
from pigeon.worker.runner.held_directory import HeldDirectory, other_directory

_TERMINFO = (
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/lib/terminfo",
    "/usr/share/terminfo",
    "/usr/local/share/terminfo",
)

_FALLBACKS = {
    "tmux": "screen",
    "tmux-256color": "screen-256color",
    "screen-256color": "screen",
    "linux": "vt100",
}
"""TERM -> what resembles it most on a host that lacks its entry. Everything else is taken for an xterm with 256
colours, which is what terminals with entries of their own (kitty, ghostty, alacritty, foot, wezterm) imitate."""


class Prepared:
    """What a command is started with, and what its client is told then."""

    def __init__(self, env: dict[str, str], notices: list[str], details: list[str]) -> None:
        self.env = env
        self.notices = notices
        """For everybody."""
        self.details = details
        """For `-v`."""


def prepare(task: Assignment, worker: Worker, lock: HeldDirectory | None) -> Prepared:
    """Enter the directory, and say what is different about it; the command's environment. Raises CannotStart."""
    request, host = task.request, worker.host
    try:
        os.chdir(to_bytes(request.cwd))
    except OSError as error:
        why = (
            "does not exist"
            if isinstance(error, FileNotFoundError)
            else f"cannot be entered ({error.strerror})"
        )
        way_out = "work in one that both machines see (`findmnt -T .` says where this one lives)"
        raise CannotStart(f"the directory `{request.cwd}` {why} on {host}; {way_out}", EXIT_PIGEON) from None
    if lock is not None and lock.leads_elsewhere():
        raise CannotStart(
            f"the directory `{request.cwd}` was moved just when the command was to start; run it again",
            EXIT_PIGEON,
        )
    if None in request.env.values():
        raise CannotStart("the request's environment has been blanked already", EXIT_PIGEON)
    env, details = command_environment(request, task.environ, _marks(task, worker))
    return Prepared(env, other_directory(request, host), details)


def _marks(task: Assignment, worker: Worker) -> dict[str, str]:
    """By which pigeon knows that it is inside a session: on this host, in this boot, while this runner lives."""
    pid = os.getpid()
    marks = {
        identity.SESSION_VARIABLE: task.session_id,
        inside.RUNNER_VARIABLE: inside.runner_mark(worker.host, worker.boot, pid, identity.start_ticks(pid)),
        inside.SHARE_VARIABLE: worker.namespace.root,
    }
    if task.request.route is not None:
        marks[inside.ROUTE_VARIABLE] = task.request.route
    return marks


def _judged_first(request: Request) -> list[tuple[str, str]]:
    """The directories that the client wants in front of PATH, and what speaks against each over here; "" if nothing."""
    return [
        (
            place,
            env_rules.fault_of(to_here(place), directory=True) if place.startswith("/") else "is relative",
        )
        for place in request.path_first
        if ":" not in place
    ]


def _of_path(place: str, why: str) -> str:
    if why == env_rules.NOT_THERE:
        return f"there is no `{place}` on this host"
    return f"`{place}` is not put in front of PATH: it {why}" if why else f"`{place}` is put in front of PATH"


def with_path(request: Request) -> list[str]:
    """The argv, which puts the client's active environment in front of PATH once the login shell's profile has run.

    What the profile has put there itself is not put there twice.
    """
    argv = request.command
    first = [place for place, why in _judged_first(request) if not why]
    if not first or len(argv) != 3 or argv[1] != "-lc":
        return argv
    puts = "".join(
        f"case :$PATH: in *:{quoted}:*) ;; *) export PATH={quoted}:$PATH ;; esac; "
        for quoted in map(shlex.quote, reversed(first))
    )
    return [*argv[:2], puts + argv[2]]


def start(
    task: Assignment,
    worker: Worker,
    env: dict[str, str],
    *,
    held: tuple[int, ...],
    proof: int,
    outbound: Outbound,
) -> Command:
    """Execute the request in the current directory. Raises CannotStart.

    `held`: descriptors of the directory's lock, which the command keeps. `proof`: that of the runner's proof of life,
    which its child keeps until it executes the command.
    """
    request = task.request
    argv = [*wrapper(task, worker), *with_path(request)]
    if request.verb is not None:
        # A question to the worker's own pigeon: about this journal, whatever is on PATH.
        argv = [*worker.own_command, *request.verb]
        env = env | {
            "PIGEON_JOURNAL": worker.journal_path,
            "PIGEON_CACHE": worker.namespace.cache,
            "PIGEON_NAMESPACE": worker.namespace.name,
            identity.QUESTION_VARIABLE: request.session_id,
            identity.NET_RULES_VARIABLE: worker.net_rules,
        }
    is_wrapped = bool(worker.wrap) and request.verb is None
    if is_wrapped:
        argv[0] = _find_wrapper(argv[0], task.environ)
    elif request.verb is None:
        _check_profile(argv, env, worker)
    own_path = task.environ.get("PATH") or os.defpath
    context = ProcessContext(
        request.umask, request.limits, request.modes, own_path, request.stderr, request.shape
    )

    def run(window: tuple[int, int, int, int] | None) -> Command:
        command = start_command(argv, env, window=window, inherit=held, until_exec=(proof,), context=context)
        command.leader.is_wrapped = is_wrapped
        return command

    try:
        return run(request.window)
    except NoTerminal:
        if request.pty:
            outbound.say(events.fallback_to_pipes())
        context.shape = None
        return run(None)
    except CannotStart as error:
        if is_wrapped and error.message != TOO_LONG:
            raise _wrapper_fails(error.message) from None
        raise


def _check_profile(argv: list[str], env: Mapping[str, str], worker: Worker) -> None:
    """Rather nothing than another shell, which would take what is piped in for its commands. Raises CannotStart."""
    culprit = profile.fault_of(argv, env, worker.proof_directory)
    if culprit is not None:
        raise CannotStart(f"{profile.said_of(culprit)} on {worker.host}; {profile.REMEDY}", EXIT_PIGEON)


def wrapper(task: Assignment, worker: Worker) -> list[str]:
    """The words before the command of this session; none before a question to the worker's own pigeon."""
    request = task.request
    if request.verb is not None:
        return []
    return words.filled(
        worker.wrap, words.WRAP, cwd=request.cwd, session_id=request.session_id, pty=request.pty
    )


def _find_wrapper(name: str, environ: Mapping[str, str]) -> str:
    """By the worker's own PATH: the wrapper is the worker's, whatever the client's environment says."""
    try:
        return os.path.abspath(find_program(name, environ.get("PATH") or os.defpath))
    except CannotStart as error:
        raise _wrapper_fails(error.message) from None


def _wrapper_fails(why: str) -> CannotStart:
    """Not the command's fault, and so not its 127."""
    return CannotStart(f"the worker's wrapper (`worker.wrap`) cannot be executed: {why}", EXIT_PIGEON)


def command_environment(
    request: Request, own: Mapping[str, str], marks: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The command's environment, and notes for `-v` on what had to differ from the request.

    `marks`: variables of pigeon's own, by which a command knows its session.
    """
    env = {name: value for name, value in own.items() if not name.startswith("PIGEON_")}
    for name in request.unset_env:
        env.pop(name, None)
    own = dict(env)
    sent = {name: value for name, value in request.env.items() if value is not None}
    env.update(sent)
    notes = [_of_path(place, why) for place, why in _judged_first(request)]
    notes += env_rules.settle(env, sent, own, request.given_env, request.cwd)
    env.update(marks)
    if request.shape is not None:
        term = env.get("TERM")
        if not term:
            env["TERM"] = "xterm-256color"
        elif not has_terminfo(term, env):
            env["TERM"] = fallback_term(term, env)
            notes.append(f"this host has no terminfo entry `{term}`; TERM is `{env['TERM']}`")
    return env, notes


def fallback_term(term: str, env: Mapping[str, str]) -> str:
    """The nearest terminal type that this host knows."""
    candidates = []
    while term in _FALLBACKS and term not in candidates:
        term = _FALLBACKS[term]
        candidates.append(term)
    for candidate in (*candidates, "xterm-256color", "xterm", "vt100"):
        if has_terminfo(candidate, env):
            return candidate
    return "dumb"


def has_terminfo(term: str, env: Mapping[str, str]) -> bool:
    """Whether terminfo(5) finds an entry: a file in a directory named by its first character, or that in hex."""
    if "/" in term or term in ("", ".", ".."):
        return False
    places = [env["TERMINFO"]] if env.get("TERMINFO") else []
    places.append(os.path.join(env.get("HOME", "/"), ".terminfo"))
    places += [place for place in env.get("TERMINFO_DIRS", "").split(":") if place]
    places += _TERMINFO
    return any(
        os.path.exists(os.path.join(place, letter, term))
        for place in places
        for letter in (term[0], f"{ord(term[0]):x}")
    )
