"""The one table of settings: every key with its type, default, unit, variable, flag and help.

`config.py` reads and checks by it; flags, choices and help of the client and of each verb, the README's table, `config
show` and `config init` are made from it. Light: it is imported by every command.
"""

from __future__ import annotations

import os

TEXT = "text"
PATH = "path"
NAME = "directory name"
SWITCH = "true or false"
COUNT = "whole number"
SECONDS = "seconds"
BYTES = "bytes"
WORDS = "list of texts"
LIST = "list of texts, or none"
CHOICE = "choice"
CHARACTER = "one character or `none`"

STAYS_BEHIND: tuple[tuple[str, str], ...] = (
    ("the host's name", "HOSTNAME HOST"),
    # A display, an agent, a bus or a tty of the client's host answers nobody over there.
    ("a display", "DISPLAY WAYLAND_* XAUTHORITY ICEAUTHORITY SESSION_MANAGER DESKTOP_STARTUP_ID XDG_ACTIVATION_TOKEN"
     " WINDOWID PULSE_SERVER PIPEWIRE_*"),
    ("an agent", "SSH_* GPG_AGENT_INFO GPG_TTY GNOME_KEYRING_*"),
    ("a bus or a login session", "DBUS_* AT_SPI_BUS_ADDRESS XDG_RUNTIME_DIR XDG_SESSION_* XDG_SEAT XDG_VTNR"),
    # A program that finds these talks to a multiplexer, a terminal or an editor that is not there.
    ("a terminal multiplexer", "TMUX TMUX_PANE STY WINDOW ZELLIJ ZELLIJ_*"),
    ("a terminal emulator", "KITTY_LISTEN_ON KITTY_PID KITTY_PUBLIC_KEY KITTY_INSTALLATION_DIR WEZTERM_UNIX_SOCKET"
     " ALACRITTY_SOCKET GNOME_TERMINAL_* KONSOLE_DBUS_*"),
    ("an editor, or what it asks by", "VSCODE_* NVIM NVIM_LISTEN_ADDRESS EMACS_SOCKET_NAME EMACS_SERVER_FILE"
     " GIT_ASKPASS SUDO_ASKPASS ELECTRON_RUN_AS_NODE"),
    ("a job of a scheduler", "SLURM_* SLURMD_* PBS_* LSB_* SGE_TASK_* SGE_O_* PE_HOSTFILE OAR_* COBALT_* FLUX_*"
     " _CONDOR_* PMI_* PMI2_* PMIX_* PALS_* ALPS_APP_* OMPI_COMM_WORLD_* OMPI_UNIVERSE_SIZE"
     " MPI_LOCALRANKID MPI_LOCALNRANKS"),
    ("devices", "CUDA_VISIBLE_DEVICES CUDA_MPS_* NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES"
     " GPU_DEVICE_ORDINAL ZE_AFFINITY_MASK"),
    ("a service of systemd", "INVOCATION_ID NOTIFY_SOCKET LISTEN_PID LISTEN_FDS LISTEN_FDNAMES JOURNAL_STREAM"
     " SYSTEMD_EXEC_PID MANAGERPID WATCHDOG_* CREDENTIALS_DIRECTORY"),
    ("pigeon itself", "PIGEON_*"),
    ("this shell", "OLDPWD SHLVL _"),
)  # fmt: skip
"""(what they name, patterns of variables) that only make sense on the client's host."""

DEFAULT_ENV_EXCLUDE = tuple(pattern for _, patterns in STAYS_BEHIND for pattern in patterns.split())
"""The patterns alone. Exported shell functions are not among them: they go along. Values that name files are looked at
on the worker's host (`env_rules.py`)."""


_DAY = 86_400.0
_YEAR = 366 * _DAY


