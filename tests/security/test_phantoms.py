"""Two workers with one journal in two pid namespaces: no phantom keeps a slot, a directory or a worker."""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest

from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.privileges import needs_root
from tests.helpers.waiting import wait_until

APART = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

pytestmark = [needs_root, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _can_be_had() -> None:
    if not shutil.which("unshare") or subprocess.run([*APART, "true"], check=False).returncode:
        pytest.skip("needs unshare(1) and leave to make namespaces")


def boxed(pigeon: Pigeon) -> Worker:
    """A worker in a container of its own, with a name of its own."""
    words = (*APART, "sh", "-c", 'hostname box; exec "$@"', "sh")
    return pigeon.worker(max_jobs=2, prefix=words)


def test_a_runner_that_ended_in_another_namespace_is_forgotten(pigeon: Pigeon) -> None:
    first = boxed(pigeon)
    client = pigeon.start("echo ready; sleep 4")
    wait_until(lambda: client.out, 20, "output")
    second = pigeon.worker(max_jobs=1)
    assert client.wait(30).code == 0
    first.kill()
    result = pigeon.run("echo served", timeout_s=40)
    assert result.stdout == b"served\n", second.log
    wait_until(lambda: not running(pigeon, second.id), 25, "an empty list of what runs")
    second.signal(signal.SIGTERM)
    assert second.wait(20) == 0


def test_a_worker_that_lives_elsewhere_keeps_its_own(pigeon: Pigeon) -> None:
    """Its commands take no slot of the other's, which finds their rows in the journal."""
    first = boxed(pigeon)
    client = pigeon.start("echo ready; sleep 25")
    wait_until(lambda: client.out, 20, "output")
    second = pigeon.worker(max_jobs=1)
    elsewhere = pigeon.directory("elsewhere")
    listed = []

    def watched() -> bool:
        listed.append(len(running(pigeon, second.id)))
        return len(listed) > 120 or not client.running

    wait_until(watched, 30, "some looks at the journal", interval_s=0.1)
    assert not any(listed)
    assert pigeon.run("echo served", cwd=elsewhere).stdout == b"served\n"
    client.signal(signal.SIGTERM)
    client.wait()
    first.kill()


def running(pigeon: Pigeon, worker_id: str) -> list[object]:
    """What the worker says that it runs."""
    found = [record for record in pigeon.namespace.workers() if record["worker_id"] == worker_id]
    return list(found[0]["running"]) if found else []
