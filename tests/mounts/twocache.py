"""Two clients of one "server", by hand: `python -m tests.mounts.twocache --back DIR --mount A --mount B --ttl 3`.

Mounts the filesystem made for these tests over DIR, as often as `--mount` stands there, and unmounts it at Ctrl-C or at
the end of a command given after `--` (which finds the mounts in PIGEON_TEST_SHARES as `A:B`), whatever happened.
`README.md` says what the filesystem does; `control.py` makes it misbehave from another shell.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from tests.mounts import rigs
from tests.mounts.control import Control
from tests.mounts.launch import RigError
from tests.mounts.options import LOCKS
from tests.mounts.rigs import two_mounts

__all__ = ["main", "two_mounts"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mounts.twocache", description=__doc__)
    parser.add_argument("--back", type=Path, required=True, help="the directory that plays the server")
    parser.add_argument("--mount", type=Path, action="append", required=True, help="a mount point; repeat it")
    parser.add_argument(
        "--ttl", type=float, default=3.0, metavar="S", help="attributes and names (default 3)"
    )
    parser.add_argument(
        "--negative-ttl", type=float, default=30.0, metavar="S", help="failed look-ups (default 30)"
    )
    parser.add_argument("--listing-ttl", type=float, default=0.0, metavar="S", help="listings (default 0)")
    parser.add_argument(
        "--kernel-names", type=float, default=0.0, metavar="S", help="quicker, counts no look-ups (default 0)"
    )
    parser.add_argument("--locks", choices=LOCKS, default="shared", help="flock between the mounts")
    parser.add_argument(
        "--latency", type=float, default=0.0, metavar="S", help="of each answer of the server"
    )
    parser.add_argument("--v3", action="store_true", help="ESTALE for open files that were removed elsewhere")
    parser.add_argument("--subtype", default="twocache", help="shown as fuse.SUBTYPE")
    parser.add_argument("command", nargs="*", help="run this, then unmount (after `--`)")
    return parser


def _wait_for_end() -> None:
    print("Ctrl-C unmounts", flush=True)
    while True:
        time.sleep(3600)


def _stop(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _announce(asked: argparse.Namespace, control: Control, points: list[Path]) -> None:
    for label, point in zip(control.labels, points, strict=True):
        print(f"mounted {label}: {point} over {asked.back} as fuse.{asked.subtype}")
    print(
        f"  names and attributes {asked.ttl:g} s, misses {asked.negative_ttl:g} s, listings "
        f"{asked.listing_ttl:g} s, locks {asked.locks}, latency {asked.latency:g} s\n"
        f"  state: {control.state} (`python -m tests.mounts.control {control.state} counts`)",
        flush=True,
    )


def main() -> int:
    """Mount, tell, wait."""
    asked = _parser().parse_args()
    reason = rigs.missing("twocache")
    if reason is not None:
        print(f"cannot mount here: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    points = [point.resolve() for point in asked.mount]
    with ExitStack() as stack:
        for place in (asked.back, *points):
            place.mkdir(parents=True, exist_ok=True)
        try:
            _, control = stack.enter_context(
                rigs.many_mounts(
                    asked.back,
                    points=points,
                    ttl_s=asked.ttl,
                    negative_ttl_s=asked.negative_ttl,
                    listing_ttl_s=asked.listing_ttl,
                    kernel_names_s=asked.kernel_names,
                    locks=asked.locks,
                    latency_s=asked.latency,
                    is_v3=asked.v3,
                    subtype=asked.subtype,
                )
            )
            _announce(asked, control, points)
            if asked.command:
                shares = ":".join(map(str, points[:2]))
                environment = {**os.environ, "PIGEON_TEST_SHARES": shares}
                return subprocess.run(asked.command, env=environment, check=False).returncode
            _wait_for_end()
        except RigError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
