"""Who may start: slots, one per directory, first seen first. No process, no clock."""

from __future__ import annotations

from pigeon.wire.documents import Job, Request
from pigeon.worker.scheduler.queue import CLIENT, DIRECTORY, REFUSALS, SLOT, Holder, Verdict, Waiting, decide


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
    assert verdicts(decide([waiting(1)], {"/a": [Holder("x")]}, 9, 0.0)) == [(DIRECTORY, "x")]


def test_no_lock_runs_beside() -> None:
    assert verdicts(decide([waiting(1, lock="none")], {"/a": [Holder("x")]}, 9, 0.0)) == [(None, None)]


def test_slots_go_to_those_that_can_use_them() -> None:
    held, free, late = waiting(1), waiting(2, "/b"), waiting(3, "/c")
    assert verdicts(decide([held, free, late], {"/a": [Holder("x")]}, 1, 0.0)) == [
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
    assert verdicts(decide([refused], {"/a": [Holder("x")]}, 1, 0.0)) == [(None, None)]


def test_waits_add_up_by_reason() -> None:
    one = waiting(1)
    assert one.wait_for(SLOT, None, 10.0)
    assert not one.wait_for(SLOT, None, 11.0)
    assert one.wait_for(DIRECTORY, "x", 12.0)
    assert one.wait_for(SLOT, None, 15.0)
    assert one.wait_for(None, None, 16.0)
    assert one.waited == {SLOT: 3.0, DIRECTORY: 3.0}


def in_job(number: int, stdin: str = "", stdout: str = "", boot: str = "b") -> Waiting:
    one = waiting(number)
    one.request.job = Job(boot, [(number, 1)], (stdin, stdout, ""))
    return one


def holder(one: Waiting) -> Holder:
    return Holder(one.session_id, one.request.job)


def started(found: list[Verdict]) -> list[bool]:
    return [v.reason is None for v in found]


def test_what_reads_from_the_holder_runs_beside_it_without_a_slot() -> None:
    writer, reader = in_job(1, stdout="8:1"), in_job(2, stdin="8:1")
    for held, other in ((writer, reader), (reader, writer)):
        (found,) = decide([other], {"/a": [holder(held)]}, 0, 0.0)
        assert (found.reason, found.beside) == (None, frozenset({held.session_id}))


def test_a_pipeline_that_comes_as_a_whole_starts_as_a_whole() -> None:
    pipeline = [in_job(1, stdin="8:2"), in_job(2, "8:1", "8:2"), in_job(3, stdout="8:1")]
    assert started(decide(pipeline, {}, 1, 0.0)) == [True, True, True]


def test_companions_do_not_wait_behind_strangers() -> None:
    held, stranger, companion = in_job(1, stdout="8:1"), waiting(2), in_job(3, stdin="8:1")
    found = decide([stranger, companion], {"/a": [holder(held)]}, 9, 0.0)
    assert started(found) == [False, True]


def test_a_stranger_waits_for_the_whole_job() -> None:
    job = [holder(in_job(1, stdout="8:1")), holder(in_job(2, stdin="8:1"))]
    assert started(decide([waiting(3), in_job(4, stdin="8:9")], {"/a": job}, 9, 0.0)) == [False, False]
    assert started(decide([waiting(3)], {"/a": job[1:]}, 9, 0.0)) == [False]


def test_what_is_not_the_same_pipe_is_no_job() -> None:
    one = in_job(1, stdout="8:1")
    others = [
        in_job(2, stdin="8:1", boot="another host"),
        in_job(3, stdout="8:1"),  # two that write to one pipe do not wait for each other
        in_job(4, stdin="8:2"),
        in_job(5),
        waiting(6),
    ]
    for other in others:
        assert started(decide([other], {"/a": [holder(one)]}, 9, 0.0)) == [False]


def test_a_companion_that_its_client_has_named() -> None:
    one = waiting(1)
    one.companions = {"x"}
    assert started(decide([one], {"/a": [Holder("x")]}, 0, 0.0)) == [True]
    assert started(decide([one], {"/a": [Holder("y")]}, 9, 0.0)) == [False]
    one.held_elsewhere = True
    (found,) = decide([one], {}, 9, 0.0)
    assert (found.reason, found.beside) == (None, frozenset({"x"}))


def test_those_that_are_only_refused_come_last_and_take_no_slot() -> None:
    refused = [waiting(number) for number in range(5)]
    for one in refused:
        one.refusal = ("failed", "why")
    wants = [waiting(10, "/a"), waiting(11, "/b")]
    found = decide([*refused, *wants], {}, 1, 0.0)
    assert [v.waiting for v in found[:2]] == wants
    assert [v.reason for v in found[:2]] == [None, SLOT]
    assert [v.reason for v in found[2:]].count(None) == REFUSALS
    again = decide([*refused, *wants], {}, 0, 0.0, refusing=REFUSALS)
    assert all(v.reason == SLOT for v in again)
