"""What the process at a launched session tells its scheduler, whichever that is: a small file beside the proofs.

A pipe would end with the scheduler that made it, and the next one with this journal wants to know as well.
"""

from __future__ import annotations

import os

_MOST_BYTES = 1024


class Note:
    """`is_open`: nobody has claimed the session, and it is to be started. `says`: the launcher's last words."""

    __slots__ = ("is_open", "says")

    def __init__(self, is_open: bool, says: str = "") -> None:
        self.is_open = is_open
        self.says = says


def path_of(directory: str, token: str) -> str:
    """Where the note of the launch `token` lies, in the directory of the proofs."""
    return f"{directory}/{token}.launch"


def write(directory: str, token: str, note: Note) -> None:
    """Say it. What cannot be written now is said with the next change."""
    path = path_of(directory, token)
    text = f"{int(note.is_open)} {' '.join(note.says.split())}".encode("utf-8", "replace")[:_MOST_BYTES]
    try:
        fd = os.open(
            f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
        os.replace(f"{path}.new", path)
    except OSError:
        pass


def read(directory: str, token: str) -> Note:
    """What was said last. Before the first word the session is open."""
    try:
        fd = os.open(path_of(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            text = os.read(fd, _MOST_BYTES).decode("utf-8", "replace")
        finally:
            os.close(fd)
    except OSError:
        return Note(is_open=True)
    is_open, _, says = text.partition(" ")
    return Note(is_open == "1", says)


def remove(directory: str, token: str) -> None:
    """Nothing more is to be said."""
    for name in (path_of(directory, token), f"{path_of(directory, token)}.new"):
        try:
            os.unlink(name)
        except OSError:
            pass
