"""Asking for a length through a cache that is not the writer's: nothing that was written stays unseen."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from pigeon.mountinfo import filesystem_of
from pigeon.wire import looks
from pigeon.wire.files import Appender, create
from pigeon.wire.records import heartbeat_line
from pigeon.wire.tail import OPENED_EVERY, Tail
from tests.mounts.pigeon_rig import make_rig


def test_every_record_is_seen_within_a_few_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This filesystem answers from a cache that may be old, as one that is not among `looks.KINDS` may."""
    with ExitStack() as stack:
        share = make_rig(stack, "twocache", tmp_path).pigeon.share
        written, read = str(share.client_path / "control.jsonl"), str(share.worker_path / "control.jsonl")
        create(written)
        monkeypatch.setattr(looks, "KINDS", {filesystem_of(str(share.worker_path)).fstype})
        question = looks.question_for(read)
        assert question is not None
        reader, appender = Tail(read, ()), Appender(written)
        reader.poll()
        reader.ask_first(question)
        for _ in range(12):
            appender.put(heartbeat_line())
            appender.flush()
            took = next(number for number in range(1, 1000) if reader.poll())
            assert took <= OPENED_EVERY
