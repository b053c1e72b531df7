"""How long the other host takes to see what one host did, and what locks are worth, measured in a lab.

`tools/nfs-lab measure` prints the table; `tests/mounts/test_nfs_lab.py` asserts what must hold of it. Times are taken
by the host, between two lines that the machines print, so no machine's clock matters; they are good to about 20 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import LabError
from .kernel import CHECKOUT
from .lab import Lab
from .nfs import SHARE

POLL_S = 0.1
LIMIT_S = 90.0
README = CHECKOUT / "tests" / "mounts" / "README.md"
BEGIN, END = "<!-- nfs-lab: begin -->", "<!-- nfs-lab: end -->"

CASES = (
    # what the writer does, how the reader looks
    ("create", "list"),
    ("create", "list, then open"),
    ("create", "open"),
    ("append", "open and read"),
    ("append", "kept descriptor"),
    ("replace", "open and read"),
)


class Probe:
    """A `probe` process in one machine."""

    def __init__(self, lab: Lab, machine: str) -> None:
        self.machine = machine
        argv = [sys.executable, "-u", "-m", "tools.nfs_lab.probe"]
        self.process = lab.popen(
            machine,
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def send(self, do: str, path: str, **arguments: Any) -> None:
        """Ask; the answer is read by `receive`."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, "path": path, **arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """The next answer. Raises `LabError` when the probe failed or is gone."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise LabError(f"the probe in machine `{self.machine}` is gone")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise LabError(f"in machine `{self.machine}`: {reply['error']}")
        return reply

    def ask(self, do: str, path: str, **arguments: Any) -> dict[str, Any]:
        """`send`, then `receive`."""
        self.send(do, path, **arguments)
        return self.receive()

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def kill(self) -> None:
        """End it hard, and close our ends."""
        assert self.process.stdin and self.process.stdout
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Visible(NamedTuple):
    """One measured visibility."""

    did: str
    looked: str
    seconds: float | None
    """None: not within `LIMIT_S`."""


def fresh_path(name: str = "file") -> str:
    """A path on the share that nobody has ever looked at, in a directory that may not exist yet."""
    return f"{SHARE}/probe-{uuid.uuid4().hex[:8]}/{name}"


def measure_visibility(lab: Lab, writer: str, reader: str, settle_s: float = 2.0) -> list[Visible]:
    """Each of `CASES` once. The reader polls in vain for `settle_s` first, so that its caches are warm."""
    found = []
    with Probe(lab, writer) as acting, Probe(lab, reader) as watching:
        for did, looked in CASES:
            path = fresh_path()
            lab.exec(writer, ["mkdir", path.rpartition("/")[0]], check=True)
            if did != "create":
                acting.ask("create", path, token="old\n")
            watching.send("watch", path, how=looked, token="news", interval_s=POLL_S, limit_s=LIMIT_S)
            first = watching.receive()
            if "watching" not in first:
                raise LabError(f"`{looked}` saw what was not there yet: {first}")
            time.sleep(settle_s)
            acting.ask(did, path, token="news\n")
            started = time.monotonic()
            seen = watching.receive()["seen"]
            found.append(Visible(did, looked, max(0.0, time.monotonic() - started) if seen else None))
    return found


def measure_locks(lab: Lab) -> dict[str, str]:
    """What the second host gets while the first holds a lock, after it let go, and after it was killed."""
    path = fresh_path("lock")
    lab.exec("a", ["mkdir", path.rpartition("/")[0]], check=True)
    with Probe(lab, "a") as first, Probe(lab, "b") as second:
        report = {"first": first.ask("lock", path)["lock"], "second": second.ask("lock", path)["lock"]}
        if report["second"] == "held":
            return report
        first.ask("unlock", path)
        report["after the first let go"] = second.ask("lock", path)["lock"]
        second.ask("unlock", path)
        first.ask("lock", path)
        first.kill()
        deadline = time.monotonic() + 30
        while (got := second.ask("lock", path)["lock"]) != "held" and time.monotonic() < deadline:
            time.sleep(0.1)
        report["after the first was killed"] = got
    return report


def measure(lab: Lab) -> dict[str, Any]:
    """Everything for the mount as it is, ready for JSON."""
    with Probe(lab, "a") as probe:
        path = fresh_path()
        lab.exec("a", ["mkdir", path.rpartition("/")[0]], check=True)
        costs = probe.ask("cost", path)
    note = lab.status()["note"]
    return {
        "asked": note["asked"],
        "mounted": note["mounted"],
        "visible": [seen._asdict() for seen in measure_visibility(lab, "a", "b")],
        "locks": measure_locks(lab),
        "cost_ms": costs,
    }


def describe(reports: Sequence[dict[str, Any]]) -> str:
    """The reports as a Markdown table, one column for each mount."""
    heads = [report["asked"]["a"] for report in reports]
    rows = [["", *heads]]
    for n, (did, looked) in enumerate(CASES):
        cells = [report["visible"][n]["seconds"] for report in reports]
        rows.append([f"{did}: {looked}", *(seconds_text(cell) for cell in cells)])
    rows.append(["second lock while the first is held", *(report["locks"]["second"] for report in reports)])
    rows.extend(
        [name, *(f"{report['cost_ms'][name]} ms" for report in reports)] for name in reports[0]["cost_ms"]
    )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def write_down(reports: Sequence[dict[str, Any]]) -> None:
    """Put the table into the page about the mounts."""
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{describe(reports)}\n{END}{rest.split(END)[1]}")


def seconds_text(seconds: float | None) -> str:
    if seconds is None:
        return f"> {LIMIT_S:g} s"
    return "next poll" if seconds < 2 * POLL_S else f"{seconds:.1f} s"
