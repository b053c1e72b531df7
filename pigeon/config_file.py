"""Which configuration file counts, and what it holds as TOML; `config.py` says what that means.

A file that was named must exist; one in the current directory counts only if it is the user's own and nobody else can
write it, since any directory may hold somebody's bait. The TOML parser is imported only for a text that is new.
"""

from __future__ import annotations

import os
import stat

from pigeon.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES = 1 << 20
_LOCAL_NAMES = (".pigeon.toml", "pigeon.toml")
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY


def places(environ: Mapping[str, str], cwd: str) -> list[str]:
    """The default places, in the order in which they are looked at; the last two are those in `cwd`."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # its specification says that a relative one does not count
        base = f"{home(environ)}/.config"
    found = [f"{base}/pigeon/config.toml"]
    checkout = checkout_root()
    if checkout is not None:
        found.append(f"{checkout}/.pigeon.toml")
    return [*found, *(os.path.join(cwd, name) for name in _LOCAL_NAMES)]


def checkout_root() -> str | None:
    """The directory of the checkout that this pigeon runs from; None for an installed one."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return root if os.path.exists(f"{root}/pyproject.toml") else None


def named_path(flags: Mapping[str, str], environ: Mapping[str, str], cwd: str) -> tuple[str, str] | None:
    """(the file that `--config` or PIGEON_CONFIG names, which of the two), None if neither does."""
    given = flags.get("config")
    if given == "":
        raise ConfigError("`--config` needs the name of a file")
    for path, where in ((given, "--config"), (environ.get("PIGEON_CONFIG"), "PIGEON_CONFIG")):
        if path:
            return os.path.join(cwd, expand(path, environ)), where
    return None


def locate(flags: Mapping[str, str], *, environ: Mapping[str, str], cwd: str) -> tuple[str | None, list[str]]:
    """(the file that `load` would read, what it would pass over), whatever the file holds. Raises ConfigError."""
    notes: list[str] = []
    found = find(flags, environ, cwd, notes)
    if found is None:
        return None, notes
    os.close(found[1])
    return found[0], notes


def find(
    flags: Mapping[str, str], environ: Mapping[str, str], cwd: str, notes: list[str]
) -> tuple[str, int] | None:
    """Path and open descriptor of the file to read, None if there is none. What is passed over is noted."""
    named = named_path(flags, environ, cwd)
    if named is not None:
        path, where = named
        try:
            return path, os.open(path, _OPEN_FLAGS)  # may be a pipe, as `<(…)` makes
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
            raise ConfigError(
                f"the file named by {where} cannot be read: `{path}`: {reason}",
                hint="`pigeon config init` writes one" if isinstance(error, FileNotFoundError) else None,
            ) from error
    candidates = places(environ, cwd)
    for number, path in enumerate(candidates):
        is_local = number >= len(candidates) - len(_LOCAL_NAMES)
        try:
            # not blocking: a FIFO that lies about must not hang every command
            fd = os.open(path, _OPEN_FLAGS | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if not is_local:
                raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
            notes.append(f"`{path}` does not count: it cannot be read: {error.strerror}")
            continue
        fault = _fault(path, fd) if is_local else ""
        if not is_local and stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.close(fd)  # only a pipe that was named is meant
            raise ConfigError(f"`{path}` is a FIFO and no file", hint="remove it, or name it with `--config`")
        if not fault:
            return path, fd
        os.close(fd)
        notes.append(f"`{path}` does not count: {fault}")
    return None


def _fault(path: str, fd: int) -> str:
    """Why a file in whatever directory one happens to be in must not decide what runs with one's rights."""
    opened = os.fstat(fd)
    try:
        named = os.lstat(path)  # a link of another user's to a file of one's own is still his choice
    except OSError:
        return "it has just been removed"
    if opened.st_uid != os.geteuid() or named.st_uid != os.geteuid():
        return "it belongs to another user"
    if opened.st_mode & 0o170000 != 0o100000:
        return "it is no regular file"
    return "others can write it" if opened.st_mode & 0o022 else ""


def read(path: str, fd: int) -> tuple[bytes, bool]:
    """Everything behind `fd`, which is closed; and whether it will be there again: a pipe's content may be a secret."""
    try:
        with os.fdopen(fd, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
            lasts = os.fstat(fd).st_mode & 0o170000 == 0o100000
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"`{path}` is larger than {MAX_FILE_BYTES} bytes, so it is no configuration of pigeon's"
        )
    return data, lasts


def parse(path: str, data: bytes) -> dict[str, object]:
    """The values in `data`. Raises ConfigError with the line where it is not TOML."""
    if data.startswith(b"\xef\xbb\xbf"):  # nothing that an editor shows
        raise ConfigError(
            f"`{path}` is not TOML: it begins with a byte order mark", hint="save it as UTF-8 without BOM"
        )
    try:
        import tomli
    except ImportError:  # a checkout without any package installed
        import tomllib as tomli  # type: ignore[no-redef]
    try:
        return tomli.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or a number of thousands of digits
        raise ConfigError(
            f"`{path}` is not TOML: {error}", hint="`pigeon config init --config NEW` writes an example"
        ) from error


def home(environ: Mapping[str, str]) -> str:
    """The user's home directory."""
    return environ.get("HOME") or os.path.expanduser("~")


def expand(path: str, environ: Mapping[str, str]) -> str:
    """`~` and `~user` at its start replaced; as it is where there is no such home."""
    if path == "~" or path.startswith("~/"):
        return home(environ) + path[1:]
    return os.path.expanduser(path) if path.startswith("~") else path
