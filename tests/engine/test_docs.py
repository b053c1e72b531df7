"""The configurations that the pages show for a cluster are those that work on one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.engine.clusters import SRUN, Cluster
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
SBATCH = re.compile(r"<!-- run by a test: sbatch -->\n```sh\n(.*?)```", re.DOTALL)


def test_the_launcher_of_the_pages(cluster: Cluster) -> None:
    shown = [
        tomllib.loads(text)
        for page in ("README.md", "pigeon/README.zh-CN.md", "pigeon/docs/worker.md")
        for text in TOML.findall((ROOT / page).read_text(encoding="utf-8"))
        if "launcher" in text
    ]
    assert len(shown) == 3 and shown[0] == shown[1] == shown[2]
    table = shown[0]["worker"]
    assert table["launcher"][:-1] == SRUN[:-1]
    cluster.pigeon.worker(env=cluster.lab.variables, **table)
    route = ("--route", table["route"])
    assert cluster.pigeon.run("echo $SLURM_JOB_NAME", options=route).stdout.startswith(b"pigeon-")


def test_the_script_for_sbatch(cluster: Cluster) -> None:
    """As it stands, but for the place of `pigeon` and a shorter idle_exit; the nodes' /var/tmp is the lab's."""
    pigeon = cluster.pigeon
    (text,) = SBATCH.findall((ROOT / "pigeon/docs/worker.md").read_text(encoding="utf-8"))
    assert "--idle-exit 30m" in text
    script = pigeon.base / "worker.sbatch"
    script.write_text(text.replace("--idle-exit 30m", "--idle-exit 2s"))
    place = _command(pigeon)
    env = pigeon.env({**cluster.lab.variables, "PATH": f"{place}:{pigeon.env()['PATH']}"})
    submitted = pigeon.start_process("sbatch", str(script), env=env, cwd=pigeon.base).wait()
    assert submitted.code == 0, submitted.words
    done = pigeon.run("hostname; echo $SLURM_JOB_NAME", options=("--route", "cluster"))
    assert done.stdout.split()[0] in (b"n1", b"n2") and done.stdout.split()[1] == b"pigeon-worker"
    wait_until(lambda: not cluster.lab.jobs(), 30, "the worker's leaving")
    (journal,) = (cluster.lab.directory / "var-tmp").glob("*/pigeon-tester/*.db")
    assert journal.stat().st_size > 0


def _command(pigeon: Pigeon) -> Path:
    place = pigeon.base / "bin"
    place.mkdir()
    script = place / "pigeon"
    script.write_text(f'#!/bin/sh\nexec {" ".join(map(str, pigeon.command()))} "$@"\n')
    script.chmod(0o755)
    return place
