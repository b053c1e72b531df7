"""What there is to raise when pigeon failed, or could not start the command."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping
from typing import Any


class SessionFailed(subprocess.SubprocessError):
    """Pigeon failed, and not the command: there is no return code to judge.

    `kind` is that of pigeon/docs/python.md, `session` the session's id (None before it had one), `hint` what to do
    (or None). `may_have_run` is False only if the command was surely never started: then it is safe to try again.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        session: str | None = None,
        hint: str | None = None,
        may_have_run: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.session = session
        self.hint = hint
        self.may_have_run = may_have_run

    def __str__(self) -> str:
        text = str(self.args[0])
        return f"{text} (hint: {self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args[0], dict(self.__dict__))


class NoWorker(SessionFailed):
    """No worker took the session within `claim_timeout`; it is withdrawn, and the command has not run."""


class WorkerLost(SessionFailed):
    """The session's worker has died, or was silent for too long. The command may have run, or may run still."""


class HungUp(SessionFailed):
    """The worker has ended the command: it was stopped, or `pigeon stop` was used."""


class Withdrawn(SessionFailed):
    """Somebody else has given the session up before its command was started."""


_CLASSES: dict[str, type[SessionFailed]] = {
    "no_worker": NoWorker,
    "worker_lost": WorkerLost,
    "hung_up": HungUp,
    "withdrawn": Withdrawn,
}
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def _made_again(kind: type[SessionFailed], message: str, state: Mapping[str, Any]) -> SessionFailed:
    error = kind(message)
    error.__dict__.update(state)
    return error


def failure_of(event: Mapping[str, Any], session: str | None, program: str) -> Exception:
    """The exception for a `failed` event. As from subprocess, a program that is not there is a FileNotFoundError, one
    that may not be executed a PermissionError, and a directory that the worker does not have a NotADirectoryError."""
    message = str(event.get("message", "pigeon has failed"))
    if event.get("kind") == "not_started":
        code = event.get("code")
        if code == _NOT_FOUND:
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        if code == _NOT_EXECUTABLE and "too long" in message:
            return OSError(errno.E2BIG, os.strerror(errno.E2BIG), program)
        if code == _NOT_EXECUTABLE:
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)
        if message.startswith("the directory `"):
            return NotADirectoryError(errno.ENOTDIR, message)
    kind = str(event.get("kind", ""))
    hint = event.get("hint")
    return _CLASSES.get(kind, SessionFailed)(
        message,
        kind=kind,
        session=session,
        hint=str(hint) if hint else None,
        may_have_run=event.get("may_have_run") is not False,
    )
