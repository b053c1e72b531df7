"""Publishing a session, and giving it up (FORMAT.md, "Publication" and "Withdrawal")."""

from __future__ import annotations

import os
import select
import stat

from pigeon import __version__, procfs
from pigeon.errors import EXIT_CANCELLED, ShareError
from pigeon.wire import files, share, states
from pigeon.wire.documents import Job, Request
from pigeon.wire.names import Namespace, SessionFiles, new_token
from pigeon.wire.states import Status
from pigeon.wire.text import HERE_IS_UTF_8, from_here


def host_name() -> str:
    """This host's name, for people."""
    return os.uname().nodename


def _unusable(cache: str, error: OSError) -> ShareError:
    return ShareError(
        f"cannot write to the shared directory `{cache}`: {(error.strerror or str(error)).lower()}",
        hint="`pigeon doctor` tells what is wrong with it",
    )


def own_job(*processes: int) -> Job:
    """Where this client, whose processes these are, stands on this host."""
    started = [(pid, start) for pid in processes if (start := procfs.start_ticks(pid)) is not None]
    return Job(procfs.boot_id(), started, (_pipe(0), _pipe(1), _pipe(2)))


def _pipe(fd: int) -> str:
    found = os.fstat(fd)
    return f"{found.st_dev}:{found.st_ino}" if stat.S_ISFIFO(found.st_mode) else ""


def is_over(fd: int) -> bool:
    """Whether nothing can be read from it, now or later: /dev/null, or a pipe that is empty and has no writer."""
    found = os.fstat(fd)
    if not stat.S_ISFIFO(found.st_mode):
        return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(0) == [(fd, select.POLLHUP)]


class Submission:
    """A session as one client has submitted it, or has found it."""

    __slots__ = ("namespace", "session", "request", "input_bytes", "_token")

    def __init__(
        self, namespace: Namespace, session: SessionFiles, request: Request, input_bytes: int = 0
    ) -> None:
        self.namespace = namespace
        self.session = session
        self.request = request
        self.input_bytes = input_bytes
        """So long is stdin.jsonl as it was published; its end is the input's, then."""
        self._token = ""

    def withdraw(self, reason: str, exit_code: int = EXIT_CANCELLED) -> bool:
        """See `withdraw`. Raises OSError: it cannot be said; a repeated call knows its own claim."""
        self._token = self._token or new_token()
        return withdraw(self.session, self.request.created_at, reason, exit_code, token=self._token)


def publish(namespace: Namespace, request: Request, end_of_input: bytes = b"") -> Submission:
    """Make the session's files; with status.json, which comes last, workers can see it.

    `end_of_input`: the record of it (`stdin_eof_line`), where there is no input.

    Raises:
        ShareError: the shared directory is missing, or something could not be written; what was begun is removed again.
    """
    session = namespace.session(request.session_id)
    if not HERE_IS_UTF_8:
        request.translate(from_here)
    try:
        _make_directory(namespace, session)
        files.make(session.stream)
        files.make(session.stdin(), end_of_input)
        files.make(session.control())
        files.replace(session.request, request.encode(__version__))
        status = Status(request.session_id, states.PENDING, created_at=request.created_at)
        files.replace(session.status, status.encode())
    except OSError as error:
        _remove(session)  # nobody can have claimed it
        raise _unusable(namespace.cache, error) from error
    return Submission(namespace, session, request, len(end_of_input))


def _remove(session: SessionFiles) -> None:
    from pigeon.wire import directories

    try:
        directories.remove_session(session)
    except OSError:
        pass  # a worker removes what was never published


def _make_directory(namespace: Namespace, session: SessionFiles) -> None:
    try:
        files.make_directory(session.directory)
    except FileNotFoundError:
        share.make(namespace)  # neither a worker nor a client has made it yet
        files.make_directory(session.directory)


def withdraw(
    session: SessionFiles, created_at: str, reason: str, exit_code: int = EXIT_CANCELLED, *, token: str = ""
) -> bool:
    """Give up a session that nobody has claimed. False if somebody has: then it runs, and must be treated so.

    `exit_code`: that of the client, if it does not leave by its user's will. `token`: of the claim, the same in each
    attempt.

    Raises:
        OSError: it cannot be said; call again with the same token.
    """
    from pigeon.wire.claim import try_claim, withdrawal
    from pigeon.wire.publish import OwnStatus, blank_quietly, forget_input

    token = token or new_token()
    if not try_claim(session, token, withdrawal(host_name(), os.getpid(), token)):
        return False
    status = Status(
        session.session_id,
        states.CANCELLED,
        created_at=created_at,
        exit_code=exit_code,
        ended_by=states.BY_CLIENT,
        error=reason,
    )
    # False: it took so long that somebody has ended it for us, in the same way.
    OwnStatus(session, token).publish(status.encode())
    blank_quietly(session)
    forget_input(session)
    return True
