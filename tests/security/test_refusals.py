"""Sessions that only have to be refused take no slot, and come after those that want to run."""

from __future__ import annotations

import time

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import patient

ENDED = ("failed", "cancelled")


def ended(pigeon: Pigeon) -> int:
    """How many of the others have their end."""
    return sum(session.state in ENDED for session in pigeon.sessions())


def served_in(pigeon: Pigeon) -> float:
    """How many seconds a client that lives has to wait for its command."""
    began = time.monotonic()
    assert pigeon.run("echo served", timeout_s=60).stdout == b"served\n"
    return time.monotonic() - began


def test_refusals_hold_nobody_up(pigeon: Pigeon) -> None:
    """Though all of them were there first, and the worker has one slot: what wants to run has its end before most."""
    refused = [raw.publish(pigeon, data=b'{"a":') for _ in range(60)]
    living = raw.publish(pigeon, "true")  # of a client without heartbeats, so for no sign of life is waited
    pigeon.worker(max_jobs=1)
    ran_until = living.wait_final(60)["finished_at"]
    stamps = [one.wait_final(60)["updated_at"] for one in refused]  # of one worker's clock
    assert sum(stamp < ran_until for stamp in stamps) < len(refused) / 2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_thousand_sessions_whose_clients_have_died(pigeon: Pigeon) -> None:
    """A living client is served without delay before they are given up, while they are ended, and afterwards."""
    count = 3000
    features = {"version": "1.0.0", "features": ["heartbeat", "ack"]}
    for _ in range(count):
        raw.publish(pigeon, client=features)
    worker = pigeon.worker(max_jobs=4, wait_s=60)
    took = []
    while (done := ended(pigeon)) < count:
        took.append((done, served_in(pigeon)))
        assert worker.child.running, worker.log
        time.sleep(1)
    print(f"\n{len(took)} clients: {max(seconds for _, seconds in took):.1f} s at most")
    for done, seconds in took:
        assert seconds < patient(5), f"with {done} of {count} ended: {seconds:.1f} s"
    assert sum(0 < done < count for done, _ in took) > 3, "some while others were being ended"
