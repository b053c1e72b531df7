"""`tools/slurm-lab [--nodes N] [COMMAND…]`: a cluster for as long as the command (or a shell) runs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.slurm_lab import __doc__ as about
from tools.slurm_lab.conf import Shape
from tools.slurm_lab.lab import LabError, environment, lab_in


def main(args: list[str]) -> int:
    """The command's exit code; 1 if there is no cluster to run it in."""
    parser = argparse.ArgumentParser(
        prog="tools/slurm-lab",
        description="Run COMMAND (or a shell) beside a Slurm cluster that is there for it alone.",
        epilog=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes: n1, n2, … (2)")
    parser.add_argument("--cpus", type=int, default=4, help="processors of each node (4)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND…")
    chosen = parser.parse_args(args)
    shape = Shape(nodes=[f"n{number + 1}" for number in range(chosen.nodes)], cpus=chosen.cpus)
    with tempfile.TemporaryDirectory(prefix="slurm-lab-", dir="/tmp") as base:
        Path(base).chmod(0o755)
        try:
            with lab_in(Path(base, "lab"), shape) as lab:
                command = chosen.command or [os.environ.get("SHELL", "/bin/sh")]
                return subprocess.run(command, env=environment(lab, os.environ)).returncode
        except LabError as error:
            print(f"slurm-lab: {error}", file=sys.stderr)
            return 1
