"""Each cell of each table that decides is held by a quick test; `tools/mutants.py` changes them one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def killed(*words: str) -> list[str]:
    """The summary's lines. The tool has a process of its own: it is a pytest itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.mutants", *words], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.endswith("killed")]


def test_a_few_of_all_the_cells() -> None:
    tables = ("STEPS", "RECOVERY", "MOVES", "HANGUP", "INTERACTIVE")
    found = killed(*(word for name in tables for word in ("--table", name)), "--sample", "3")
    assert [line.split()[0].rpartition(".")[2] for line in found] == [*tables, "together"]


def test_a_table_that_no_test_reads_is_found_out() -> None:
    code = (
        "from tools import mutants\n"
        "table = mutants.Table('pigeon.wire.pacing', 'HEARTBEAT_S', ('tests/unit/test_exits.py',), mutants.number)\n"
        "assert len(mutants.run([table]).survivors) == 2\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120, stdout=subprocess.DEVNULL)


@pytest.mark.long
@pytest.mark.timeout(1000)
def test_all_cells_of_all_tables() -> None:
    assert len(killed()) > 10
