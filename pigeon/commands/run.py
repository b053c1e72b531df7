"""`pigeon <cmd…>`: run a command on a worker as if it ran here."""

from __future__ import annotations

import os

from pigeon import commandline, config, procfs, startup, trace
from pigeon.cli_arguments import Invocation
from pigeon.client import frames
from pigeon.client.following import in_two_processes, options_of
from pigeon.client.outcome import Outcome
from pigeon.client.session import context, submit
from pigeon.client.signals import signals
from pigeon.client.tty import is_terminal, open_own, pixel_size, window_size
from pigeon.clock import monotonic
from pigeon.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, PigeonError
from pigeon.printing import say
from pigeon.wire.documents import (
    BESIDE,
    BULK,
    CLIENT_FEATURES,
    KEEP,
    LOCKED,
    ON_TERMINAL,
    STDERR_APART,
    STDERR_IS_STDOUT,
    Request,
    Requester,
)
from pigeon.wire.names import new_session_id


def main(invocation: Invocation) -> int:
    """The command's exit code, or pigeon's own. Raises PigeonError for what is wrong before anything was published."""
    if invocation.driven_by is not None:
        return _driven(invocation, invocation.driven_by)
    if _is_inside():
        return _run_in_place(invocation)
    speaks = (is_terminal(2) and not invocation.quiet) or invocation.verbose
    if invocation.no_input:
        _read_nothing()
    if invocation.detach:
        return _detached(invocation)
    own = _own_terminal(invocation)
    code = in_two_processes(
        lambda mine: _talk(mine, invocation, speaks=speaks, own=own),
        reads_keyboard=is_terminal(0),
        own=own,
        speaks=speaks or not invocation.quiet,  # a guardian has little to say, and that weighs
    )
    if speaks and invocation.words and (code == EXIT_NOT_FOUND or invocation.words[0] in _OF_SHELLS):
        _say_what_was_meant(invocation.words)
    return code


def _own_terminal(invocation: Invocation) -> int | None:
    """The terminal that this process has beside what its stdin and stdout are, unless the user has chosen."""
    if invocation.pty is not None or (is_terminal(0) and is_terminal(1)):
        return None
    return open_own()


_OF_SHELLS = ("fg", "jobs", "kill", "ps")
"""They run over there, and say little about sessions: who types them may have meant a verb."""


def _read_nothing() -> None:
    """`-n`: as `</dev/null`, so what pigeon's own stdin holds stays for whoever else reads it."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _say_what_was_meant(words: list[str]) -> None:
    from pigeon.cli_arguments import VERBS
    from pigeon.guess import verb

    hint = verb(words, VERBS)
    if hint:
        from pigeon.printing import complain

        complain(f"hint: {hint}")


def _driven(invocation: Invocation, fd: int) -> int:
    """The same for a program: it says what to run, and hears what happens. Raises UsageError for a bad descriptor."""
    from pigeon.client import driven
    from pigeon.client.terminal.driver import Driver

    driver = Driver(fd)
    try:
        driven.apply(driver.read_request(), invocation)
        if _is_inside():
            driver.say(frames.line("started", in_place=True))
            invocation.pty = None  # the command has what its program has: a terminal, pipes, or one of each
            return _run_in_place(invocation)
    except PigeonError as error:
        kind = "not_started" if error.exit_code in (EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE) else "usage"
        what = {"message": error.message, "hint": error.hint, "code": error.exit_code}
        driver.say(frames.line("failed", kind=kind, may_have_run=False, **what))
        return error.exit_code

    def talk(mine: frames.FramePipe) -> Outcome:
        driver.close()
        return _talk(mine, invocation, speaks=False)

    return in_two_processes(talk, reads_keyboard=is_terminal(0), speaks=False, driver=driver)


def _is_inside() -> bool:
    if not os.environ.get("PIGEON_SESSION"):
        return False
    from pigeon.inside import is_inside

    return is_inside(os.environ)


def _run_in_place(invocation: Invocation) -> int:
    """Inside a session this already is where it wants to be, and would wait for its own parent's lock."""
    from pigeon.client import in_place

    settings = config.load(invocation.flags, environ=os.environ, cwd=_cwd())
    _warn(settings)
    in_place.check(invocation, settings, os.environ)
    if invocation.exact:
        argv = _exact(invocation, settings)
        os.environ.update(invocation.env or {})
    else:
        argv, _ = commandline.build(
            _words(invocation), shell=settings.client.shell, remote_env={}, local_env=os.environ, repair=False
        )
    for number in (signals.SIGPIPE, signals.SIGXFSZ):
        signals.signal(number, signals.SIG_DFL)  # Python ignores them, and the command would inherit that
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        found = isinstance(error, FileNotFoundError)
        failure = PigeonError(f"`{argv[0]}` cannot be executed: {error.strerror}")
        failure.exit_code = EXIT_NOT_FOUND if found else EXIT_NOT_EXECUTABLE
        raise failure from error


def _warn(settings: config.Config) -> None:
    """Say what of a file does not count, before the terminal is made raw."""
    for warning in settings.warnings:
        from pigeon.printing import complain

        complain(warning)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise PigeonError(
            f"the current directory cannot be used: {error.strerror}", hint="`cd` to one that exists"
        ) from error


def _words(invocation: Invocation) -> list[str]:
    return invocation.words or ["exec bash -l"]


def _exact(invocation: Invocation, settings: config.Config) -> list[str]:
    return [*settings.client.shell, *invocation.words] if invocation.shell else invocation.words


