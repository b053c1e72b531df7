"""The session that has the directory for which this one waits, where both have their clients on this host.

Two things can be known here by proof, and nowhere else: that its client is dead, and that it is of the same job, so
that each waits for the other. Proof is what proc(5) shows now; what it does not show is not guessed. Imported once a
session has waited for a second.
"""

from __future__ import annotations

import os
import stat
import sys

from pigeon import procfs
from pigeon.wire import attachment, files
from pigeon.wire.documents import MAX_REQUEST_BYTES, BadDocument
from pigeon.wire.names import attachment_number
from pigeon.wire.records import DETACHED, HANGUP, client_line, quoted
from pigeon.wire.request_reading import parse_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.front import Front
    from pigeon.client.session.upstream import Upstream
    from pigeon.wire.documents import Job, Request
    from pigeon.wire.names import Namespace, SessionFiles

HUNGRY_LOOKS = 3
"""Seconds apart. What is just being fed is found empty now and then, and is to be waited for like any other."""

CONTROL_BYTES = 4 * 1024 * 1024
"""A longer control file is not searched: then nothing is said of its client."""

FIONREAD = 0x541B
"""ioctl_list(2); the module `termios`, which has it, is not loaded by every client."""

WAITING_CALLS = ("do_wait", "kernel_waitid", "do_wait_intr")
"""Where a process that waits for its children sleeps (proc_pid_wchan(5))."""


class Neighbour:
    """What is known of the session `session_id`, once it has been looked at."""

    def __init__(self, namespace: Namespace, session_id: str) -> None:
        self.session_id = session_id
        self._is_settled = False
        """What could be done has been done."""
        self._hungry = 0
        """At so many looks in a row its input was found to be an ancestor's to write, and empty."""
        self._session = namespace.session(session_id)
        self._request = _request(self._session)

    def look(self, own: Job | None, upstream: Upstream, front: Front) -> None:
        """Hang it up if its client is dead, or ask to run beside it if it is of the same job; once, and say so.

        `own`: where this client stands; None if the request does not tell.
        """
        if self._is_settled:
            return
        if self._is_abandoned():
            try:
                self._hang_up()
            except OSError:
                return  # at the next look
            text = f"the client of session {self.session_id} has been killed: it is hung up"
            front.notice(text, about="waiting")
        elif own is not None and self._is_of_job(own):
            upstream.ask_for_company(self.session_id)
            self._is_settled = True

    def _is_abandoned(self) -> bool:
        """Whether its client, which was to end it, has been killed with both of its processes, and nobody took over."""
        request = self._request
        if request is None or request.job is None or request.keeps or not request.sends_heartbeats:
            return False
        if not procfs.are_gone(request.job.boot, request.job.processes):
            return False
        try:
            names = files.list_names(self._session.directory)
            control = files.read(self._session.control(), CONTROL_BYTES)
        except OSError:
            return False
        return not any(map(attachment_number, names)) and quoted(DETACHED) not in control

    def _hang_up(self) -> None:
        """As `pigeon stop` does. Raises OSError."""
        attachment.create(self._session, visitor_records=client_line(HANGUP))
        self._is_settled = True

    def _is_of_job(self, own: Job) -> bool:
        """Whether it and the client that stands at `own` wait for each other, by what no request can tell.

        So it is where another program stands between the two in a pipeline, and where an ancestor of this client, which
        waits for it, has one of the other's pipes (`git push`, whose ssh is the one, while a hook of it is the other).
        So it is as well where such an ancestor has to write what the other waits for: a coprocess, an editor's server.
        """
        other = self._request.job if self._request is not None else None
        if other is None or other.boot != own.boot or not any(other.pipes):
            return False
        if _is_connected(own, other) or _is_held_by_ancestor(other):
            return True
        self._hungry = self._hungry + 1 if _is_fed_by_ancestor(other) else 0
        return self._hungry >= HUNGRY_LOOKS


def _request(session: SessionFiles) -> Request | None:
    try:
        return parse_request(files.read(session.request, MAX_REQUEST_BYTES), session.session_id)
    except (OSError, BadDocument):
        return None


def _is_connected(own: Job, other: Job) -> bool:
    """Whether a chain of programs leads from one's output to the other's input."""
    links = [_ends(pid) for pid in _processes_of_session()]
    return _leads(own.pipes[1:], other.pipes[0], links) or _leads(other.pipes[1:], own.pipes[0], links)


def _leads(starts: tuple[str, ...], goal: str, links: list[tuple[str, tuple[str, str]]]) -> bool:
    reached = {pipe for pipe in starts if pipe}
    while True:
        further = {pipe for source, sinks in links if source in reached for pipe in sinks if pipe} - reached
        if not further:
            return bool(goal) and goal in reached
        reached |= further


def _ends(pid: int) -> tuple[str, tuple[str, str]]:
    return _pipe_at(f"/proc/{pid}/fd/0"), (_pipe_at(f"/proc/{pid}/fd/1"), _pipe_at(f"/proc/{pid}/fd/2"))


def _processes_of_session() -> list[int]:
    """Those in this process's session (setsid(2)), which are what a shell has started, and itself."""
    own = os.getsid(0)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = procfs.stat_fields(int(name))
            if fields is not None and int(fields[3]) == own:
                found.append(int(name))
    return found


def _is_held_by_ancestor(other: Job) -> bool:
    pipes = {pipe for pipe in other.pipes if pipe}
    pid = procfs.parent_of(os.getpid())
    while pid is not None and pid > 1:
        if _waits_for_a_child(pid) and pipes & _pipes_of(pid):
            return True
        pid = procfs.parent_of(pid)
    return False


def _is_fed_by_ancestor(other: Job) -> bool:
    """Whether the other's input is a pipe with nothing in it, and an ancestor of this client has its writing end."""
    pid = procfs.parent_of(os.getpid())
    while other.pipes[0] and pid is not None and pid > 1:
        for fd in _descriptors_of(pid):
            if _pipe_at(fd) == other.pipes[0] and _is_for_writing(fd):
                return _is_empty(fd)
        pid = procfs.parent_of(pid)
    return False


def _is_for_writing(path: str) -> bool:
    """By the mode of the link (proc_pid_fd(5))."""
    try:
        return bool(os.lstat(path).st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _is_empty(path: str) -> bool:
    """Of a pipe that somebody else reads. It is not read here."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not int.from_bytes(fcntl.ioctl(fd, FIONREAD, bytes(4)), sys.byteorder)
    except OSError:
        return False
    finally:
        os.close(fd)


def _waits_for_a_child(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/wchan", "rb") as file:
            return file.read().decode("ascii", "replace").strip("\0\n") in WAITING_CALLS
    except OSError:
        return False


def _descriptors_of(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []


def _pipes_of(pid: int) -> set[str]:
    return {_pipe_at(path) for path in _descriptors_of(pid)} - {""}


def _pipe_at(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}" if stat.S_ISFIFO(found.st_mode) else ""
