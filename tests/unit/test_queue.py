"""Who may start: slots, one per directory, first seen first. No process, no clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pigeon.wire.documents import Job, Request
from pigeon.worker.scheduler.queue import CLIENT, DIRECTORY, REFUSALS, SLOT, Holder, Verdict, decide
from pigeon.worker.scheduler.sessions import Candidate, Tried, Waiting


def waiting(number: int, cwd: str = "/a", lock: str = "cwd") -> Waiting:
    request = Request(f"17000000000{number:02d}-0123456789ab", ["true"], cwd)
    request.lock = lock
    return Waiting(Candidate(request.session_id, request, 0.0, float(number)))


def verdicts(found: list[Verdict]) -> list[tuple[str | None, str | None]]:
    return [(v.reason, v.behind) for v in found]


def test_first_seen_first_within_a_directory() -> None:
    first, second, other = waiting(1), waiting(2), waiting(3, "/b")
    assert verdicts(decide([first, second, other], {}, 9, 0.0)) == [
        (None, None),
        (DIRECTORY, first.candidate.session_id),
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
    first, second = Tried(waiting(1).candidate, 5.0, held_elsewhere=True), waiting(2)
    assert verdicts(decide([first, second], {}, 9, 1.0)) == [
        (DIRECTORY, None),
        (DIRECTORY, first.candidate.session_id),
    ]
    assert verdicts(decide([first, second], {}, 9, 6.0)) == [
        (None, None),
        (DIRECTORY, first.candidate.session_id),
    ]


def test_a_client_that_shows_no_life_holds_up_nobody() -> None:
    doubtful, second = waiting(1), waiting(2)
    doubtful.candidate.needs_sign_of_life = True
    assert verdicts(decide([doubtful, second], {}, 9, 0.0)) == [(CLIENT, None), (None, None)]


def test_refused_sessions_need_no_directory() -> None:
    refused = waiting(1)
    refused.candidate.refusal = ("failed", "malformed")
    assert verdicts(decide([refused], {"/a": [Holder("x")]}, 1, 0.0)) == [(None, None)]


def test_waits_add_up_by_reason() -> None:
    one = waiting(1).candidate
    assert one.wait_for(SLOT, None, 10.0)
    assert not one.wait_for(SLOT, None, 11.0)
    assert one.wait_for(DIRECTORY, "x", 12.0)
    assert one.wait_for(SLOT, None, 15.0)
    assert one.wait_for(None, None, 16.0)
    assert one.waited == {SLOT: 3.0, DIRECTORY: 3.0}


def in_job(number: int, stdin: str = "", stdout: str = "", boot: str = "b") -> Waiting:
    one = waiting(number)
    one.candidate.request.job = Job(boot, [(number, 1)], (stdin, stdout, ""))
    return one


def holder(one: Waiting) -> Holder:
    return Holder(one.candidate.session_id, one.candidate.request.job)


def started(found: list[Verdict]) -> list[bool]:
    return [v.reason is None for v in found]


def test_what_reads_from_the_holder_runs_beside_it_without_a_slot() -> None:
    writer, reader = in_job(1, stdout="8:1"), in_job(2, stdin="8:1")
    for held, other in ((writer, reader), (reader, writer)):
        (found,) = decide([other], {"/a": [holder(held)]}, 0, 0.0)
        assert (found.reason, found.beside) == (None, frozenset({held.candidate.session_id}))


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
    one.candidate.companions = {"x"}
    assert started(decide([one], {"/a": [Holder("x")]}, 0, 0.0)) == [True]
    assert started(decide([one], {"/a": [Holder("y")]}, 9, 0.0)) == [False]
    (found,) = decide([Tried(one.candidate, 0.0, held_elsewhere=True)], {}, 9, 0.0)
    assert (found.reason, found.beside) == (None, frozenset({"x"}))


def test_those_that_are_only_refused_come_last_and_take_no_slot() -> None:
    refused = [waiting(number) for number in range(5)]
    for one in refused:
        one.candidate.refusal = ("failed", "why")
    wants = [waiting(10, "/a"), waiting(11, "/b")]
    found = decide([*refused, *wants], {}, 1, 0.0)
    assert [v.session for v in found[:2]] == wants
    assert [v.reason for v in found[:2]] == [None, SLOT]
    assert [v.reason for v in found[2:]].count(None) == REFUSALS
    again = decide([*refused, *wants], {}, 0, 0.0, refusing=REFUSALS)
    assert all(v.reason == SLOT for v in again)


# -- whatever waits --------------------------------------------------------------------------------------

NOW = 100.0
Held = dict[str, list[Holder]]


@st.composite
def queues(draw: st.DrawFn) -> list[Waiting | Tried]:
    """Sessions that wait, in the order in which they were seen."""
    found: list[Waiting | Tried] = []
    for number in range(draw(st.integers(0, 8))):
        lock = draw(st.sampled_from(["cwd", "cwd", "none"]))
        candidate = waiting(number, draw(st.sampled_from("abc")), lock).candidate
        candidate.needs_sign_of_life = draw(st.integers(0, 4)) == 0
        candidate.refusal = ("failed", "malformed") if draw(st.integers(0, 5)) == 0 else None
        if draw(st.integers(0, 2)):
            found.append(Waiting(candidate))
        else:
            retry_at = NOW + draw(st.sampled_from([-1.0, 0.0, 1.0]))
            found.append(Tried(candidate, retry_at, held_elsewhere=draw(st.booleans())))
    return found


HELD = st.dictionaries(st.sampled_from("abc"), st.just([Holder("runs")]))


def must_wait(session: Waiting | Tried) -> bool:
    return isinstance(session, Tried) and session.retry_at > NOW


@given(queues(), HELD, st.integers(-1, 5))
def test_never_two_in_one_directory(queue: list[Waiting | Tried], held: Held, free: int) -> None:
    found = decide(queue, held, free, NOW)
    started = [v.session.candidate for v in found if v.reason is None and v.session.candidate.refusal is None]
    places = [one.request.cwd for one in started if one.locks] + list(held)
    assert len(places) == len(set(places))
    assert len(started) <= max(0, free)


@given(queues(), HELD, st.integers(-1, 5))
def test_the_order_of_a_directory_is_kept(queue: list[Waiting | Tried], held: Held, free: int) -> None:
    found = decide(queue, held, free, NOW)
    wanted = [one for one in queue if one.candidate.refusal is None]
    assert [v.session for v in found] == wanted + [one for one in queue if one not in wanted]
    first = {directory: holders[0].session_id for directory, holders in held.items()}
    for verdict in found[: len(wanted)]:
        one = verdict.session.candidate
        if one.needs_sign_of_life:
            assert verdict.reason == CLIENT
        elif one.locks and one.request.cwd in first:
            assert (verdict.reason, verdict.behind) == (DIRECTORY, first[one.request.cwd])
        elif one.locks:
            first[one.request.cwd] = one.session_id


@given(queues(), HELD, st.integers(-1, 5))
def test_a_slot_goes_to_the_first_that_can_use_it(
    queue: list[Waiting | Tried], held: Held, free: int
) -> None:
    """And none stays free while somebody could."""
    found = decide(queue, held, free, NOW)
    able = [v for v in found if v.reason != CLIENT and v.behind is None and not must_wait(v.session)]
    able = [v for v in able if v.session.candidate.refusal is None]  # behind nobody, and not too early
    assert [v.reason for v in able] == [None if number < free else SLOT for number in range(len(able))]
    assert all(v.reason is not None for v in found if must_wait(v.session))


@given(queues(), st.integers(0, 3))
def test_who_is_only_refused_keeps_nobody_waiting(queue: list[Waiting | Tried], refusing: int) -> None:
    refused = [
        v for v in decide(queue, {}, 0, NOW, refusing=refusing) if v.session.candidate.refusal is not None
    ]
    due = [v for v in refused if not must_wait(v.session)]
    assert [v.reason for v in due] == [
        None if number < REFUSALS - refusing else SLOT for number in range(len(due))
    ]
