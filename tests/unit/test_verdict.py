"""`pigeon inspect`'s sentence: every rule can speak, and each way of being stuck has one of its own."""

from __future__ import annotations

from typing import Any

import pytest

from pigeon.report.verdict import VERDICTS, Facts, verdict

MIB = 1024 * 1024

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "waits for a host": (
        {"state": "running", "lends": 2, "unanswered": "a.example:443", "unanswered_s": 90.0},
        "runs; waits for a.example:443, which has not answered for 1m30s",
    ),
    "lends": ({"state": "running", "lends": 2}, "lends the network; connections open: 2"),
    "succeeded": ({"state": "succeeded", "exit_code": 0}, "has ended: the command succeeded"),
    "recovered": (
        {"state": "failed", "ended_by": "recovery", "exit_code": 255, "error": "why"},
        "was ended by recovery after its runner died, exit code 255: why",
    ),
    "taken over": (
        {"state": "failed", "ended_by": "takeover", "exit_code": 255},
        "was ended by takeover after its worker fell silent, exit code 255",
    ),
    "withdrawn": (
        {"state": "cancelled", "ended_by": "client", "error": "no worker"},
        "was withdrawn before it ran: no worker",
    ),
    "cancelled": (
        {"state": "cancelled", "exit_code": 129, "error": "lost"},
        "was cancelled, exit code 129: lost",
    ),
    "failed": ({"state": "failed", "exit_code": 3}, "has ended: the command failed, exit code 3"),
    "unreadable": ({"state": "?"}, "its status cannot be read"),
    "waits, client gone": ({"state": "pending", "client": "silent"}, "its client is gone: no worker"),
    "waits for the directory": (
        {
            "state": "pending",
            "waits_for": "directory",
            "cwd": "/x",
            "holder": "17-ab",
            "holder_command": "pip install y",
            "holder_since_s": 2460.0,
            "holder_client": "silent",
        },
        "waits for the lock on /x, held by 17-ab ‘pip install y’ for 41m, whose client is gone",
    ),
    "behind another": (
        {"state": "pending", "waits_for": "behind", "cwd": "/x", "behind": "17-cd"},
        "waits for /x, behind 17-cd",
    ),
    "directory held from elsewhere": (
        {"state": "pending", "waits_for": "turn", "cwd": "/x", "locked_by": 77},
        "waits for the lock on /x, which pid 77 took for no session that is known here",
    ),
    "waits in a launcher": (
        {"state": "pending", "waits_for": "launcher", "launcher": "the launcher of n: job 7 queued"},
        "waits for the launcher of n: job 7 queued",
    ),
    "workers ending": ({"state": "pending", "waits_for": "ending"}, "are ending and take no more"),
    "no worker": (
        {"state": "pending", "waits_for": "worker", "age_s": 7200.0},
        "waits for a worker for 2h: none of its route",
    ),
    "workers full": (
        {"state": "pending", "waits_for": "slot", "workers": 2},
        "waits for a free slot: all 2 workers of its route are full",
    ),
    "waits": ({"state": "pending", "waits_for": "turn"}, "waits to be taken by a worker"),
    "host silent": (
        {"state": "running", "owner": "cpu_m-7", "owner_alive": False, "stream_quiet_s": 10800.0},
        "worker cpu_m-7 silent for 3h: its host is down or cut off",
    ),
    "runner gone": ({"state": "running", "runner_state": "-"}, "its runner is dead"),
    "runner stopped": ({"state": "running", "runner_state": "T"}, "its runner is stopped (SIGSTOP)"),
    "share trouble": (
        {"state": "running", "runner_state": "S", "trouble": "No space left on device"},
        "its runner cannot write to the share: No space left on device",
    ),
    "claimed, not started": ({"state": "claimed", "owner": "w"}, "claimed by w and not started"),
    "runner silent": (
        {"state": "running", "owner_alive": True, "stream_quiet_s": 300.0},
        "its runner has been silent for 5m though its worker lives",
    ),
    "client gone": ({"state": "running", "client": "silent"}, "runs, but its client is gone"),
    "client suspended": ({"state": "running", "client": "suspended"}, "its client is suspended"),
    "client does not read": (
        {"state": "running", "client": "alive", "unread_bytes": 64 * MIB, "window_bytes": 64 * MIB},
        "held up: its client has 64 MiB of output still to read",
    ),
    "does not read its input": (
        {"state": "running", "client": "alive", "untaken_bytes": 16 * MIB},
        "the command has 16 MiB of input that it does not read",
    ),
    "no client": ({"state": "running", "client": "detached"}, "runs on without a client"),
    "quiet": (
        {"state": "running", "output_quiet_s": 720.0, "process_states": [("S", "n_tty_read")]},
        "runs, no output for 12m, blocked reading its terminal: it waits for input",
    ),
    "worker gone": (
        {"state": "running", "owner": "w", "owner_alive": False, "stream_quiet_s": 2.0},
        "runs on under its runner, though the process of worker w is gone",
    ),
    "processes": (
        {"state": "running", "owner_alive": True, "process_states": [("R", "")], "cpu_is_used": True},
        "runs: it is busy computing",
    ),
    "runs": ({"state": "running", "owner_alive": True}, "runs, as far as can be seen from here"),
}


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_each_rule_speaks(name: str, case: tuple[dict[str, Any], str]) -> None:
    facts, wanted = case
    found, sentence = verdict(Facts(**facts))
    assert (found, wanted in sentence) == (name, True), sentence
    assert "\n" not in sentence


def test_no_rule_without_a_case() -> None:
    assert {name for name, _, _ in VERDICTS} == CASES.keys()
    assert len(VERDICTS) == len(CASES)


@pytest.mark.parametrize(
    ("processes", "busy", "wanted"),
    [
        ([("T", ""), ("T", "")], False, "stopped"),
        ([("S", "do_wait"), ("D", "nfs_wait")], False, "state D"),
        ([("S", "wait_woken")], False, "reading its terminal"),
        ([("S", "do_wait"), ("S", "pipe_read")], False, "reading a pipe"),
        ([("S", "anon_pipe_write")], False, "blocked writing"),
        ([("S", "hrtimer_nanosleep")], False, "sleep"),
        ([("S", "pipe_read"), ("R", "")], True, "busy"),
        ([], False, "cannot be seen"),
    ],
)
def test_what_the_processes_do(processes: list[tuple[str, str]], busy: bool, wanted: str) -> None:
    facts = Facts("running", output_quiet_s=100.0, process_states=processes, cpu_is_used=busy)
    assert wanted in verdict(facts)[1]


def test_a_session_that_is_kept_waits_for_a_worker_even_without_its_client() -> None:
    assert verdict(Facts("pending", client="silent", keeps=True, waits_for="worker"))[0] == "no worker"
    assert verdict(Facts("running", client="silent", keeps=True))[0] == "no client"


def test_an_end_is_told_whatever_else_is_wrong() -> None:
    facts = Facts("failed", owner_alive=False, runner_state="-", trouble="x", client="silent")
    assert verdict(facts)[0] == "failed"