def _talk(mine: frames.FramePipe, invocation: Invocation, *, speaks: bool, own: int | None = None) -> Outcome:
    """In the process for the share: everything that can touch it happens here, reading settings included."""
    trace.mark("client: pump started")
    settings, request, notes = prepare(invocation, own)
    trace.mark("client: request prepared")
    namespace = settings.open_namespace()
    submission = submit.publish(namespace, request, _end_of_input(request))
    trace.mark("client: published")
    mine.tell("published", session=request.session_id)
    # Only now: a worker can be at it meanwhile.
    startup.preload(startup.SESSION)
    from pigeon.client.session.conversation import Conversation
    from pigeon.client.session.guardian_front import GuardianFront

    options = options_of(request, settings, speaks=speaks, verbose=invocation.verbose)
    options.explains = not invocation.quiet
    front = GuardianFront(mine, options)
    for note in notes:
        front.verbose(note)
    front.verbose(f"session {request.session_id}: published in namespace `{namespace.name}`")
    began = monotonic()
    outcome = Conversation(submission, options, front).run()
    took_s, after_s = monotonic() - began, settings.client.notify_after
    if after_s and took_s >= after_s:
        from pigeon.client.notification import ring

        ring(invocation.words, took_s, outcome.code)
    return outcome


def _end_of_input(request: Request) -> bytes:
    """What stands in the session's input from the beginning, where it is known that there will be none."""
    if request.pty or not submit.is_over(0):
        return b""
    startup.preload(["wire.input_end"])
    from pigeon.wire.input_end import stdin_eof_line

    return stdin_eof_line(0)


def prepare(invocation: Invocation, tty: int | None = None) -> tuple[config.Config, Request, list[str]]:
    """The settings, the request, and what there is to say about them under `-v`. `tty`: of `_own_terminal`.

    Raises PigeonError.
    """
    cwd = _cwd()
    own = _own_environment()
    settings = config.load(invocation.flags, environ=own, cwd=cwd)
    _warn(settings)
    settings.require_cache()
    notes = list(settings.notes)
    repaired: list[str] = []
    if invocation.exact:
        argv = _exact(invocation, settings)
    else:
        argv, repaired = commandline.build(
            _words(invocation),
            shell=settings.client.shell,
            remote_env=settings.remote_env,
            local_env=own,
            repair=settings.client.repair,
        )
    request = Request(new_session_id(), argv, cwd)
    if settings.client.path == "auto" and settings.client.shell[-1] == "-lc" and not invocation.exact:
        request.path_first = commandline.environment_path(own)
    given = own if invocation.env is None else invocation.env
    # Only what a program says of its own accord travels whatever `env_exclude` says: most hand a copy of their own on.
    said = {} if given is own else {name: value for name, value in given.items() if own.get(name) != value}
    request.env = dict(
        commandline.forwarded_env(
            {name: value for name, value in given.items() if name not in said},
            exclude=settings.client.env_exclude,
            remote_env=settings.remote_env,
            cwd=cwd,
        )
    )
    request.env.update(said)
    request.given_env = [*settings.remote_env, *said]
    if invocation.verbose:
        behind = sorted(name for name in given if name not in request.env)
        notes.append(
            f"{', '.join(behind) or 'nothing of the environment'} stays here: `pigeon config show --env`"
        )
    context.add(request)
    request.requester = Requester(submit.host_name(), os.getpid(), settings.user)
    if not invocation.detach:
        request.job = submit.own_job(os.getpid(), os.getppid())
    request.stdin_isatty, request.stdout_isatty = is_terminal(0), is_terminal(1)
    # One that leaves at once has its terminal to itself, whatever it was started with.
    by_default = invocation.detach or (request.stdin_isatty and request.stdout_isatty)
    request.pty = by_default if invocation.pty is None else invocation.pty
    request.stderr = _shape_of_stderr(request.pty)
    request.size = window_size()
    if tty is not None:
        request.on_terminal = [name for fd, name in enumerate(ON_TERMINAL) if is_terminal(fd)]
    if request.pty or tty is not None:
        request.pixels = pixel_size()
        if request.stdin_isatty or tty is not None:
            from pigeon.client.session.tty_settings import tty_settings

            request.modes = tty_settings(tty or 0)
    request.route = settings.route
    request.lock = BESIDE if invocation.no_lock else LOCKED
    request.on_disconnect = KEEP if invocation.keep or invocation.detach else settings.client.on_disconnect
    request.features = (BULK,) if invocation.detach else CLIENT_FEATURES
    return settings, request, notes + repaired


def _shape_of_stderr(pty: bool) -> str:
    """What the command's stderr is to be beside its stdout: what it is here."""
    if pty:
        return "" if is_terminal(2) or not is_terminal(1) else STDERR_APART
    out, error = os.fstat(1), os.fstat(2)
    return STDERR_IS_STDOUT if (out.st_dev, out.st_ino) == (error.st_dev, error.st_ino) else ""


def _own_environment() -> dict[str, str]:
    """The user's: without the LC_CTYPE that Python gives itself where the locale is C (PEP 538)."""
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8"):
        try:
            if b"\0LC_CTYPE=" not in b"\0" + procfs.content("/proc/self/environ"):
                del environ["LC_CTYPE"]
        except OSError:
            pass  # not known: better one too many
    return environ


def _detached(invocation: Invocation) -> int:
    """Publish, print the id, and leave the session to run without a client."""
    settings, request, _ = prepare(invocation)
    namespace = settings.open_namespace()
    from pigeon.wire.input_end import stdin_eof_line

    submit.publish(namespace, request, b"" if request.pty else stdin_eof_line(0))
    try:
        say(request.session_id, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where Python's own last attempt goes
        raise PigeonError(
            f"the session runs, but its id cannot be printed: {error.strerror}",
            hint=f"it is {request.session_id}: `pigeon stop {request.session_id}` ends it",
        ) from error
    return 0
