"""A command's number after its end: whose it is by then."""

from __future__ import annotations

import signal
import subprocess

from pigeon.worker.relay.command import Command
from tests.helpers.waiting import wait_until


def test_a_number_that_is_anothers_by_now_is_signalled_no_more() -> None:
    ended = subprocess.Popen(["true"], start_new_session=True)
    command = Command(ended.pid, None, {}, master=None, keep=None)
    wait_until(lambda: command.try_wait() is not None, 10, "its end")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        command.pid = stranger.pid  # as the kernel gives numbers out again
        command.hang_up((signal.SIGHUP, signal.SIGTERM))
        command.send_signal(signal.SIGINT)
        assert stranger.poll() is None
        stranger.terminate()
        assert stranger.wait() == -signal.SIGTERM
    ended.returncode = 0  # it was reaped


def test_what_a_command_has_left_in_its_session_is_hung_up() -> None:
    script = "sleep 60 >/dev/null & echo $!"
    ended = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True)
    assert ended.stdout is not None
    left = int(ended.stdout.readline())
    ended.stdout.close()
    command = Command(ended.pid, None, {}, master=None, keep=None)
    wait_until(lambda: command.try_wait() is not None, 10, "its end")
    command.hang_up((signal.SIGHUP,))

    def is_gone() -> bool:
        try:
            with open(f"/proc/{left}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(is_gone, 10, "its end")
    ended.returncode = 0
