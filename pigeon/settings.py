"""The one table of settings: every key with its type, default, unit, variable, flag and help.

`config.py` reads by it; the README's table, `config show` and `config init` are made from it. Plain and light: it is
imported by every command.
"""

from __future__ import annotations

TEXT = "text"
PATH = "path"
NAME = "directory name"
SWITCH = "true or false"
COUNT = "whole number"
SECONDS = "seconds"
BYTES = "bytes"
WORDS = "list of texts"
CHOICE = "choice"
CHARACTER = "one character or `none`"

DEFAULT_ENV_EXCLUDE = (
    "HOSTNAME",
    "HOST",
    "DISPLAY",  # a display, an agent, a bus or a tty of the client's host answers nobody over there
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_*",
    "DBUS_*",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_*",
    "XDG_SEAT",
    "XDG_VTNR",
    "GPG_AGENT_INFO",
    "GPG_TTY",
    "TMUX",  # a program that finds these talks to a multiplexer that is not there
    "TMUX_PANE",
    "STY",
    "WINDOW",
    "SLURM_*",  # an allocation of the client's host
    "CUDA_VISIBLE_DEVICES",
    "LINES",  # the terminal's size travels by itself, and changes
    "COLUMNS",
    "PIGEON_*",
    "OLDPWD",
    "SHLVL",
    "_",
)
"""Names that only make sense on the client's host."""


class Setting:
    """One key. `low` is the smallest value allowed; `table` is None for a key at the top level."""

    __slots__ = ("key", "kind", "default", "help", "variable", "flag", "low", "choices")

    def __init__(
        self,
        key: str,
        kind: str,
        default: object,
        help: str,
        *,
        variable: str = "",
        flag: str = "",
        low: float = 0,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.key = key
        self.kind = kind
        self.default = default
        self.help = help
        self.variable = variable
        self.flag = flag
        self.low = low
        self.choices = choices

    @property
    def table(self) -> str:
        """The TOML table that holds it, "" at the top level."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The key within its table."""
        return self.key.rpartition(".")[2]


TABLE: tuple[Setting, ...] = (
    Setting(
        "cache",
        PATH,
        None,
        "the shared directory; required from somewhere",
        variable="PIGEON_CACHE",
        flag="--cache",
    ),
    Setting(
        "namespace",
        NAME,
        None,
        "clients and workers of one namespace see each other; default: `user`",
        variable="PIGEON_NAMESPACE",
        flag="--namespace",
    ),
    Setting(
        "user",
        TEXT,
        None,
        "whom sessions name as requester; default: `$USER`",
        variable="PIGEON_USER",
        flag="--user",
    ),
    Setting(
        "route",
        TEXT,
        None,
        "a label: sessions go only to workers with the same one",
        variable="PIGEON_ROUTE",
        flag="--route",
    ),
    Setting("worker.max_jobs", COUNT, 4, "commands that run at a time", flag="--max-jobs", low=1),
    Setting(
        "worker.poll_interval",
        SECONDS,
        0.2,
        "longest wait between two looks for new sessions",
        flag="--poll-interval",
        low=0.001,
    ),
    Setting(
        "worker.debug",
        SWITCH,
        False,
        "say what happens, with previews of the bytes that move",
        flag="--debug",
    ),
    Setting(
        "worker.journal",
        PATH,
        None,
        "the journal's file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp`",
        variable="PIGEON_JOURNAL",
        flag="--journal",
    ),
    Setting(
        "worker.lock",
        CHOICE,
        "auto",
        "how a directory is locked: `auto` decides by the filesystem",
        flag="--lock",
        choices=("auto", "flock", "strict"),
    ),
    Setting("worker.route", TEXT, None, "the worker's route; default: the top-level `route`"),
    Setting("worker.client_timeout", SECONDS, 180.0, "silence after which a client counts as lost", low=1),
    Setting(
        "worker.host_timeout",
        SECONDS,
        600.0,
        "silence after which another worker's sessions are ended",
        low=1,
    ),
    Setting("worker.max_stream", BYTES, 16 * 1024**3, "what one session may write to the share", low=1024**2),
    Setting("worker.retention", SECONDS, 86400.0, "finished sessions stay on the share for so long", low=0),
    Setting(
        "worker.terminal_retention",
        SECONDS,
        3600.0,
        "the same for those that had a terminal (typed passwords)",
        low=0,
    ),
    Setting(
        "worker.journal_retention",
        SECONDS,
        90 * 86400.0,
        "finished sessions stay in the journal for so long",
        low=0,
    ),
    Setting("client.shell", WORDS, ["bash", "-lc"], "the words before the command's text"),
    Setting(
        "client.env_exclude",
        WORDS,
        list(DEFAULT_ENV_EXCLUDE),
        "patterns of variables that stay behind (`NAME`, `PREFIX*`, …)",
    ),
    Setting("client.repair", SWITCH, True, "put right words that the local shell expanded too early"),
    Setting(
        "client.claim_timeout", SECONDS, 30.0, "give up without a live worker", flag="--claim-timeout", low=0
    ),
    Setting(
        "client.worker_timeout",
        SECONDS,
        60.0,
        "tell when a running session is silent for so long",
        flag="--worker-timeout",
        low=1,
    ),
    Setting(
        "client.on_disconnect",
        CHOICE,
        "hangup",
        "what becomes of a command whose client is lost; `keep` is `--keep`",
        choices=("hangup", "keep"),
    ),
    Setting(
        "client.escape_char",
        CHARACTER,
        "~",
        "escapes at the start of a line (`~.` hangs up)",
        flag="--escape-char",
    ),
    Setting("wire.fsync", SWITCH, False, "make every write to the share durable, at the price of speed"),
)

REMOTE_ENV = "remote_env"
"""The table of variables for the commands; they override the client's environment."""

OLD_TABLES = ("interactive", "shell", "server", "paths")
"""Tables that older versions of the program wrote into the same file: passed over, with a note."""

BY_KEY = {setting.key: setting for setting in TABLE}


def shown(value: object) -> str:
    """A value as it would stand in the TOML file; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if isinstance(value, str):
        from json import dumps

        return dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
