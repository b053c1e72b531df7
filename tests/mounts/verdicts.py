"""What passed on which filesystem, as a table, from the reports of pytest runs.

    python -m pytest -m '' --junitxml=runs.xml tests/mounts/test_pigeon.py tests/mounts/test_nfs_lab_pigeon.py \
        tests/mounts/test_nfs_lab_hosts.py
    python -m tests.mounts.verdicts --write runs.xml

Several reports are put together; of a test that stands in two of them, the later one counts. Nothing is run here, and
what was not run has an empty cell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.mounts import readme
from tests.mounts.nfs_lab import EVERY_MOUNT

COLUMNS = {"plain": "plain directory", "twocache": "twocache", "gluster": "GlusterFS"} | {
    mount: f"NFS {mount.replace(',', ', ')}" for mount in EVERY_MOUNT
}
"""The parameter that names a filesystem in a test's id, and its heading."""

SOURCES = ("test_pigeon", "test_nfs_lab_pigeon", "test_nfs_lab_hosts")


class Run(NamedTuple):
    """One test as it ended."""

    case: str
    column: str
    outcome: str
    """pass, FAIL, skipped, or not run: its rig could not be had."""


def read(path: Path) -> dict[str, Run]:
    """The runs of a JUnit report by full name; tests that are not about pigeon over a mount are left out."""
    runs: dict[str, Run] = {}
    for element in ElementTree.parse(path).iter("testcase"):
        module = element.get("classname", "").rpartition(".")[2]
        name, _, rest = element.get("name", "").partition("[")
        if module not in SOURCES:
            continue
        parameters = rest.rstrip("]").split("-")
        # Tests of bad moments take no rig: they need the filesystem that can be told to have them.
        column = next((part for part in parameters if part in COLUMNS), "twocache")
        full = f"{module}::{element.get('name')}"
        outcome = _outcome(element)
        if runs.get(full, Run("", "", "pass")).outcome == "FAIL":
            outcome = "FAIL"  # an error while it was taken down is an element of its own
        runs[full] = Run(name.removeprefix("test_").replace("_", " "), column, outcome)
    return runs


def _outcome(element: ElementTree.Element) -> str:
    found = {child.tag for child in element}
    error = element.find("error")
    if error is not None and error.get("message", "").startswith("failed on setup"):
        return "not run"
    if found & {"failure", "error"}:
        return "FAIL"
    return "skipped" if "skipped" in found else "pass"


def table(runs: Iterable[Run]) -> str:
    """Markdown: a row for each case, a column for each filesystem that was tried at all."""
    cells: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        cells.setdefault(run.case, {}).setdefault(run.column, []).append(run.outcome)
    columns = [column for column in COLUMNS if any(column in row for row in cells.values())]
    rows = {case: [_cell(row.get(column, ())) for column in columns] for case, row in cells.items()}
    return readme.table([COLUMNS[column] for column in columns], rows)


def _cell(outcomes: Sequence[str]) -> str:
    """`pass` if all did, with their number if there are several; else what did not."""
    if not outcomes:
        return ""
    others = sorted({outcome for outcome in outcomes if outcome != "pass"})
    if others:
        return ", ".join(f"{outcomes.count(other)} of {len(outcomes)} {other}" for other in others)
    return "pass" if len(outcomes) == 1 else f"pass ({len(outcomes)})"


def main() -> int:
    """Print the table of these reports."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mounts.verdicts", description="What passed on which filesystem."
    )
    parser.add_argument("reports", nargs="+", type=Path, metavar="XML", help="made by `pytest --junitxml`")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    runs: dict[str, Run] = {}
    for report in asked.reports:
        runs |= read(report)
    text = table(runs.values())
    print(text)
    if asked.write:
        readme.put("verdicts", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
