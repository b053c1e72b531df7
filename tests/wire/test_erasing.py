"""Input that has been taken out of the share: all of it, nothing else, and no file that another has emptied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon.wire import erasing, files
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import client_line, keys_line


def test_keys_go_and_all_else_stays(session: SessionFiles) -> None:
    keys, other = keys_line(b"secret"), client_line("resumed")
    files.create(session.control(), keys + keys + other + keys + other + other + keys + b'{"type":"ke')
    erasing.erase_all(session)
    data = Path(session.control()).read_bytes()
    assert b"keys" not in data
    assert len(data) == 4 * len(keys) + 3 * len(other) + 11
    assert data.count(other) == 3 and data.endswith(b'{"type":"ke')
    blank = erasing.blank_lines(len(keys))
    assert data.replace(other, b"") == erasing.blank_lines(2 * len(keys)) + 2 * blank + b'{"type":"ke'


def test_many_keys_cost_one_write(session: SessionFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.create(session.control(), keys_line(b"x") * 50_000)
    writes: list[int] = []
    real = files.write_at

    def counted(path: str, pieces: list[bytes], offset: int, *, grows: bool = True) -> None:
        writes.append(offset)
        real(path, pieces, offset, grows=grows)

    monkeypatch.setattr(files, "write_at", counted)
    erasing.erase_all(session)
    assert writes == [0]
    assert b"keys" not in Path(session.control()).read_bytes()


def test_a_file_that_was_emptied_does_not_grow_again(session: SessionFiles) -> None:
    """Its writer may hear only after the session's end what the command has taken."""
    line = keys_line(b"x")
    files.create(session.control(), line * 3)
    files.cut(session.control(), len(line))
    erasing.erase(session.control(), len(line), 3 * len(line))
    assert os.path.getsize(session.control()) == len(line)
    erasing.erase(session.control(), 0, len(line))
    assert Path(session.control()).read_bytes() == erasing.blank_lines(len(line))
