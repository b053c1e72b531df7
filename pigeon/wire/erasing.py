"""Taking input out of the share once it has been taken (FORMAT.md, "Secrets at rest"): a password is not to lie there.

While the session runs only the writer of a file does so, by records of the type `blank` in place of others: another
host's cache may otherwise bring back what was there. When it has ended, whoever ends it empties what is left.
"""

from __future__ import annotations

from pigeon.wire import files
from pigeon.wire.names import SessionFiles, is_control, is_input
from pigeon.wire.records import KEYS, MAX_DATA_BYTES, quoted

MAX_CONTROL_BYTES = 64 * 1024 * 1024
"""More is no control file of ours."""


def blank_lines(size: int) -> bytes:
    """So many bytes that say nothing, in whole lines, in the place of whole records."""
    lines = []
    while size:
        length = size if size <= 2 * MAX_DATA_BYTES else MAX_DATA_BYTES
        lines.append(b'{"type":"blank"}'.ljust(length - 1) + b"\n")
        size -= length
    return b"".join(lines)


def erase(path: str, start: int, end: int) -> None:
    """Put blanks in place of the whole records between two offsets; none where who ended the session has emptied the
    file. Raises OSError: not done; call again."""
    if end > start:
        files.write_at(path, [blank_lines(end - start)], start, grows=False)


def erase_all(session: SessionFiles) -> None:
    """Everything that clients have sent to a command that has ended, or is not going to run, as far as that can be done
    now."""
    try:
        names = files.list_names(session.directory)
    except OSError:
        return  # retention comes by later
    for name in names:
        path = f"{session.directory}/{name}"
        try:
            if is_input(name):
                files.cut(path, 0)
            elif is_control(name):
                _erase_keys(path)
        except OSError:
            continue


def _erase_keys(path: str) -> None:
    """Those that follow each other at one stroke: a long session has typed many."""
    data = files.read(path, MAX_CONTROL_BYTES)
    begin = end = 0
    while (at := data.find(quoted(KEYS), end)) >= 0:
        line, after = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at) + 1
        if not after:
            break
        if line != end:
            erase(path, begin, end)
            begin = line
        end = after
    erase(path, begin, end)
