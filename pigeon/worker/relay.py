"""Moving bytes between a running command and its session's files, until both are done.

One loop, one thread, no blocking call but `poll` and the operations on the share. What the loop waits for, and what
it does then, is spread over small methods; the decisions (pacing, escalation, what counts as silence) are tables and
pure classes elsewhere.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass

from pigeon import clock, trace
from pigeon.errors import DamagedSession
from pigeon.wire.names import SessionFiles, attachment_number
from pigeon.wire.pacing import HEARTBEAT_S, INTERACTIVE, Backoff, interval, polite
from pigeon.worker.hangup import Hangup
from pigeon.worker.inbound import Inbound
from pigeon.worker.outbound import BRISK_S, Outbound
from pigeon.worker.process import Command
from pigeon.worker.trouble import Trouble

QUIET_S = {True: 0.05, False: 3.0}
"""On a terminal (True) or pipes (False): after the command's end, output that has paused for this long is all of it.
A background process may hold the descriptors open for ever; on pipes it may also be a filter (`> >(sort)`), which the
shell does not wait for, at the last lines."""

DRAIN_S = 5.0
"""And no longer than this while the client keeps up."""

LIST_S = 2.0
"""Between two listings of the session directory, which show attachers and a takeover."""

LOCK_CHECK_S = 20.0
"""Between two questions whether the directory's lock still holds; also asked after each trouble with the share."""

ABSENCE_S = 5.0
"""After a pause this long between two looks (stopped, suspended, stalled) the owner may have been superseded."""

ACK_BYTES = 1024 * 1024
ACK_S = 0.3
"""Input is acknowledged after this many bytes, or after this long if nothing else was said meanwhile, so that a client
knows a silent program from a silent session."""

OUTPUT_CLOSED_GRACE_S = 2.0
"""A command whose reader has gone gets SIGPIPE at its next write; one that does not write is hung up after this."""

REMOVED_S = 3.0
"""A session whose directory has been missing for this long, though its parent can be listed, can have no end."""

CHORES_S = 0.02
"""A command that ends sooner was never seen to run: it goes from `pending` to its end, which saves it three writes."""

CHORES_BYTES = 256 * 1024
"""But one that has so much to say may fill the share with it, and the room for its end has to be taken before."""


@dataclass
class Ending:
    """How a command ended. `cancelled` says why it was hung up; `is_superseded`: write nothing more."""

    return_code: int
    cancelled: str | None = None
    failed: str | None = None
    is_superseded: bool = False
    is_unkillable: bool = False


@dataclass
class Watch:
    """What a relay has to know beyond its command and files."""

    judges_client: bool
    keeps: bool
    client_timeout_s: float
    note: Callable[..., None]
    """Records an event in the journal and the debug log: name, then details."""
    stop_requested: Callable[[], bool]
    wakeup_fd: int
    lock_is_lost: Callable[[], bool]
    chores: Callable[[], bool]
    """Bookkeeping on the share that nobody waits for; called once, when there is nothing better to do. False: the
    session has been taken over."""


