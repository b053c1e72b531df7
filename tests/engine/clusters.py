"""A pigeon and a Slurm cluster beside it."""

from __future__ import annotations

from typing import Any

from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.waiting import wait_until
from tools.slurm_lab.lab import Job, Lab

SRUN = ["srun", "--ntasks=1", "--job-name=pigeon-{session}", "--chdir=/", "--time=5"]
"""The words that README and docs/worker.md give; a test compares them."""


class Cluster:
    """`pigeon` and `lab`, and what the tests ask of both."""

    def __init__(self, pigeon: Pigeon, lab: Lab) -> None:
        self.pigeon = pigeon
        self.lab = lab
        self.worker: Worker | None = None

    def serve(self, *words: str, **settings: Any) -> Worker:
        """A worker that launches, with `words` behind those of `srun`."""
        env = {**self.lab.variables, **settings.pop("env", {})}
        self.worker = self.pigeon.worker(launcher=[*SRUN, *words], env=env, **settings)
        return self.worker

    def hog(self) -> str:
        """Take both nodes away until `release`; the job's id."""
        self.lab.ask("sbatch", "--exclusive", "-N2", "-J", "hog", "-o", "/dev/null", "--wrap", "sleep 1000")

        def taken() -> str:
            return next(
                (job.id for job in self.lab.jobs() if (job.name, job.state) == ("hog", "RUNNING")), ""
            )

        return wait_until(taken, 30, "both nodes", interval_s=0.1)

    def jobs(self) -> list[Job]:
        """Of pigeon's."""
        return [job for job in self.lab.jobs() if job.name.startswith("pigeon-")]

    def wait_for_job(self, state: str) -> Job:
        """The first of pigeon's that is in this state."""

        def found() -> Job | None:
            return next((job for job in self.jobs() if job.state == state), None)

        job = wait_until(found, 30, f"a job {state}", interval_s=0.1)
        assert job is not None
        return job

    def wait_for_none(self, timeout_s: float) -> None:
        """Until none of pigeon's waits or runs."""
        wait_until(
            lambda: not self.jobs(), timeout_s, lambda: f"an empty queue: {self.jobs()}", interval_s=0.1
        )

    def row(self) -> dict[str, Any]:
        """The journal's row of the first session, once it is final."""
        name = self.pigeon.namespace.session_names()[0]

        def final() -> dict[str, Any] | None:
            row = self.pigeon.journal_row(name)
            return row if row is not None and row["state"] == "final" else None

        row = wait_until(final, 30, "the row's end")
        assert row is not None
        return row
