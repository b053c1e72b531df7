"""How one client watches its session."""

from __future__ import annotations


class Options:
    """How this client watches its session."""

    __slots__ = (
        "claim_timeout_s",
        "explains",
        "escape_char",
        "keeps",
        "on_terminal",
        "pty",
        "raw",
        "read_only",
        "reads_stdin",
        "speaks",
        "verbose",
        "window",
        "worker_timeout_s",
    )

    def __init__(self) -> None:
        self.reads_stdin = True
        """Input goes to the command from stdin itself; what is typed is told as it comes."""
        self.pty = False
        """The session has a terminal."""
        self.on_terminal: list[str] | None = None
        """Of stdin, stdout and stderr those that are the user's terminal, which the command has though it has pipes as
        well (`terminal.on_terminal` in FORMAT.md)."""
        self.raw = False
        """The user's terminal is raw while it runs."""
        self.escape_char = "~"
        self.verbose = False
        self.speaks = False
        """Notices are printed: somebody reads stderr."""
        self.explains = True
        """Whoever reads no notices is told all the same for what has long been waited."""
        self.window: tuple[int, int] | None = None
        self.read_only = False
        self.claim_timeout_s = 30.0
        """For so long no worker of the session's route has been seen to live: then the session is withdrawn."""
        self.worker_timeout_s = 60.0
        """For so long the session has been silent: then the user hears of it."""
        self.keeps = False
        """The command goes on when this client is lost (`--keep`)."""
