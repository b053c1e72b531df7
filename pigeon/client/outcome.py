"""How a client watches its session, and how that ends."""

from __future__ import annotations

from pigeon.client import frames
from pigeon.errors import EXIT_PIGEON, EXIT_USAGE, PigeonError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Options:
    """How this client watches its session."""

    __slots__ = (
        "escape_char",
        "keeps",
        "keyboard",
        "pty",
        "raw",
        "read_only",
        "reads_stdin",
        "speaks",
        "verbose",
        "window",
    )

    def __init__(self) -> None:
        self.reads_stdin = True
        """Input goes to the command: from the keyboard, or from stdin itself."""
        self.keyboard = False
        """stdin is a terminal, which the guardian reads."""
        self.pty = False
        """The session has a terminal."""
        self.raw = False
        """The user's terminal is raw while it runs."""
        self.escape_char = "~"
        self.verbose = False
        self.speaks = False
        """Notices are printed: somebody reads stderr."""
        self.window: tuple[int, int] | None = None
        self.read_only = False
        self.keeps = False
        """The command goes on when this client is lost (`--keep`)."""


class Outcome(Exception):
    """The end of the pump: an exit code, and what to say once the terminal is restored.

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


def printable(text: str) -> str:
    """`text` for a terminal. It may name others' files and commands, whose control characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def report(guardian: frames.FramePipe, session: Callable[[], Outcome]) -> int:
    """Run `session` and hand its outcome, or its error, to the guardian. Returns the exit code."""
    try:
        outcome = session()
    except PigeonError as error:
        outcome = of_error(error)
        outcome.ran = False  # nothing has been published
    except Exception as error:
        from pigeon.crash import report as crash_report

        outcome = Outcome(EXIT_PIGEON, crash_report(error), abnormal=True, kind="client")
    if guardian.is_driven:
        from pigeon.client.driven import tell_end

        return tell_end(guardian, outcome)
    if outcome.message:
        guardian.send(frames.MESSAGE, f"{printable(outcome.message.rstrip())}\n".encode())
    if outcome.abnormal:
        guardian.send(frames.ABNORMAL)
    if outcome.broken_pipe:
        guardian.send(frames.BROKEN_PIPE)
    return outcome.code
