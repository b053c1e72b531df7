"""`pigeon --driven-by FD`: what programs that drive the executable are told, and can order."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

import pytest

from tests.helpers.driving import driven, has_ended, pid_in
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


def names(client: Any) -> list[str]:
    return [event["event"] for event in client.events]


def test_a_command_is_told_from_its_publication_to_its_end(warm: Pigeon) -> None:
    with driven(warm, {"command": ["sh", "-c", "echo out; echo err >&2; exit 7"]}) as client:
        last, code, out, err = client.end()
    assert (code, out, err) == (7, b"out\n", b"err\n")
    assert names(client) == ["published", "started", "exit"]
    assert last == {"event": "exit", "code": 7, "raw": 7}
    assert client.events[0]["session"] in warm.namespace.session_names()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN])
def test_the_client_ends_by_the_signal_that_ended_the_command(warm: Pigeon, number: int) -> None:
    with driven(warm, {"command": ["sh", "-c", f"kill -{int(number)} $$"]}) as client:
        last, code, _, err = client.end()
    assert (code, err) == (-number, b"")
    assert (last["code"], last["raw"]) == (128 + number, -number)


def test_the_codes_that_pigeon_uses_itself_are_the_commands_own(warm: Pigeon) -> None:
    for number in (255, 143, 130, 127, 126, 2):
        with driven(warm, {"command": ["sh", "-c", f"exit {number}"]}) as client:
            last, code, _, _ = client.end()
        assert (code, last) == (number, {"event": "exit", "code": number, "raw": number})


def test_words_are_exact_and_shell_is_the_configured_one(warm: Pigeon) -> None:
    words = ["printf", "%s|", "$HOME", "A=1", "", "a b", "*", "\udc80"]
    with driven(warm, {"command": words}) as client:
        assert client.end()[2] == b"$HOME|A=1||a b|*|\x80|"
    with driven(warm, {"command": ["echo $0 $1", "x  y", "z"], "shell": True}) as client:
        assert client.end()[2] == b"x y z\n"


def test_the_environment_that_is_given_counts_in_place_of_the_clients_own(warm: Pigeon) -> None:
    script = 'echo "$GIVEN|$OWN|$SSH_AUTH_SOCK|$SSH_TTY"'  # the last two are among those that stay behind ...
    own = {"OWN": "own", "SSH_AUTH_SOCK": "here", "SSH_TTY": "here"}
    given = {**own, "GIVEN": "é", "SSH_TTY": "said"}  # ... unless the program says something of its own
    del given["OWN"]
    with driven(warm, {"command": ["bash", "-c", script], "env": given}, extra=own) as client:
        assert client.end()[2].decode() == "é||" + "|said\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [(["no-such-program"], 127, "not found"), (["/etc/passwd"], 126, "may not be executed")],
)
def test_what_cannot_be_started_has_not_run(warm: Pigeon, words: list[str], code: int, says: str) -> None:
    with driven(warm, {"command": words}) as client:
        last, ended, _, err = client.end()
    assert (ended, err, last["kind"], last["may_have_run"]) == (code, b"", "not_started", False)
    assert says in last["message"]
    assert "started" not in names(client)


@pytest.mark.parametrize(
    "request_",
    [
        b"no json",
        b"[]",
        {"comand": ["true"]},
        {"command": []},
        {"command": ["a\0b"]},
        {"command": "true"},
        {"command": ["true"], "lock": "no"},
        {"command": ["true"], "shell": 1},
        {"command": ["true"], "env": {"A=": "1"}},
        {"command": ["true"], "env": {"A": 1}},
        {"command": ["true"], "claim_timeout": "soon"},
        {"command": ["true"], "namespace": "a/b"},
    ],
)
def test_a_request_that_is_wrong_is_refused_in_words(warm: Pigeon, request_: dict[str, Any] | bytes) -> None:
    before = warm.namespace.session_names()
    with driven(warm, request_) as client:
        last, code, out, err = client.end()
    assert (code, out, err, last["event"], last["kind"]) == (2, b"", b"", "failed", "usage")
    assert last["may_have_run"] is False
    assert warm.namespace.session_names() == before


def test_without_a_worker_it_says_why_it_waits_and_that_nothing_ran(pigeon: Pigeon) -> None:
    with driven(pigeon, {"command": ["true"], "claim_timeout": 1.2}) as client:
        assert "waiting for a worker" in client.until("waiting")["message"]
        last, code, _, err = client.end()
    assert (code, err, last["kind"], last["may_have_run"]) == (255, b"", "no_worker", False)
    assert "pigeon worker" in last["hint"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_a_signal_is_for_the_command(warm: Pigeon, number: int) -> None:
    with driven(warm, {"command": ["sleep", "60"]}) as client:
        client.until("started")
        client.write({"signal": int(number)})
        last, code, _, _ = client.end()
    assert (code, last["raw"], "hung_up" in last) == (-number, -number, False)


def test_a_kill_leaves_nothing(warm: Pigeon) -> None:
    pids = [warm.work / name for name in ("group", "session", "orphan")]
    script = (
        "trap '' HUP TERM INT; (setsid sh -c 'echo $$ >session; exec sleep 71') & "
        "bash -mc 'sleep 72 & echo $! >group; wait' & (sh -c 'echo $$ >orphan; exec sleep 73' &) ; sleep 74"
    )
    with driven(warm, {"command": ["sh", "-c", script]}) as client:
        client.until("started")
        wait_until(lambda: all(pid_in(path) for path in pids), describe="the three processes")
        client.write({"kill": True})
        last, code, _, _ = client.end()
    assert (code, last["raw"]) == (-9, -9)
    wait_until(lambda: all(has_ended(pid_in(path)) for path in pids), 10, "their ends")


def test_an_order_before_the_start_withdraws_the_session(pigeon: Pigeon) -> None:
    for order, number in (({"signal": 15}, 15), ({"kill": True}, 9), ({"hangup": True}, 1)):
        with driven(pigeon, {"command": ["touch", "ran"]}) as client:
            client.until("published")
            client.write(order)
            last, code, _, _ = client.end()
        assert (code, last["raw"], last["started"]) == (-number, -number, False)
    pigeon.worker()
    assert pigeon.run("true").code == 0
    assert not (pigeon.work / "ran").exists()


def test_a_hangup_is_followed_to_its_end(warm: Pigeon) -> None:
    with driven(warm, {"command": ["sh", "-c", "trap 'echo bye; exit 3' HUP; sleep 60 & wait"]}) as client:
        client.until("started")
        client.write({"hangup": True})
        last, code, out, _ = client.end()
    assert (code, out, last["raw"]) == (3, b"bye\n", 3)
    assert "hung up" in last["hung_up"]


def test_the_command_of_a_program_that_has_died_is_hung_up_unless_it_is_to_be_kept(warm: Pigeon) -> None:
    for keep in (False, True):
        path = warm.work / f"pid-{keep}"
        with driven(
            warm, {"command": ["sh", "-c", f"echo $$ >{path}; exec sleep 60"], "keep": keep}
        ) as client:
            client.until("started")
            pid = wait_until(partial(pid_in, path), describe="the command")
            client.leave()
            client.process.wait(10)
            if keep:
                assert not has_ended(pid)
                os.kill(pid, signal.SIGKILL)
            wait_until(partial(has_ended, pid), 10, "the command's end")


def test_stopped_by_another_it_says_so(warm: Pigeon) -> None:
    with driven(warm, {"command": ["sleep", "60"]}) as client:
        session = client.until("published")["session"]
        client.until("started")
        assert warm.run("stop", session).code == 0
        last, _, _, _ = client.end()
    assert "pigeon stop" in last["hung_up"]


def test_inside_a_session_it_runs_in_place(warm: Pigeon) -> None:
    program = (
        "import json, socket, subprocess, sys\n"
        "a, b = socket.socketpair()\n"
        "p = subprocess.Popen(sys.argv[1:] + ['--driven-by', str(b.fileno())], pass_fds=[b.fileno()])\n"
        "b.close(); a.sendall(json.dumps({'command': ['sh', '-c', 'echo $A; exit 4'], 'env': {'A': '1'}}).encode()"
        " + b'\\n')\n"
        "print(a.makefile().read(), p.wait())\n"
    )
    done = warm.run("env", "python3", "-c", program, *warm.command())
    assert done.stdout.split() == [b"1", b'{"event":"started","in_place":true}', b"4"], done
