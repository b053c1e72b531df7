"""Who may start: slots, one per directory, first seen first. No process, no clock."""

from __future__ import annotations

from pigeon.wire.documents import Request
from pigeon.worker.scheduler.queue import CLIENT, DIRECTORY, SLOT, Verdict, Waiting, decide


def waiting(number: int, cwd: str = "/a", lock: str = "cwd") -> Waiting:
    request = Request(f"17000000000{number:02d}-0123456789ab", ["true"], cwd)
    request.lock = lock
    return Waiting(request.session_id, request, 0.0, float(number))


def verdicts(found: list[Verdict]) -> list[tuple[str | None, str | None]]:
    return [(v.reason, v.behind) for v in found]


def test_first_seen_first_within_a_directory() -> None:
    first, second, other = waiting(1), waiting(2), waiting(3, "/b")
    assert verdicts(decide([first, second, other], {}, 9, 0.0)) == [
        (None, None),
        (DIRECTORY, first.session_id),
        (None, None),
    ]


def test_a_running_command_holds_its_directory() -> None:
    assert verdicts(decide([waiting(1)], {"/a": "x"}, 9, 0.0)) == [(DIRECTORY, "x")]


def test_no_lock_runs_beside() -> None:
    assert verdicts(decide([waiting(1, lock="none")], {"/a": "x"}, 9, 0.0)) == [(None, None)]


def test_slots_go_to_those_that_can_use_them() -> None:
    held, free, late = waiting(1), waiting(2, "/b"), waiting(3, "/c")
    assert verdicts(decide([held, free, late], {"/a": "x"}, 1, 0.0)) == [
        (DIRECTORY, "x"),
        (None, None),
        (SLOT, None),
    ]


def test_a_directory_held_elsewhere_keeps_its_order() -> None:
    first, second = waiting(1), waiting(2)
    first.retry_at, first.held_elsewhere = 5.0, True
    assert verdicts(decide([first, second], {}, 9, 1.0)) == [(DIRECTORY, None), (DIRECTORY, first.session_id)]
    assert verdicts(decide([first, second], {}, 9, 6.0)) == [(None, None), (DIRECTORY, first.session_id)]


def test_a_client_that_shows_no_life_holds_up_nobody() -> None:
    doubtful, second = waiting(1), waiting(2)
    doubtful.needs_sign_of_life = True
    assert verdicts(decide([doubtful, second], {}, 9, 0.0)) == [(CLIENT, None), (None, None)]


def test_refused_sessions_need_no_directory() -> None:
    refused = waiting(1)
    refused.refusal = ("failed", "malformed")
    assert verdicts(decide([refused], {"/a": "x"}, 1, 0.0)) == [(None, None)]


def test_waits_add_up_by_reason() -> None:
    one = waiting(1)
    assert one.wait_for(SLOT, None, 10.0)
    assert not one.wait_for(SLOT, None, 11.0)
    assert one.wait_for(DIRECTORY, "x", 12.0)
    assert one.wait_for(SLOT, None, 15.0)
    assert one.wait_for(None, None, 16.0)
    assert one.waited == {SLOT: 3.0, DIRECTORY: 3.0}
