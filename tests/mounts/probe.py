"""What each rig shows on one mount of what was done on the other: `python -m tests.mounts.probe [RIG…] [--write]`.

Measures, with one writer and one reader in this process, how long a new name, appended bytes and a replaced file stay
hidden, whether locks and exclusive creation exclude, and what a visit costs. Prints a markdown table; `--write` puts it
between the markers in README.md. Takes about as long as the longest caches hold, for each rig.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from tests.mounts import readme, rigs
from tests.mounts.rigs import Mounts

_POLL_S = 0.01

RIGS: dict[str, tuple[str, Callable[[], AbstractContextManager[Mounts]]]] = {
    "plain directory": ("plain", rigs.plain_dir),
    "twocache, 3 s / 30 s": ("twocache", partial(rigs.two_mounts, ttl_s=3, negative_ttl_s=30)),
    "twocache as sshfs: listings 17 s, misses not kept, local locks": (
        "twocache",
        partial(
            rigs.two_mounts, ttl_s=17, negative_ttl_s=0, listing_ttl_s=17, locks="local", subtype="sshfs"
        ),
    ),
    "GlusterFS, default options": ("gluster", rigs.gluster_mounts),
    "GlusterFS, direct-io": ("gluster", partial(rigs.gluster_mounts, direct_io=True)),
}


class Prober:
    """The measurements on one rig; each uses a directory of its own."""

    def __init__(self, mounts: Mounts, limit_s: float) -> None:
        self._mounts = mounts
        self._limit_s = limit_s
        self._made = 0

    def _place(self) -> tuple[Path, Path]:
        """A fresh directory as the writer and as the reader have it; the reader has seen that it is empty."""
        self._made += 1
        name = f"d{self._made}"
        (self._mounts.a / name).mkdir()
        while name not in os.listdir(self._mounts.b):
            time.sleep(_POLL_S)
        os.listdir(self._mounts.b / name)
        return self._mounts.a / name, self._mounts.b / name

    def _until(self, seen: Callable[[], bool], limit_s: float | None = None) -> str:
        """How long until `seen()`, asked every 10 ms."""
        limit_s = self._limit_s if limit_s is None else limit_s
        started_s = time.monotonic()
        first = True
        while True:
            try:
                if seen():
                    return "at once" if first else _duration(time.monotonic() - started_s)
            except OSError:
                pass
            first = False
            if time.monotonic() - started_s > limit_s:
                return f"> {limit_s:g} s"
            time.sleep(_POLL_S)

    def name_by_open(self) -> str:
        """A name that was looked up before it was made, waited for by opening it."""
        writer, reader = self._place()
        (reader / "f").exists()
        (writer / "f").write_bytes(b"x")
        return self._until(lambda: (reader / "f").read_bytes() == b"x")

    def name_by_listing(self) -> str:
        """The same, waited for by listing."""
        writer, reader = self._place()
        (reader / "f").exists()
        (writer / "f").write_bytes(b"x")
        return self._until(lambda: "f" in os.listdir(reader))

    def name_by_listing_then_open(self) -> str:
        """The same: list, then open whatever the listing said."""
        writer, reader = self._place()
        (reader / "f").exists()
        (writer / "f").write_bytes(b"x")
        return self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"x")

    def append_by_reopening(self) -> str:
        """A line, appended and closed; the reader opens anew each time."""
        writer, reader = self._place()
        (writer / "f").write_bytes(b"one\n")
        self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"one\n")
        with (writer / "f").open("ab") as file:
            file.write(b"two\n")
        return self._until(lambda: (reader / "f").read_bytes() == b"one\ntwo\n")

    def append_by_reading_on(self) -> str:
        """The same; the reader keeps its descriptor."""
        writer, reader = self._place()
        (writer / "f").write_bytes(b"one\n")
        self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"one\n")
        with (reader / "f").open("rb", buffering=0) as kept:
            kept.read(4)
            with (writer / "f").open("ab") as file:
                file.write(b"two\n")
            return self._until(lambda: kept.read(4) == b"two\n")

    def append_not_closed(self) -> str:
        """The writer does not close; the reader opens anew."""
        writer, reader = self._place()
        with (writer / "f").open("wb", buffering=0) as file:
            file.write(b"x")
            return self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"x", 5.0)

    def append_while_held(self) -> str:
        """What a host reads of the other's append while it holds the file open for writing itself."""
        writer, reader = self._place()
        (writer / "f").write_bytes(b"one\n")
        self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"one\n")
        with (reader / "f").open("r+b", buffering=0):
            with (writer / "f").open("ab") as file:
                file.write(b"two\n")
            self._until(lambda: len((reader / "f").read_bytes()) == 8)
            read = (reader / "f").read_bytes()[4:]
        return {b"two\n": "right", b"\0\0\0\0": "NULs", b"": "nothing"}.get(read, repr(read))

    def replaced(self) -> str:
        """A file replaced by rename; the reader opens anew."""
        writer, reader = self._place()
        (writer / "f").write_bytes(b"old")
        self._until(lambda: _list(reader) and (reader / "f").read_bytes() == b"old")
        (writer / "g").write_bytes(b"new")
        (writer / "g").rename(writer / "f")
        return self._until(lambda: (reader / "f").read_bytes() == b"new")

    def flock_excludes(self) -> str:
        """An exclusive lock on one mount, tried on the other."""
        writer, reader = self._place()
        with (writer / "f").open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX)
            except OSError as error:
                return f"fails: {error.strerror}"
            self._until(lambda: _list(reader) and (reader / "f").exists())
            with (reader / "f").open("r+") as other:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return "yes"
        return "**no**"

    def one_creator_wins(self) -> str:
        """The same name created exclusively from both sides, 20 times, without listing first."""
        writer, reader = self._place()
        for number in range(20):
            (reader / f"{number}").exists()
            wins = 0
            for side in (writer, reader):
                try:
                    os.close(os.open(side / f"{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                    wins += 1
                except FileExistsError:
                    pass
            if wins != 1:
                return f"**no** ({wins} winners)"
        return "yes"

    def visit(self) -> str:
        """Median of open, read, close, and the requests it makes (on rigs that count)."""
        writer, reader = self._place()
        (writer / "f").write_bytes(bytes(100))
        self._until(lambda: _list(reader) and len((reader / "f").read_bytes()) == 100)
        times = []
        self._mounts.control.reset_counts()
        for _ in range(200):
            started_s = time.perf_counter()
            descriptor = os.open(reader / "f", os.O_RDONLY)
            os.read(descriptor, 4096)
            os.close(descriptor)
            times.append(time.perf_counter() - started_s)
        text = f"{sorted(times)[100] * 1e3:.2f} ms"
        served = sum(self._mounts.control.counts("b", server=True).values()) / 200
        return f"{text}, {served:.1f} to the server" if self._mounts.control.injects else text


CASES: dict[str, Callable[[Prober], str]] = {
    "new name, waited for by `open`": Prober.name_by_open,
    "new name, by listing": Prober.name_by_listing,
    "new name, by listing and then `open`": Prober.name_by_listing_then_open,
    "appended line, opening anew": Prober.append_by_reopening,
    "appended line, descriptor kept": Prober.append_by_reading_on,
    "written, not closed": Prober.append_not_closed,
    "the other's append, read while holding the file open for writing": Prober.append_while_held,
    "replaced file, opening anew": Prober.replaced,
    "`flock` excludes": Prober.flock_excludes,
    "`O_EXCL` has one winner": Prober.one_creator_wins,
    "one visit (open, read, close)": Prober.visit,
}


def _list(directory: Path) -> bool:
    """List it, and go on whatever it said."""
    os.listdir(directory)
    return True


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def measure(rig: str, limit_s: float) -> dict[str, str]:
    """All cases on one rig; each an em dash if it cannot be had here."""
    kind, start = RIGS[rig]
    reason = rigs.missing(kind)
    if reason is not None:
        print(f"{rig}: {reason}", file=sys.stderr)
        return dict.fromkeys(CASES, "—")
    with start() as mounts:
        prober = Prober(mounts, limit_s)
        return {case: probe(prober) for case, probe in CASES.items()}


def table(results: dict[str, dict[str, str]]) -> str:
    """Markdown, a column for each rig."""
    return readme.table(results, {case: [found[case] for found in results.values()] for case in CASES})


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.mounts.probe", description=__doc__)
    parser.add_argument(
        "rigs", nargs="*", metavar="RIG", help=f"words that names contain, of: {'; '.join(RIGS)}"
    )
    parser.add_argument("--limit", type=float, default=40.0, metavar="S", help="wait no longer (default 40)")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    chosen = [rig for rig in RIGS if not asked.rigs or any(word in rig for word in asked.rigs)]
    text = table({rig: measure(rig, asked.limit) for rig in chosen})
    print(text)
    if asked.write:
        readme.put("probe", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