class Setting:
    """One key. `low` and `high` bound a number (a time: a year); `table` is the TOML table that holds it,
    "" at the top level, `name` the key within it.

    `flag` overrides it on the command line, and so does `letter`; `metavar` is what their value is called there.
    `example`: a value as it may stand in the file, for a key whose default does not show one.
    `harmless`: it chooses no program, environment, journal or network, nor what leaves this host; so it counts from a
    file in whatever directory one happens to be in. All others do only once the user has allowed that file
    (`config_trust.py`).
    """

    __slots__ = (
        "key",
        "table",
        "name",
        "kind",
        "default",
        "help",
        "variable",
        "flag",
        "letter",
        "metavar",
        "low",
        "high",
        "choices",
        "example",
        "harmless",
    )

    def __init__(  # noqa: PLR0913  (a row of the table has as many columns as it needs)
        self,
        key: str,
        kind: str,
        default: object,
        help: str,
        *,
        variable: str = "",
        flag: str = "",
        letter: str = "",
        metavar: str = "",
        low: float = 0,
        high: float = _YEAR,
        choices: tuple[str, ...] = (),
        example: str = "",
        harmless: bool = False,
    ) -> None:
        self.key = key
        self.table, _, self.name = key.rpartition(".")
        self.kind = kind
        self.default = default
        self.help = help
        self.variable = variable
        self.flag = flag
        self.letter = letter
        self.metavar = metavar
        self.low = low
        self.high = high
        self.choices = choices
        self.example = example
        self.harmless = harmless

    @property
    def told(self) -> str:
        """Its help for a list of options: what it is, then default or variable in parentheses."""
        origin = self.variable or ("" if self.default in (None, False) else _with_unit(self))
        return f"{self.help} ({origin})" if origin else self.help


TABLE: tuple[Setting, ...] = (
    Setting("cache", PATH, None, "the shared directory; required from somewhere",
            variable="PIGEON_CACHE", flag="--cache", metavar="DIR", example='"/shared/pigeon"', harmless=True),
    Setting("namespace", NAME, None,
            "clients and workers of one namespace see each other; default: the value of `user`",
            variable="PIGEON_NAMESPACE", flag="--namespace", metavar="NAME", example='"lab"', harmless=True),
    Setting("user", TEXT, None, "whom sessions name as requester; default: `$USER`, `$LOGNAME`, your login name",
            variable="PIGEON_USER", flag="--user", metavar="NAME", example='"me"', harmless=True),
    Setting("route", TEXT, None, "a label: sessions go only to workers with the same one",
            variable="PIGEON_ROUTE", flag="--route", metavar="NAME", example='"internet"', harmless=True),
    Setting("share_trust", CHOICE, "user",
            "who else may write the shared directory and those above it: nobody (`user`), or whoever is in a group of "
            "yours and so may run commands as you (`group`)",
            variable="PIGEON_SHARE_TRUST", choices=("user", "group")),
    Setting("worker.max_jobs", COUNT, 4, "commands that run at a time",
            flag="--max-jobs", metavar="N", low=1, high=4096, harmless=True),
    Setting("worker.poll_interval", SECONDS, 0.2, "longest wait between two looks for new sessions",
            flag="--poll-interval", metavar="TIME", low=0.001, high=60, harmless=True),
    Setting("worker.idle_exit", SECONDS, None, "end after so long without a session; default: never",
            flag="--idle-exit", metavar="TIME", low=1, example='"10m"', harmless=True),
    Setting("worker.debug", SWITCH, False, "say what happens, with previews of the bytes that move", flag="--debug"),
    Setting("worker.log", CHOICE, "auto", "a line at each start and end of a command, without its bytes: `commands`;"
            " `ids` leaves its text out; `auto`: `commands` where stderr is no terminal",
            flag="--log", choices=("auto", "commands", "ids", "none"), harmless=True),
    Setting("worker.journal", PATH, None,
            "the journal's file, on a local disk; default: `~/.pigeon.db`, or in `/var/tmp`",
            variable="PIGEON_JOURNAL", flag="--journal", metavar="PATH", example='"~/.pigeon.db"'),
    Setting("worker.lock", CHOICE, "auto", "how a directory is locked: `auto` decides by the filesystem",
            flag="--lock", choices=("auto", "flock", "strict")),
    Setting("worker.route", TEXT, None, "the worker's route; default: the top-level `route`",
            variable="PIGEON_ROUTE", flag="--route", metavar="NAME", example='"internet"', harmless=True),
    Setting("worker.wrap", LIST, [], "words before every command, on the worker's host (`nice`, `bwrap`, …); "
            "`{cwd}`, `{session}` and `{tty:WORD}` are filled in"),
    Setting("worker.launcher", LIST, [], "words before a worker of its own for each session, by which the cluster's "
            "engine starts it (`srun`, …); filled in like `wrap`"),
    # A client says something every 5 s: less than two heartbeats would hang up commands of clients that are well.
    Setting("worker.client_timeout", SECONDS, 180.0, "silence after which a client counts as lost",
            low=10, harmless=True),
    Setting("worker.host_timeout", SECONDS, 600.0, "silence after which another worker's sessions are ended",
            low=1, harmless=True),
    Setting("worker.max_stream", BYTES, 16 * 1024**3, "what one session may write to the share",
            low=1024**2, high=2**60, example='"16GiB"', harmless=True),
    Setting("worker.scrollback", BYTES, 16 * 1024**2, "output that stays for `attach` and `logs`, if it was more",
            high=2**40, example='"16MiB"', harmless=True),
    Setting("worker.retention", SECONDS, _DAY, "finished sessions stay on the share for so long",
            high=10 * _YEAR, harmless=True),
    Setting("worker.terminal_retention", SECONDS, 3600.0, "the same for those that had a terminal (typed passwords)",
            high=10 * _YEAR, harmless=True),
    Setting("worker.journal_retention", SECONDS, 90 * _DAY, "finished sessions stay in the journal for so long",
            high=10 * _YEAR, harmless=True),
    Setting("worker.net", SWITCH, True, "lend the network itself (`pigeon net`)"),
    Setting("worker.max_net", COUNT, 16, "networks that are lent at a time, beside `max_jobs`",
            low=1, high=4096, harmless=True),
    Setting("worker.net_permit", LIST, ["*:*"],
            "what is lent: `HOST:PORTS`, HOST a name with `*`, an address, a network or a group"),
    Setting("worker.net_deny", LIST, ["loopback", "link-local", "metadata"],
            "what is not, looked at after resolving; groups besides these: `private`, `multicast`"),
    Setting("worker.net_history", SWITCH, True, "write down in the journal which hosts were connected to",
            harmless=True),
    Setting("client.shell", WORDS, ["bash", "-lc"], "the words before the command's text"),
    Setting("client.path", CHOICE, "auto",
            "PATH over there: `auto` puts the active virtual or conda environment in front again;"
            " `login` leaves it as the login shell sets it", choices=("auto", "login")),
    Setting("client.notify_after", SECONDS, 0.0,
            "ring the terminal (bell, OSC 9) at the end of a command that took so long; 0: never", harmless=True),
    Setting("client.env_exclude", LIST, list(DEFAULT_ENV_EXCLUDE),
            "patterns of variables that stay behind (`NAME`, `PREFIX*`, …); a list of one's own replaces the default"),
    Setting("client.repair", SWITCH, True, "put right words that the local shell expanded too early"),
    Setting("client.claim_timeout", SECONDS, 30.0, "give up after so long without a live worker",
            flag="--claim-timeout", metavar="TIME", harmless=True),
    Setting("client.worker_timeout", SECONDS, 60.0, "tell when a running session is silent for so long",
            flag="--worker-timeout", metavar="TIME", low=1, harmless=True),
    Setting("client.on_disconnect", CHOICE, "hangup",
            "what becomes of a command whose client is lost; `keep` is `--keep`", choices=("hangup", "keep")),
    Setting("client.escape_char", CHARACTER, "~",
            "escapes at the start of a line: `~.` hangs up, `~?` tells the others; `none` switches them off",
            flag="--escape-char", letter="-e", metavar="C"),
    Setting("net.direct", LIST, [],
            "names, addresses and networks that `pigeon net` leaves to this machine's own network"),
    Setting("wire.fsync", SWITCH, False, "make every write to the share durable, at the price of speed",
            harmless=True),
)  # fmt: skip

