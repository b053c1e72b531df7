"""Does each journal hold together, and does it agree with the share? Reads both without pigeon's code."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def check_journals(journals: Mapping[str, Path], rows: Mapping[str, Rows], sessions: Path) -> list[str]:
    """Violations, one line each."""
    wrong = []
    tokens: dict[str, str] = {}
    for name, path in journals.items():
        verdict = _integrity(path)
        if verdict != "ok":
            wrong.append(f"journal {name}: integrity_check says {verdict}")
        for session_id, count in Counter(str(row["session_id"]) for row in rows[name]).items():
            if count > 1:
                wrong.append(f"journal {name}: {count} rows of {session_id}")
        for row in rows[name]:
            tokens[str(row["claim_token"])] = str(row["session_id"])
            wrong += [f"journal {name}: {row['session_id']}: {what}" for what in _row(row, sessions)]
    for claim in sessions.glob("*/worker.claim"):
        fields = dict(line.partition("=")[::2] for line in claim.read_text().splitlines())
        token = fields.get("claim_token", "")
        if "withdrawn_by" not in fields and tokens.get(token) != claim.parent.name:
            wrong.append(f"{claim.parent.name}: claimed with {fields}, which no journal knows")
    return wrong


def _integrity(path: Path) -> str:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        database.close()


def _row(row: Mapping[str, Any], sessions: Path) -> list[str]:
    if row["state"] != "final":
        return [f"stands in `{row['state']}`: {dict(row)}"]
    place = sessions / str(row["session_id"])
    try:
        status = json.loads((place / "status.json").read_bytes())
        claim = (place / "worker.claim").read_text()
    except FileNotFoundError as error:
        return [f"final in the journal, and on the share: {error}"]
    wrong = []
    if str(row["claim_token"]) not in claim:
        wrong.append(f"has a row, but the claim is another's: {claim!r}")
    if status.get("ended_by") == "takeover":
        return wrong
    if (row["outcome"], row["exit_code"]) != (status["state"], status["exit_code"]):
        wrong.append(
            f"journal has {row['outcome']}, {row['exit_code']} ({row['error']}); status "
            f"{status['state']}, {status['exit_code']} ({status.get('error')}, {status.get('ended_by')})"
        )
    return wrong
