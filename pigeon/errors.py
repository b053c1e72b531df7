"""The errors that pigeon reports to people.

Each carries what happened, what to do about it and the exit code of the process that ends with it.
`pigeon.cli` is the one place that prints them; nothing below it writes an error to stderr or exits.
"""

EXIT_USAGE = 2
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_CANCELLED = 130
EXIT_PIGEON = 255


class PigeonError(Exception):
    """Something a user can cause or meet: one line that says what and why, and a hint what to do.

    `message` and `hint` are lower case, without a final full stop, with backticks round commands and paths.
    """

    exit_code = EXIT_PIGEON

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def no_process(error: OSError) -> PigeonError:
    """fork(2) has failed: a limit of this user's, or of the machine."""
    return PigeonError(
        f"no process can be started here: {(error.strerror or str(error)).lower()}",
        hint="end some; `ulimit -u` tells how many you may have",
    )


class UsageError(PigeonError):
    """The words on the command line cannot be understood."""

    exit_code = EXIT_USAGE


class ConfigError(PigeonError):
    """A setting is missing, unknown, of the wrong type or out of range."""

    exit_code = EXIT_USAGE


class ShareError(PigeonError):
    """The shared directory is missing, not usable, or did not answer for longer than it may."""


class DamagedSession(PigeonError):
    """A complete record that cannot be what its writer wrote (FORMAT.md, "Reading").

    `path`, `offset` (bytes) and `expected` say where and what.
    """

    def __init__(self, path: str, offset: int, expected: str) -> None:
        super().__init__(
            f"the session is damaged: `{path}` at byte {offset}: expected {expected}",
            hint="nothing after that byte can be trusted; keep the file for a report and run the command again",
        )
        self.path = path
        self.offset = offset
        self.expected = expected


class JournalError(PigeonError):
    """The journal cannot be opened, is not ours, or lies where SQLite would corrupt it."""


class NotFoundError(PigeonError):
    """A session (or an id prefix) that nobody knows, or that names several."""

    exit_code = 1