REMOTE_ENV = "remote_env"
"""The table of variables for the commands; they override the client's environment."""

OLD_TABLES = ("interactive",)
"""Tables that older versions of the program wrote into the same file: passed over, with a note."""


def options(*tables: str) -> list[Setting]:
    """Those of these tables that have a flag, in their order; "" is the top level."""
    return [setting for setting in TABLE if setting.flag and setting.table in tables]


BY_KEY = {setting.key: setting for setting in TABLE}
TABLES = tuple({setting.table: None for setting in TABLE if setting.table})

_MULTIPLES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TRUTHS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def _with_unit(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, float):
        return f"{value:g} s"
    return str(value)


def wanted(setting: Setting) -> str:
    """What a value must be, to follow "must be"."""
    kind = {
        COUNT: "a whole number",
        SECONDS: 'a number of seconds, or a text like "90s", "5m", "2h", "2d"',
        BYTES: 'a number of bytes, or a text like "16GiB"',
        PATH: "an absolute path (`~` is allowed)",
        NAME: "one directory name: not empty or hidden, without `/` and control characters, at most 200 bytes",
        WORDS: "a list of texts, not empty",
        LIST: "a list of texts",
        SWITCH: "true or false",
        TEXT: "a text, not empty, without control characters",
        CHARACTER: "one visible ASCII character, `^X` for a control character, or `none`",
        CHOICE: " or ".join(f'"{choice}"' for choice in setting.choices),
    }[setting.kind]
    if setting.kind in (COUNT, SECONDS, BYTES):
        kind += f", from {shown(setting.low)} to {shown(setting.high)}"
    return kind


