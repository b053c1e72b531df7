"""What `pigeon doctor` can only measure with a worker's help: how soon each side sees what the other did.

In a session of its own the worker runs `pigeon doctor --help-out NAME`, which says hello in the doctor's room on the
share, tries the lock that the doctor holds, and answers what appears there: names with names, bytes with bytes. Both
sides list before they open (FORMAT.md, "Publication").
"""

from __future__ import annotations

import os
import socket
import statistics
from collections.abc import Callable

from pigeon import clock
from pigeon.client.ask import question
from pigeon.client.session import submit
from pigeon.client.session.submit import Submission
from pigeon.commands.doctor.checks import FAIL, PASS, WARN, Finding, Patient
from pigeon.commands.ping import probe
from pigeon.config import Config
from pigeon.errors import PigeonError
from pigeon.report import session_view
from pigeon.wire import directories, files
from pigeon.wire.documents import KEEP
from pigeon.wire.files import Appender
from pigeon.wire.names import check_component
from pigeon.worker.locks import kinds
from pigeon.worker.locks.flock import try_flock

HELP_S = 10.0
"""Both sides give up after this, within the deadline of a check."""

DIRECTORY_S = 3.0
"""For one `true`; beside HELP_S it is within the deadline, too."""

NAMES = 5
BYTES = 10
SKEW_S = 60.0
SLOW_NAME_S = 2.0


def check_other_side(patient: Patient, config: Config) -> list[Finding]:
    """With a worker's help: how soon each side sees the other, does the lock exclude, do the clocks agree."""
    workers, live = session_view.live_workers(patient.place)
    if not session_view.fitting(workers, live, patient.route):
        return [Finding(WARN, "not measured: no worker answers", "start one, then run `pigeon doctor` again")]
    directories.make_directories(patient.room)
    for name in ("ping", "lock"):
        files.create(f"{patient.room}/{name}")
    lock = files.open_lock(f"{patient.room}/lock")
    try:
        try_flock(lock)
        submission = _ask_for_help(patient, config)
        return [*_converse(patient.room, submission), *judge_directory(patient, config)]
    finally:
        os.close(lock)


def _ask_for_help(patient: Patient, config: Config) -> Submission:
    request = question(["doctor", "--help-out", patient.room_name], config)
    request.route, request.on_disconnect = patient.route, KEEP
    return submit.publish(patient.place, request)


def _converse(room: str, submission: Submission) -> list[Finding]:
    until = clock.monotonic() + HELP_S
    while "hello" not in files.list_names(room):
        if clock.monotonic() > until:
            submission.withdraw("the doctor has left")
            text = "not measured: the worker did not come in time"
            return [Finding(WARN, text, "is it full? `pigeon sessions`")]
        clock.sleep(0.005)
    host, locked, skew = files.read(f"{room}/hello", 4096).decode().split("\n")[:3]
    return [
        _time_names(room, host, until),
        _time_bytes(room, host, until),
        _judge_lock(host, locked),
        _judge_clocks(host, float(skew), files.status_of(f"{room}/hello").st_mtime),
    ]


def _time_names(room: str, host: str, until: float) -> Finding:
    def call(number: int) -> bool:
        files.create(f"{room}/call.{number}")
        return _wait(lambda: f"answer.{number}" in files.list_names(room), until)

    median = _median(call, NAMES)
    if median is None:
        return Finding(FAIL, f"new names made here are not seen on {host}", "mount without `nocto`")
    text = f"a new name is seen on {host} and answered in {median * 1000:.1f} ms (median of {NAMES})"
    slow = "sessions start as late as that" if median > SLOW_NAME_S else ""
    return Finding(WARN if slow else PASS, text, slow)


def _time_bytes(room: str, host: str, until: float) -> Finding:
    ping = Appender(f"{room}/ping")

    def call(number: int) -> bool:
        ping.put(b"x")
        ping.flush()
        return _wait(lambda: files.size(f"{room}/pong") > number, until)

    median = _median(call, BYTES)
    if median is None:
        return Finding(FAIL, f"bytes appended here do not reach {host}", "mount without `nocto`")
    return Finding(
        PASS, f"a byte goes to {host} and comes back in {median * 1000:.1f} ms (median of {BYTES})"
    )


def _median(call: Callable[[int], bool], times: int) -> float | None:
    """Seconds that an answer takes; None once one does not come."""
    took = []
    for number in range(times):
        began = clock.monotonic()
        if not call(number):
            return None
        took.append(clock.monotonic() - began)
    return statistics.median(took)


def _wait(condition: Callable[[], bool], until: float) -> bool:
    while not condition():
        if clock.monotonic() > until:
            return False
        clock.sleep(0.001)
    return True


def judge_directory(patient: Patient, config: Config) -> list[Finding]:
    """Is the current directory the same one over there? Nothing to say if no answer comes: that is said already."""
    try:
        cwd = os.getcwd()
    except OSError:
        return [Finding(WARN, "the current directory cannot be used", "`cd` to one that exists")]
    answer = probe(patient.place, config, cwd, DIRECTORY_S)
    if answer is None:
        return []
    if answer.said:
        return [
            Finding(
                WARN, answer.said[0], "commands run in the directory where they are typed: `cd` to another"
            )
        ]
    return [Finding(PASS, f"`{cwd}` is the same directory over there")]


def _judge_lock(host: str, locked: str) -> Finding:
    here = host == socket.gethostname()
    if locked == "excluded":
        where = "between two processes of this host" if here else f"between this host and {host}"
        return Finding(PASS, f"flock excludes {where}")
    return Finding(WARN, f"flock does not exclude {host} ({locked})", kinds.remedy())


def _judge_clocks(host: str, theirs: float, stamped: float) -> Finding:
    """`theirs`: that host's clock when it said hello; `stamped`: the file server's, then."""
    ahead = clock.wall() - theirs
    if abs(ahead) > SKEW_S + HELP_S:
        text = f"the clocks differ by about {abs(ahead):.0f} s; only printed times are affected"
        return Finding(WARN, text, "run an NTP client on both")
    return Finding(PASS, f"the clocks agree (the file server's is {theirs - stamped:+.1f} s off {host}'s)")


def help_out(name: str, config: Config) -> int:
    """The worker's part, bounded in time. `name`: the doctor's room in the namespace. Raises PigeonError."""
    namespace = config.open_namespace()
    room = f"{namespace.root}/{check_component('room', name)}"
    try:
        _say_hello(room)
        _answer(room, clock.monotonic() + HELP_S)
    except OSError as error:
        raise PigeonError(f"the doctor's room `{room}` cannot be used here: {error.strerror}") from error
    return 0


def _say_hello(room: str) -> None:
    _wait(lambda: "lock" in files.list_names(room), clock.monotonic() + HELP_S)
    fd = files.open_lock(f"{room}/lock")
    try:
        locked = "acquired" if try_flock(fd) else "excluded"
    except OSError as error:
        locked = error.strerror or str(error)
    finally:
        os.close(fd)
    files.create(f"{room}/pong")
    files.replace(f"{room}/hello", f"{socket.gethostname()}\n{locked}\n{clock.wall()}\n".encode())


def _answer(room: str, until: float) -> None:
    pong = Appender(f"{room}/pong")
    answered = 0
    while clock.monotonic() < until and pong.offset < BYTES:
        if answered < NAMES and f"call.{answered}" in files.list_names(room):
            files.create(f"{room}/answer.{answered}")
            answered += 1
        elif answered == NAMES and files.size(f"{room}/ping") > pong.offset:
            pong.put(b"x")
            pong.flush()
        else:
            clock.sleep(0.001)
