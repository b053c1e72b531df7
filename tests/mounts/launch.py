"""Starts the mounts of a rig and takes them down, whatever happened in between.

Each mount is a process of its own (one client host). It is unmounted and killed at the end of the `with` block; a
keeper does both if the starter dies without getting there. Dead mounts that even their keeper did not survive are
found by the process number in the table of mounts and removed before the next rig starts.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.mounts.keeper import unmount
from tests.mounts.options import SOURCE, Options

ROOT = Path(__file__).resolve().parents[2]
START_S = 10.0
"""A start takes a fifth of a second; on a machine that does much else, more."""


class RigError(Exception):
    """A rig did not start; the text says which part and shows its log."""


def mount_table() -> list[tuple[str, str, str]]:
    """(mount point, filesystem type, source) of every mount in this mount namespace."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().decode(errors="surrogateescape").splitlines():
        left, right = line.split(" - ", 1)
        kind, source = right.split(" ")[:2]
        point = left.split(" ")[4]
        for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(octal, character)
        found.append((point, kind, source))
    return found


def is_alive(pid: int) -> bool:
    """Does a process with this number run (a zombie does not)?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def sweep() -> None:
    """Remove mounts of this kind whose process is dead."""
    for point, _, source in mount_table():
        name, _, rest = source.partition(":")
        pid = rest.partition(":")[0]
        if name == SOURCE and pid.isdigit() and not is_alive(int(pid)):
            unmount(point)


def wait_for_line(
    process: subprocess.Popen[bytes], what: str, log: Path, timeout_s: float = START_S
) -> bytes:
    """The first line that the process writes.

    Raises:
        RigError: it ended, or said nothing in time.
    """
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    line = process.stdout.readline() if ready else b""
    if not line:
        state = "ended" if ready else f"said nothing within {timeout_s:g} s"
        said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        raise RigError(f"{what} {state}\n{said}")
    return line


@contextmanager
def child(
    command: Sequence[str], log: Path, signal_number: int = signal.SIGKILL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own (Ctrl-C is for us to handle), ended and reaped at the end."""
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal_number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def kept(mounts: Sequence[Path], servers: Sequence[subprocess.Popen[bytes]], log: Path) -> Iterator[None]:
    """Clear the mounts away at the end, also when this process does not get to the end."""
    words = [str(os.getpid()), *map(str, mounts), "--", *(str(server.pid) for server in servers)]
    keeper = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), *words]
    try:
        with child(keeper, log) as process:
            wait_for_line(process, "the rig's keeper", log)
            yield
    finally:
        for mount in mounts:
            unmount(str(mount))


@contextmanager
def served(all_options: Sequence[Options]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All mounts of one rig, ready for use."""
    logs = [Path(options.state) / f"{options.label}.log" for options in all_options]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child([sys.executable, "-m", "tests.mounts.serve", options.encode()], log))
            for options, log in zip(all_options, logs, strict=True)
        ]
        points = [Path(options.mountpoint) for options in all_options]
        stack.enter_context(kept(points, processes, Path(all_options[0].state) / "keeper.log"))
        for process, options, log in zip(processes, all_options, logs, strict=True):
            wait_for_line(process, f"mount {options.label}", log)
        yield processes
