"""A session followed without a terminal: by functions, and on descriptors that are not the process's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from pigeon.client.outcome import Outcome
from pigeon.client.session import submit
from pigeon.client.session.callback_front import CallbackFront
from pigeon.client.session.conversation import Conversation
from pigeon.client.session.descriptor_front import DescriptorFront
from pigeon.client.session.front import Front
from pigeon.client.session.options import Options
from pigeon.wire import share
from pigeon.wire.documents import CLIENT_FEATURES, Request
from pigeon.wire.names import new_session_id
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


class Followed:
    """A client in a thread of this process, with what its functions were told."""

    def __init__(self, pigeon: Pigeon, text: str) -> None:
        self.output: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self.told: list[str] = []
        self.front = CallbackFront(self._take, self._note, self.told.append)
        self.conversation = conversation(pigeon, text, self.front, Options())
        self.outcome: Outcome | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _take(self, channel: str, data: bytes) -> None:
        self.output[channel] += data

    def _note(self, text: str, verbose: bool) -> None:
        self.told.append(f"{'-v ' if verbose else ''}{text}")

    def _run(self) -> None:
        self.outcome = self.conversation.run()

    def end(self) -> Outcome:
        self.thread.join(30)
        assert self.outcome is not None, f"it still runs: {self.told} {self.output}"
        return self.outcome

    def until(self, channel: str, text: bytes) -> None:
        wait_until(lambda: text in self.output[channel], 20, lambda: f"{text!r} in {self.output}")


def conversation(pigeon: Pigeon, text: str, front: Front, options: Options) -> Conversation:
    request = Request(new_session_id(), ["bash", "-c", text], str(pigeon.work))
    request.env = {"PATH": os.environ["PATH"]}
    request.pty, request.lock = False, "none"
    request.features = CLIENT_FEATURES
    submission = submit.publish(share.enter(str(pigeon.share.client_path), "test"), request)
    return Conversation(submission, options, front)


@pytest.fixture
def follow(warm: Pigeon) -> Iterator[Callable[[str], Followed]]:
    began: list[Followed] = []

    def start(text: str) -> Followed:
        began.append(Followed(warm, text))
        return began[-1]

    yield start
    for one in began:
        one.front.hang_up()
        one.thread.join(30)
        one.front.close()


def test_input_output_states_and_an_end(follow: Callable[[str], Followed]) -> None:
    one = follow('read -r x; echo "got $x"; echo bad >&2; cat; exit 7')
    one.front.send(b"first\n")
    one.until("stdout", b"got first\n")
    assert one.outcome is None
    one.front.send(b"rest")
    one.front.end_input()
    assert one.end().code == 7
    assert one.output == {"stdout": b"got first\nrest", "stderr": b"bad\n"}
    assert "started" in one.told


def test_many_at_once_in_one_process(follow: Callable[[str], Followed]) -> None:
    """None of them shares anything with another."""
    many = [follow(f"cat; exit {n}") for n in range(4)]
    for n, one in enumerate(many):
        one.front.send(b"%d" % n * 100_000)
        one.front.end_input()
    for n, one in enumerate(many):
        assert one.end().code == n
        assert one.output["stdout"] == b"%d" % n * 100_000


def test_signals_and_hanging_up(follow: Callable[[str], Followed]) -> None:
    text = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done"
    one = follow(text)
    one.until("stdout", b"ready\n")
    one.front.signal(10)
    one.until("stdout", b"usr1\n")
    one.front.hang_up()
    assert one.end().code == 255


def test_a_session_that_nobody_takes_is_withdrawn(pigeon: Pigeon) -> None:
    told: list[str] = []
    with closing(CallbackFront(lambda channel, data: None, lambda text, verbose: told.append(text))) as front:
        options = Options()
        options.claim_timeout_s = 2.0
        outcome = conversation(pigeon, "true", front, options).run()
    assert outcome.code == 255
    assert "no worker has taken the session within 2 s" in outcome.message
    assert any("waiting for a worker" in text for text in told)


def test_descriptors_of_the_callers_choice(warm: Pigeon) -> None:
    (in_r, in_w), (out_r, out_w), (err_r, err_w) = os.pipe(), os.pipe(), os.pipe()
    os.write(in_w, b"through\n")
    os.close(in_w)
    options = Options()
    options.speaks = True
    front = DescriptorFront(options, stdin=in_r, stdout=out_w, stderr=err_w)
    outcome = conversation(warm, "cat; echo e >&2; exit 3", front, options).run()
    front.close()
    for fd in (in_r, out_w, err_w):
        os.close(fd)
    assert outcome.code == 3
    for fd, said in ((out_r, b"through\n"), (err_r, b"e\n")):
        assert (os.read(fd, 100), os.read(fd, 100)) == (said, b"")
    os.close(out_r)
    os.close(err_r)
