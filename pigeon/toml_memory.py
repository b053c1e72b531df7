"""What a configuration file came to when it was last parsed, so that not every command pays for the TOML parser.

One small file for each configuration file, in `$XDG_CACHE_HOME/pigeon` (`~/.cache/pigeon`): the text that was parsed,
and its values. They count only for exactly that text and this version of pigeon, so nothing here can be out of date.
Whatever is wrong (no such place, somebody else's, damaged, full) means that there is no memory: callers parse then.

Refuses to remember what JSON cannot hold exactly, and to write below a home that is another user's (`sudo`).
"""

from __future__ import annotations

import os
from binascii import crc32

from pigeon import __version__
from pigeon.wire import files
from pigeon.wire.jsontext import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_BYTES = 16 << 20
_LONGEST_NAME = 200
_TABLE = "table"
_SUM_BYTES = 9


def recall(path: str, text: bytes, environ: Mapping[str, str]) -> dict[str, object] | None:
    """The values of the configuration file `path`, if `text` is what was parsed last; else None."""
    try:
        directory = _directory(environ)
        files.check_directory(directory)
        data = files.read(_place(directory, path), _MAX_BYTES, one_link=True)
        if data[:_SUM_BYTES] != _sum(data[_SUM_BYTES:]):
            return None  # whatever has happened to it
        written = decode(data[_SUM_BYTES:])
        if not isinstance(written, list) or written[:-1] != [__version__, text.decode("utf-8")]:
            return None
        values = _unpacked(written[-1])
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def remember(path: str, text: bytes, values: Mapping[str, object], environ: Mapping[str, str]) -> None:
    """Keep what the valid configuration file `path` with this text came to, if that can be done."""
    try:
        data = encode([__version__, text.decode("utf-8"), _packed(values)])
        directory = _directory(environ)
        for made in (os.path.dirname(directory), directory):
            if not os.path.lexists(made):
                if os.stat(os.path.dirname(made)).st_uid != os.geteuid():
                    return
                files.make_directory(made)
        files.check_directory(directory)
        files.replace(_place(directory, path), _sum(data) + data)
    except (OSError, ValueError, TypeError, RecursionError):
        pass


def _sum(data: bytes) -> bytes:
    """What tells damage in a value that is JSON all the same; nobody who could forge it needs to."""
    return b"%08x\n" % crc32(data)


def _directory(environ: Mapping[str, str]) -> str:
    """Raises FileNotFoundError where nobody has said where it is."""
    base = environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # its specification says that a relative one does not count
        if not environ.get("HOME", "").startswith("/"):
            raise FileNotFoundError("no home")
        base = f"{environ['HOME']}/.cache"
    return f"{base}/pigeon"


def _place(directory: str, path: str) -> str:
    """Two files that come to one name here take turns; the text tells them apart."""
    name = os.fsencode(path).replace(b"/", b"%")[-_LONGEST_NAME:]
    return f"{directory}/{os.fsdecode(name)}.json"


def _packed(value: object) -> object:
    """With each table as a list of pairs: our JSON sorts its keys, and the order of variables has a meaning."""
    if isinstance(value, dict):
        return {_TABLE: [[key, _packed(inner)] for key, inner in value.items()]}
    return [_packed(inner) for inner in value] if isinstance(value, list) else value


def _unpacked(value: object) -> object:
    if isinstance(value, dict):
        return {key: _unpacked(inner) for key, inner in value[_TABLE]}
    return [_unpacked(inner) for inner in value] if isinstance(value, list) else value
