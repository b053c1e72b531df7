"""How a client's session ends for its user."""

from __future__ import annotations

from pigeon.errors import EXIT_USAGE, PigeonError


class Outcome(Exception):
    """An exit code, and what to say once the terminal is restored.

    `kind` says what failed where it was not the command that ended (pigeon/docs/python.md), `ran`
    that the command may have been started, `signal` which signal ended the command, or this client in its place.
    """

    def __init__(
        self,
        code: int,
        message: str = "",
        *,
        abnormal: bool = False,
        broken_pipe: bool = False,
        kind: str = "",
        ran: bool = True,
        signal: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.abnormal = abnormal
        self.broken_pipe = broken_pipe
        self.kind = kind
        self.ran = ran
        self.signal = signal
        self.hung_up: str | None = None
        """Why the worker has ended the command."""


def of_error(error: PigeonError) -> Outcome:
    """What a foreseen error comes to."""
    hint = f"\npigeon: hint: {error.hint}" if error.hint else ""
    kind = "usage" if error.exit_code == EXIT_USAGE else "share"
    return Outcome(error.exit_code, f"pigeon: {error.message}{hint}", abnormal=True, kind=kind)
