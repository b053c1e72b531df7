"""pigeon/docs/scripting.md and the JSON of each verb say the same: every field that is printed is documented."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.journals import ROOT
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon

PAGE = (ROOT / "pigeon" / "docs" / "scripting.md").read_text(encoding="utf-8")


def documented(verb: str) -> set[str]:
    """The fields in the table of a verb's section."""
    section = PAGE.split(f"### pigeon {verb} --json\n", 1)[1].partition("\n### ")[0]
    return set(re.findall(r"(?m)^\| `(\w+)` \|", section))


def answer(pigeon: Pigeon, *words: str) -> Any:
    result = pigeon.run(*words, "--json", timeout_s=90)
    assert result.code in (0, 1), result.words
    return json.loads(result.stdout)


@pytest.fixture
def notes(warm: Pigeon) -> Notes:
    return Notes(warm.directory(f"notes-{raw.new_id()}"))


def test_sessions_and_inspect(warm: Pigeon, notes: Notes) -> None:
    where = warm.directory(raw.new_id())
    holder, session = warm.begin(notes.holding("json"), cwd=where)
    notes.wait_started("json")
    waiter, _ = warm.begin("true", cwd=where)
    rows = answer(warm, "sessions", "--all")
    assert len(rows) >= 2
    for row in rows:
        assert set(row) == documented("sessions")
    found = answer(warm, "inspect", session.id)
    assert set(found) <= documented("inspect")
    assert documented("inspect") - set(found) <= {"processes", "row", "waits", "events", "destinations"}, (
        "elsewhere these are not known"
    )
    for process in found["processes"]:
        assert all(f"`{name}`" in PAGE for name in process)
    notes.release("json")
    assert (holder.wait().code, waiter.wait().code) == (0, 0)


def test_history_and_its_sums(warm: Pigeon) -> None:
    assert warm.run("true").code == 0
    journal = ("--journal", str(warm.journal))
    records = answer(warm, "history", "-n1", *journal)
    schema = (ROOT / "migrations" / "migrations.py").read_text()
    for name in records[0]:
        assert re.search(rf"\b{name}\b", schema), name
    for record in answer(warm, "history", "--stats", "directory", *journal):
        assert set(record) == documented("history --stats")
    story = answer(warm, "history", records[0]["session_id"], *journal)
    for name in story:
        assert f"`{name}`" in PAGE
    for name in {key for part in ("waits", "events") for one in story[part] for key in one}:
        assert f"`{name}`" in PAGE


def test_doctor_and_config(warm: Pigeon) -> None:
    for line in answer(warm, "doctor"):
        assert set(line) == documented("doctor")
    for value in answer(warm, "config", "show").values():
        assert set(value) == {"value", "origin"}
