"""Many finished sessions, made from a real one: the same files under new ids, as a namespace looks after months."""

from __future__ import annotations

import os

_HOUR_MS = 3_600_000


def multiply_finished_session(original: str, count: int) -> None:
    """Copy the session directory `original` `count` times, under ids that are older than it.

    The id is replaced wherever it stands in the text; files keep their mode, have one link each, and belong to us.
    """
    parent, old_id = os.path.split(original)
    stamp = int(old_id.partition("-")[0]) - _HOUR_MS
    files: list[tuple[str, int, bytes]] = []
    for name in os.listdir(original):
        path = f"{original}/{name}"
        with open(path, "rb") as file:
            files.append((name, os.stat(path).st_mode & 0o777, file.read()))
    for number in range(count):
        new_id = f"{stamp - 1000 * number}-{number:012x}"
        directory = f"{parent}/{new_id}"
        os.mkdir(directory, 0o700)
        for name, mode, content in files:
            handle = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            os.write(handle, content.replace(old_id.encode(), new_id.encode()))
            os.close(handle)
