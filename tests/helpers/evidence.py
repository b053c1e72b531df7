"""What a failed test shows: the share's files, logs, journal rows, each cut to a readable size."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

MAX_FILE_BYTES = 1500
MAX_FILES = 80
MAX_ROWS = 30
MAX_SESSIONS = 6


def show_bytes(data: bytes) -> str:
    """Text with what is not printable escaped; the middle of something long left out."""
    if len(data) > MAX_FILE_BYTES:
        data = data[: MAX_FILE_BYTES // 2] + b"\n ... \n" + data[-MAX_FILE_BYTES // 2 :]
    return data.decode("utf-8", "backslashreplace")


def show_tree(root: Path) -> str:
    """Every file below `root` with kind, mode, size and (if regular) what is in it, newest sessions last."""
    lines = [f"=== {root}"]
    for folder, names, files in os.walk(root):
        names.sort()
        if os.path.basename(folder) == "sessions":
            lines += (
                [f"... ({len(names) - MAX_SESSIONS} older sessions)"] if len(names) > MAX_SESSIONS else []
            )
            del names[:-MAX_SESSIONS]
        for name in sorted(files):
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
                lines.append(
                    f"--- {path!r} {stat.filemode(info.st_mode)} uid {info.st_uid} {info.st_size} bytes"
                )
                if stat.S_ISREG(info.st_mode) and info.st_size:
                    with open(path, "rb") as file:
                        lines.append(show_bytes(file.read(4_000_000)))
            except OSError as error:
                lines.append(f"--- {path!r}: {error}")
        if not files and not names:
            lines.append(f"--- {folder!r}/ (empty)")
        if len(lines) > 2 * MAX_FILES:
            lines.append("... (more files)")
            break
    return "\n".join(lines)


def journal_rows(path: Path) -> dict[str, list[dict[str, object]]]:
    """Every table of the journal with its newest rows, oldest first; empty if there is no journal."""
    if not path.exists():
        return {}
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        database.row_factory = sqlite3.Row
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        return {
            # In the order of the rows, or of the key where a table has no row ids.
            name: [dict(row) for row in database.execute(f'select * from "{name}"')]
            for name in names
            if not name.startswith("sqlite_")
        }
    finally:
        database.close()


def show_journal(path: Path) -> str:
    """The journal's rows as text, without empty columns."""
    lines = [f"=== {path}"]
    if not path.is_file():
        return f"{lines[0]}: no regular file"  # reading a pipe would hang
    for table, rows in journal_rows(path).items():
        lines.append(f"--- {table}: {len(rows)} rows")
        lines += [str({k: v for k, v in row.items() if v is not None})[:1000] for row in rows[-MAX_ROWS:]]
    return "\n".join(lines)
