"""Which configuration file counts, and what it holds as TOML; `config.py` says what that means.

A file that was named must exist. Every one must belong to the user or to root, and nobody else may write it, as ssh
wants it of its own: else it is refused, or passed over where it lies in the current directory, since any directory may
hold somebody's bait. The one of the checkout need only be as safe as the code beside it, which runs all the same. The
TOML parser is imported only for a text that is new.
"""

from __future__ import annotations

import os

from pigeon.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES = 1 << 20
LOCAL_NAMES = (".pigeon.toml", "pigeon.toml")
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
_OTHERS_WRITE = 0o022


class Found:
    """The file to read: its path, an open descriptor, and whether it is one of the current directory."""

    __slots__ = ("path", "fd", "is_local")

    def __init__(self, path: str, fd: int, *, is_local: bool = False) -> None:
        self.path = path
        self.fd = fd
        self.is_local = is_local


def places(environ: Mapping[str, str], cwd: str) -> list[str]:
    """The default places, in the order in which they are looked at; the last two are those in `cwd`."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):  # its specification says that a relative one does not count
        base = f"{home(environ)}/.config"
    found = [f"{base}/pigeon/config.toml"]
    checkout = checkout_root()
    if checkout is not None:
        found.append(f"{checkout}/.pigeon.toml")
    return [*found, *(os.path.join(cwd, name) for name in LOCAL_NAMES)]


def checkout_root() -> str | None:
    """The directory of the checkout that this pigeon runs from; None for an installed one."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return root if os.path.exists(f"{root}/pyproject.toml") else None


def named_path(flags: Mapping[str, str], environ: Mapping[str, str], cwd: str) -> tuple[str, str] | None:
    """(the file that `--config` or PIGEON_CONFIG names, which of the two), None if neither does. Raises ConfigError."""
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
    os.close(found.fd)
    return found.path, notes


def find(flags: Mapping[str, str], environ: Mapping[str, str], cwd: str, notes: list[str]) -> Found | None:
    """The file to read, None if there is none. What is passed over is noted.

    Raises:
        ConfigError: the file that counts cannot be read, or others could have written it.
    """
    named = named_path(flags, environ, cwd)
    if named is not None:
        return _open_named(*named)
    candidates = places(environ, cwd)
    checkout = checkout_root()
    for number, path in enumerate(candidates):
        is_local = number >= len(candidates) - len(LOCAL_NAMES)
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
        if checkout is not None and path == f"{checkout}/.pigeon.toml" and not is_local:
            fault = _fault_beside_the_code(os.fstat(fd))
        else:
            fault = _local_fault(path, fd) if is_local else _fault(os.fstat(fd))
        if not fault:
            return Found(path, fd, is_local=is_local)
        os.close(fd)
        if not is_local:
            raise _refused(path, fault)
        notes.append(f"`{path}` does not count: {fault}")
    return None


def _open_named(path: str, where: str) -> Found:
    try:
        fd = os.open(path, _OPEN_FLAGS)  # may be a pipe, as `<(…)` makes
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise ConfigError(
            f"the file named by {where} cannot be read: `{path}`: {reason}",
            hint="`pigeon config init` writes one" if isinstance(error, FileNotFoundError) else None,
        ) from error
    found = os.fstat(fd)
    fault = _fault(found) if found.st_mode & 0o170000 == 0o100000 else ""
    if fault:
        os.close(fd)
        raise _refused(path, fault)
    return Found(path, fd)


def _refused(path: str, fault: str) -> ConfigError:
    if fault == _IS_FIFO:
        return ConfigError(f"`{path}` {fault}", hint="remove it, or name it with `--config`")
    hint = (
        f"`chmod go-w {path}`" if fault == _IS_OPEN else "take a copy that is your own (`cp`), or `chown` it"
    )
    return ConfigError(f"`{path}` is not read: {fault}", hint=hint)


_IS_OPEN = "others can write it"
_IS_FIFO = "is a FIFO and no file"


def _fault(found: os.stat_result) -> str:
    """Why a file must not decide what runs with one's rights: ssh's rule for ~/.ssh/config. "" if nothing is wrong."""
    if found.st_mode & 0o170000 == 0o010000:
        return _IS_FIFO  # only a pipe that was named is meant
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user (uid {found.st_uid})"
    return _IS_OPEN if found.st_mode & _OTHERS_WRITE else ""


def _local_fault(path: str, fd: int) -> str:
    """The same for one in whatever directory one happens to be in."""
    opened = os.fstat(fd)
    try:
        named = os.lstat(path)  # a link of another user's to a file of one's own is still his choice
    except OSError:
        return "it has just been removed"
    if named.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user (uid {named.st_uid})"
    if opened.st_mode & 0o170000 != 0o100000:
        return "it is no regular file"
    return _fault(opened)


def _fault_beside_the_code(found: os.stat_result) -> str:
    """The same for the file of the checkout: whoever could write the code that reads it needs no configuration."""
    code = os.stat(__file__)
    if found.st_uid == code.st_uid and not found.st_mode & _OTHERS_WRITE & ~code.st_mode:
        return ""
    return _fault(found)


def read_local(path: str) -> bytes:
    """The content of a file that may be in the current directory, if it may count at all. Raises ConfigError."""
    try:
        fd = os.open(path, _OPEN_FLAGS | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}") from error
    fault = _local_fault(path, fd)
    if fault:
        os.close(fd)
        raise _refused(path, fault)
    return read(path, fd)[0]


def read(path: str, fd: int) -> tuple[bytes, bool]:
    """Everything behind `fd`, which is closed; and whether it will be there again: a pipe's content may be a secret.

    Raises ConfigError: it cannot be read, or is too large.
    """
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
    if not path.startswith("~"):
        return path
    try:
        return os.path.expanduser(path)
    except ValueError:  # a NUL, or what is no text: nobody is called so
        return path