class Relay:
    """The loop of one session."""

    def __init__(
        self, session: SessionFiles, command: Command, outbound: Outbound, inbound: Inbound, watch: Watch
    ) -> None:
        self.session = session
        self.command = command
        self.outbound = outbound
        self.inbound = inbound
        self.watch = watch
        self.return_code: int | None = None
        self.chores_done = False
        self.ended_at = 0.0
        self._now = clock.monotonic()
        self._chores_at = self._now + CHORES_S
        self._chores_backoff = Backoff()
        self._chores_failed = False
        self._active = self._now
        self._next_look = self._now
        self._next_list = self._now + LIST_S
        self._said_at = self._now
        self.last_seen = clock.boottime()
        self._ack_due: float | None = None
        self._owes_since = 0.0
        self._trouble = Trouble()
        self._hangup = Hangup(command)
        self._superseded = False
        self._must_list = False
        self._visited: set[int] = set()
        self._seen_empty: set[int] = set()
        self._skips_control = False
        self._output_closed_at: float | None = None
        self._lock_lost = False
        self._next_lock_check = self._now + LOCK_CHECK_S
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._set_mask(command.pidfd, select.POLLIN)
        self._set_mask(watch.wakeup_fd, select.POLLIN)
        outbound.brisk_until = self._now + BRISK_S

    def run(self, store_result: Callable[[int], bool]) -> Ending:
        """Relay until the command has ended and its output is written, all but the exit event.

        `store_result` gets the return code as soon as it is known, and tells whether this runner still owns the
        session; the exit event may be written only after that.
        """
        while True:
            self._wait()
            self._now = clock.monotonic()
            self._notice_absence()
            if self.return_code is None:
                self._reap(store_result)
            if self._now >= self._next_look:
                self._look()
            if self.inbound.has_input and self.inbound.write(self.command):
                self._took_input()
            self._speak()
            if self.return_code is None:
                self._hangup.proceed(self._now)
            if self._superseded or self._is_done():
                return self._ending()

    # Waiting

    def _wait(self) -> None:
        reading = select.POLLIN if self.outbound.may_read() else 0
        for fd in self.command.outputs:
            mask = reading
            if fd == self.command.stdin and self.inbound.has_input:
                mask |= select.POLLOUT
            self._set_mask(fd, mask)
        stdin = self.command.stdin
        if stdin is not None and stdin not in self.command.outputs:
            self._set_mask(stdin, select.POLLOUT if self.inbound.has_input else 0)
        for fd, _ in self._poll.poll(self._timeout() * 1000):
            if fd in self.command.outputs:
                self._read(fd)
            elif fd == self.watch.wakeup_fd:
                os.read(fd, 4096)

    def _set_mask(self, fd: int, mask: int) -> None:
        if self._masks.get(fd, 0) != mask:
            if mask:
                self._poll.register(fd, mask)
            else:
                self._poll.unregister(fd)
            self._masks[fd] = mask

    def _forget(self, fd: int) -> None:
        self._set_mask(fd, 0)

    def _timeout(self) -> float:
        now = clock.monotonic()
        waits = [self._next_look - now]
        due = self.outbound.due(now)
        if due is not None:
            waits.append(max(due, self._trouble.retry_at - now))
        if self._ack_due is not None:
            waits.append(self._ack_due - now)
        if self._hangup.has_begun or self.return_code is not None:
            waits.append(0.02)
        if not self.chores_done and self.return_code is None:
            waits.append(self._chores_at - now)
        return max(0.0, min(waits))

    def _read(self, fd: int) -> None:
        if not self.outbound.may_read():
            return
        now = clock.monotonic()
        if not self.outbound.read(fd, self.command.outputs[fd], now):
            self._forget(fd)
            self.command.close_output(fd)
        self._active = now

    def _notice_absence(self) -> None:
        seen = clock.boottime()
        if seen - self.last_seen > ABSENCE_S:
            self._must_list = True
            self.inbound.silence.failed()
        self.last_seen = seen

    # The command's end

    def _reap(self, store_result: Callable[[int], bool]) -> None:
        self.return_code = self.command.try_wait()
        if self.return_code is None:
            return
        trace.mark("runner: command ended")
        self.ended_at = self._now
        self.outbound.last_output = self._now
        self._forget(self.command.pidfd)
        if not store_result(self.return_code):
            self._supersede("another process has recovered the session")

    def _is_done(self) -> bool:
        if self._hangup.is_hopeless(self._now):
            return True
        if self.return_code is None:
            return False
        if self.command.outputs and not self.outbound.is_full:
            if not self.outbound.may_read():
                if self._hangup.has_begun:
                    return True
                self.ended_at = self.outbound.last_output = self._now
                return False
            limit = QUIET_S[self.command.master is not None or self._hangup.has_begun]
            if self._now - self.outbound.last_output < limit and self._now - self.ended_at < DRAIN_S:
                return False
        return True

    def _ending(self) -> Ending:
        code = self.return_code
        if self.command.outputs and self.command.master is None and not self._hangup.has_begun:
            self.outbound.say(
                "notice",
                message="the command has ended; a background process holds its output open, and is left to it",
            )
        return Ending(
            return_code=-9 if code is None else code,
            cancelled=self._hangup.cancelled,
            failed=self._hangup.failed,
            is_superseded=self._superseded,
            is_unkillable=code is None and not self._superseded,
        )

    # Looking at what the client wrote

    def _look(self) -> None:
        began = self._now
        try:
            if self._must_list or began >= self._next_list:
                self._list()
            if self._superseded:
                return
            # Keys come through the input, so after a while of silence control is looked at every other time.
            self._skips_control = (
                self.command.master is not None and not self._skips_control and began - self._active > 60
            )
            if not self._skips_control and self.inbound.poll_control(began, self.command):
                self._brisk()
                self._owe_answer()
            if self.return_code is None and self.inbound.poll_input(self.command):
                self._brisk()
            if not self.outbound.appender.queued_bytes:
                self._trouble_over()  # else it is the writing that fails, and a read says nothing of it
        except OSError as error:
            self._trouble_began(error)
        except DamagedSession as error:
            self._hang_up(failed=error.message)
        self._answer_client()
        self._judge_client()
        after = clock.monotonic()
        wait = interval(INTERACTIVE, after - self._active)
        if self.inbound.saw_eof and self.command.master is None:
            wait = max(wait, 0.02)  # only signals can come, and acknowledgements
        wait = 0.0 if self.inbound.has_more else polite(wait, self.inbound.cost_s)
        self._next_look = max(after + wait, self._trouble.retry_at)

    def _brisk(self) -> None:
        self._active = self._now
        self.outbound.brisk_until = self._now + BRISK_S

    def _list(self) -> None:
        names = os.listdir(self.session.directory)
        if self._must_list:
            self._next_lock_check = self._now
        self._must_list = False
        self._next_list = self._now + LIST_S
        if "takeover.claim" in names:
            self._supersede("another worker has taken the session over")
            return
        if self.return_code is None:
            self._receive(sorted(n for n in map(attachment_number, names) if n > self.inbound.attachment))
        if self._lock_lost or self._now < self._next_lock_check:
            return
        self._next_lock_check = self._now + LOCK_CHECK_S
        if self.watch.lock_is_lost():
            self._lock_lost = True
            self.watch.note("lock_lost")
            self.outbound.say(
                "notice",
                message="the lock of this directory was lost (the file server dropped it); "
                "another command may start in the same directory",
            )

    def _receive(self, numbers: list[int]) -> None:
        """New attachers: the newest becomes the client; a visitor's orders are carried out and change nothing else."""
        attachers = []
        for number in numbers:
            if number in self._visited:
                continue
            try:
                kind = self.inbound.look_at(number, self.command)
            except DamagedSession as error:
                self.watch.note("attacher_refused", n=number, error=error.message)
                kind = "visitor"
            if kind == "visitor":
                self._visited.add(number)
            elif kind == "attacher" or number in self._seen_empty:
                attachers.append(number)
            else:
                self._seen_empty.add(
                    number
                )  # it says nothing yet: it is taken for an attacher at the next turn
        if attachers:
            self.inbound.switch(attachers[-1])
            self.watch.judges_client = True
            self.watch.note("attached", n=attachers[-1])
            self.outbound.acknowledged = self.outbound.appender.end
            self.outbound.say("attached", n=attachers[-1])
            self._brisk()

    def _answer_client(self) -> None:
        for request in self.inbound.requests:
            self.watch.note(f"client_{request}")
            if request == "hangup":
                self._hang_up(cancelled="its client hung up")
            elif request == "stop":
                self._hang_up(cancelled="it was stopped by `pigeon stop`")
            elif request == "detached":
                self.watch.judges_client = False
                self.watch.keeps = True
            elif request == "output_closed":
                self._close_outputs()
        self.inbound.requests.clear()
        if self.inbound.acknowledged is not None:
            self.outbound.acknowledged = self.inbound.acknowledged
        if self.watch.stop_requested():
            self._hang_up(cancelled="the worker was stopped")

    def _close_outputs(self) -> None:
        """The client's reader has gone: let the command find out by SIGPIPE, as in a local pipeline."""
        if self.command.master is not None:
            self._hang_up(cancelled="the client's output was closed")
            return
        for fd in list(self.command.outputs):
            self._forget(fd)
            self.command.close_output(fd)
        self._output_closed_at = self._now

    def _judge_client(self) -> None:
        if self._output_closed_at is not None and self._now - self._output_closed_at > OUTPUT_CLOSED_GRACE_S:
            self._hang_up(cancelled="the client's output was closed")
        if not self.watch.judges_client or self.inbound.is_suspended or self._hangup.has_begun:
            return
        silence = self.inbound.silence.seconds
        if silence < self.watch.client_timeout_s:
            return
        message = f"the client has been silent for {silence:.0f} s"
        self.watch.note("client_lost", message=message)
        self.outbound.say("client_lost", message=message)
        self.watch.judges_client = False
        if not self.watch.keeps:
            self._hang_up(cancelled=message)

    def _owe_answer(self) -> None:
        """Somebody wants something: say so soon, if nothing else is said, so that he knows that he was heard."""
        if self._ack_due is None:
            self._ack_due = self._now + ACK_S
            self._owes_since = self._now

    def _took_input(self) -> None:
        if self.inbound.taken_offset - self.inbound.acknowledged_input >= ACK_BYTES:
            self._ack_due = self._now
        else:
            self._owe_answer()

    # Saying things on the stream

    def _speak(self) -> None:
        if self._superseded or self._now < self._trouble.retry_at:
            return
        self._say_acknowledgement()
        if self._now - self._said_at >= HEARTBEAT_S:
            self.outbound.say("heartbeat")
            self._said_at = self._now  # once is enough however long a failing share keeps it back
        if self.outbound.nearly_full():
            self.outbound.say(
                "notice", message="nine tenths of what this session may write (`max_stream`) are used"
            )
        if self.outbound.is_full and self.return_code is None:
            self._hang_up(failed="the session wrote as much as `max_stream` allows")
        is_big = self.outbound.volume >= CHORES_BYTES
        if self._chores_are_due(is_big) and (is_big or self.outbound.due(self._now) != 0.0):
            self._do_chores()
        if self.outbound.due(self._now) == 0.0 and not self._superseded:
            self._flush()

    def _chores_are_due(self, is_big: bool) -> bool:
        if self.chores_done or self.return_code is not None:
            return False
        return self._now >= self._chores_at or (is_big and not self._chores_failed)

    def _say_acknowledgement(self) -> None:
        if self._ack_due is None or self._now < self._ack_due:
            return
        self._ack_due = None
        if self.inbound.taken_offset != self.inbound.acknowledged_input:
            self.inbound.acknowledged_input = self.inbound.taken_offset
            self.outbound.say("ack", offset=self.inbound.taken_offset)
        elif self._said_at < self._owes_since:
            self.outbound.say("heartbeat")

    def _flush(self) -> None:
        try:
            if self._must_list:
                self._list()
                if self._superseded:
                    return
            self.outbound.flush(self._now)
            self._said_at = self._now
            self._trouble_over()
        except OSError as error:
            self._trouble_began(error)
        self._active = max(self._active, self.outbound.last_output)

    def _do_chores(self) -> None:
        try:
            if not self.watch.chores():
                self._supersede("another worker has taken the session over")
            self.chores_done = True
        except OSError as error:
            # With a pace of its own: what fails here (a new file on a full share) says nothing of the stream.
            if not self._chores_failed:
                self._chores_failed = True
                self.watch.note("share_trouble", error=str(error))
            self._chores_at = self._now + self._chores_backoff.failed()

    def _trouble_began(self, error: OSError) -> None:
        self._must_list = True
        self.inbound.silence.failed()
        if self._trouble.failed(self._now, error):
            self.watch.note("share_trouble", error=str(error))
        since = self._trouble.since
        if isinstance(error, FileNotFoundError) and since is not None and self._now - since > REMOVED_S:
            try:
                names = os.listdir(os.path.dirname(self.session.directory))
            except OSError:
                return  # what cannot be listed is not proven gone
            if self.session.session_id not in names:
                self._supersede("the session's directory has been removed")

    def _trouble_over(self) -> None:
        if self._trouble.succeeded():
            self.watch.note("share_recovered")

    # Ending the command

    def _hang_up(self, *, cancelled: str | None = None, failed: str | None = None) -> None:
        if self.return_code is None and self._hangup.begin(self._now, cancelled=cancelled, failed=failed):
            self.watch.note("hangup", reason=cancelled or failed)

    def _supersede(self, reason: str) -> None:
        """Somebody else ends the session: hang the command up and write nothing more."""
        self.watch.note("superseded", reason=reason)
        self._superseded = True