def from_text(setting: Setting, text: str) -> object:
    """What a variable or a flag says, in the type that TOML would have given. Raises ValueError."""
    if setting.kind == COUNT:
        return int(text)
    if setting.kind == SECONDS:
        try:
            return float(text)
        except ValueError:
            return text  # a duration, perhaps
    if setting.kind == SWITCH:
        return _TRUTHS.get(text.lower())
    return text


def check(setting: Setting, value: object) -> object:
    """The value as the program uses it, None if it is not what it must be."""
    kind = setting.kind
    if kind == BYTES and isinstance(value, str):
        value = _bytes(value)
    if kind == SECONDS and isinstance(value, str):
        from pigeon.durations import seconds_of

        value = seconds_of(value)
    if kind in (COUNT, BYTES, SECONDS):
        # bool is an int to Python and to nobody else; NaN is between no two numbers
        is_number = isinstance(value, (int, float) if kind == SECONDS else int) and not isinstance(
            value, bool
        )
        if not is_number or not setting.low <= value <= setting.high:  # type: ignore[operator]  # a number
            return None
        return float(value) if kind == SECONDS else value  # type: ignore[arg-type]  # a number
    if kind == SWITCH:
        return value if isinstance(value, bool) else None
    if kind in (WORDS, LIST):
        fits = isinstance(value, list) and all(isinstance(v, str) and v and "\0" not in v for v in value)
        return value if fits and (value or kind == LIST) else None
    if not isinstance(value, str):
        return None
    return _text(setting, value)


def _text(setting: Setting, value: str) -> str | None:
    kind = setting.kind
    if kind == NAME:
        return value if is_directory_name(value) else None
    if kind == PATH:
        # `..` behind a symbolic link is not what it seems, so such a path stays as it is
        tidy = value if "/.." in value else os.path.normpath(value)
        return tidy if value.startswith("/") and "\0" not in value else None
    if kind == CHOICE:
        return value if value in setting.choices else None
    if kind == CHARACTER:
        return _character(value)
    return value if value and not _has_control(value) else None


def _character(value: str) -> str | None:
    """A control character is written `^X`, as it can also be given. Three of them end or are the input themselves."""
    if value == "none" or (len(value) == 1 and "!" <= value <= "~"):
        return value
    if len(value) == 1 and _has_control(value):
        value = "^" + chr(ord(value) ^ 0x40)
    value = value.upper()
    fits = len(value) == 2 and value[0] == "^" and "?" <= value[1] <= "_" and value not in ("^@", "^J", "^M")
    return value if fits else None


def is_directory_name(text: str) -> bool:
    """Whether `text` can be one directory below the share (as `pigeon.wire.names` checks, and printable)."""
    size = len(text.encode("utf-8", "surrogateescape"))
    return 0 < size <= 200 and text[0] != "." and "/" not in text and not _has_control(text)


_TURNING = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
"""What changes the order of a line's text on a terminal (Unicode's bidirectional controls), or ends it."""


def _has_control(text: str) -> bool:
    """Whether a terminal would do something about it, instead of showing it: C0, DEL, C1, directions."""
    return any(c < " " or "\x7f" <= c <= "\x9f" or c in _TURNING for c in text)


def _bytes(text: str) -> int | None:
    """`16GiB`, `16 GB`, `16g`, `17179869184`: units are powers of 1024, however they are written."""
    text = text.strip().lower()
    number = text.rstrip("bikmgt ")
    unit = text[len(number) :].strip()
    factor = _MULTIPLES.get(unit[:1] if unit[:1] != "b" else "")
    if factor is None or unit[1:] not in ("", "b", "ib"):
        return None
    try:
        return int(number) * factor if number.isdecimal() else int(float(number) * factor)
    except (ValueError, OverflowError):
        return None


def nearest(key: str) -> str | None:
    """The key or table that was most likely meant."""
    from difflib import get_close_matches

    names = {setting.name: setting.key for setting in TABLE}
    key = key.lower()
    name = key.rpartition(".")[2]
    if name in names:  # right, but in the wrong table
        return names[name]
    whole = get_close_matches(key, [*BY_KEY, *TABLES, REMOTE_ENV], 1, 0.5)
    inner = get_close_matches(name, list(names), 1, 0.5)
    return whole[0] if whole else names[inner[0]] if inner else None


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
