"""Moving bytes between a running command and its session's files, until both are done.

One loop, one thread, no blocking call but `poll` and the operations on the share. What the loop waits for, and what
it does then, is spread over small methods; the decisions (pacing, escalation, what counts as silence) are tables and
pure classes elsewhere. What has a state of its own (signs of life, the session's directory,
the announcement, the hang-up, trouble) is a small class, which the loop asks at its turn; only the loop ends the
command, or switches to another client.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass

from pigeon import clock, trace
from pigeon.errors import DamagedSession
from pigeon.wire import events, files
from pigeon.wire.names import TAKEOVER_NAME, SessionFiles
from pigeon.wire.pacing import INTERACTIVE, interval, polite
from pigeon.wire.records import DETACHED, HANGUP, KILL, OUTPUT_CLOSED
from pigeon.worker.relay.announcement import Announcement
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.hangup import Hangup
from pigeon.worker.relay.inbound import STOP, Inbound
from pigeon.worker.relay.liveness import Answers, ClientWatch
from pigeon.worker.relay.outbound import BRISK_S, Outbound
from pigeon.worker.relay.session_watch import Newcomers, SessionWatch
from pigeon.worker.relay.trouble import ShareTrouble

QUIET_S = {True: 0.05, False: 3.0}
"""On a terminal (True) or pipes (False): after the command's end, output that has paused for this long is all of it.
A background process may hold the descriptors open for ever; on pipes it may also be a filter (`> >(sort)`), which the
shell does not wait for, at the last lines."""

DRAIN_S = 5.0
"""And no longer than this while the client keeps up."""

OUTPUT_CLOSED_GRACE_S = 2.0
"""A command whose reader has gone gets SIGPIPE at its next write; one that does not write is hung up after this."""


@dataclass
class CommandEnd:
    """How a command ended. `cancelled` says why it was hung up; `is_superseded`: write nothing more."""

    return_code: int
    cancelled: str | None = None
    failed: str | None = None
    is_superseded: bool = False
    is_unkillable: bool = False


@dataclass
class RunnerSide:
    """What a relay needs of its runner, beyond the command and the files."""

    client: ClientWatch
    note: Callable[..., None]
    """Records an event in the journal and the debug log: name, then details."""
    stop_requested: Callable[[], bool]
    wakeup_fd: int
    lock_is_lost: Callable[[], bool]
    keep_directory: Callable[[], None]
    """Called at each listing: take what of the directory's lock is still to be had."""
    announce: Callable[[], bool]
    """Bookkeeping on the share that nobody waits for; called once, when there is nothing better to do. False: the
    session has been taken over."""


class Relay:
    """The loop of one session."""

    def __init__(
        self,
        session: SessionFiles,
        command: Command,
        outbound: Outbound,
        inbound: Inbound,
        runner: RunnerSide,
    ) -> None:
        self.session = session
        self.command = command
        self.outbound = outbound
        self.inbound = inbound
        self.runner = runner
        self.return_code: int | None = None
        self.ended_at = 0.0
        self._now = clock.monotonic()
        self.announcement = Announcement(runner.announce, outbound, runner.note, self._now)
        self._session_watch = SessionWatch(
            session, runner.lock_is_lost, self._now, is_alone=not runner.client.judges
        )
        self._newcomers = Newcomers(inbound, command, runner.note)
        self._answers = Answers(inbound, outbound, self._now)
        self._active = self._now
        # What the client has sent can wait for as long as `started` takes: most commands read nothing at once.
        self._next_look = self._now + interval(INTERACTIVE, 0.0)
        # Apart: what cannot be read must not hold back what can be written, nor the other way round.
        self._reading, self._writing = ShareTrouble(), ShareTrouble()
        self._hangup = Hangup(command)
        self._superseded = False
        self._is_unheard = False
        self._skips_control = False
        self._output_closed_at: float | None = None
        self._stdin = command.stdin if command.master is None else None
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._set_mask(command.pidfd, select.POLLIN)
        self._set_mask(runner.wakeup_fd, select.POLLIN)
        self._began = self._now
        outbound.brisk_until = self._now + BRISK_S

    def run(self, store_result: Callable[[int], bool]) -> CommandEnd:
        """Relay until the command has ended and its output is written, all but the exit event.

        `store_result` gets the return code as soon as it is known, and tells whether this runner still owns the
        session; the exit event may be written only after that.
        """
        while not self._is_done():
            if self._now >= self._next_look:
                self._look()
            if self.inbound.has_input and self.inbound.write(self.command):
                trace.mark("runner: input passed on")
                self._answers.took_input(self._now)
            self._speak()
            if self._superseded:
                break  # the command's end, too, is another's by now
            if self.return_code is None:
                self._hangup.proceed(self._now)
            self._wait()
            self._now = clock.monotonic()
            if self._session_watch.was_absent():
                self.inbound.silence.failed()
            if self.return_code is None:
                self._reap(store_result)
        return self._ending()

    # Waiting

    def _wait(self) -> None:
        reading = select.POLLIN if self.outbound.may_read() else 0
        for fd in self.command.outputs:
            mask = reading
            if fd == self.command.stdin and self.inbound.has_input:
                mask |= select.POLLOUT
            self._set_mask(fd, mask)
        stdin = self._stdin  # once it is closed, asking for it would be answered at once, for ever
        if stdin is not None and stdin not in self.command.outputs:
            wanted = self.command.stdin is not None and self.inbound.has_input
            self._set_mask(stdin, select.POLLOUT if wanted else 0)
        for fd, _ in self._poll.poll(self._timeout() * 1000):
            if fd in self.command.outputs:
                self._read(fd)
            elif fd == self.runner.wakeup_fd:
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
            waits.append(max(due, self._writing.retry_at - now))
        if self._answers.due is not None:
            waits.append(self._answers.due - now)
        if self._hangup.has_begun or self.return_code is not None:
            waits.append(0.02)
        if not self.announcement.is_done and self.return_code is None:
            waits.append(max(self.announcement.next_at, self._writing.retry_at) - now)
        return max(0.0, min(waits))

    def _read(self, fd: int) -> None:
        if not self.outbound.may_read():
            return
        now = clock.monotonic()
        if not self.outbound.read(fd, self.command.outputs[fd], now):
            self._forget(fd)
            self.command.close_output(fd)
        trace.mark("runner: output read")
        self._active = now

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
        if self._superseded or self._hangup.is_hopeless(self._now):
            return True
        if self.return_code is None:
            return False
        if self.command.outputs and not self.outbound.is_full:
            if not self.outbound.may_read():
                if self._hangup.has_begun or self._is_unheard:
                    return True
                self.ended_at = self.outbound.last_output = self._now
                return False
            limit = QUIET_S[self.command.master is not None or self._hangup.has_begun]
            if self._now - self.outbound.last_output < limit and self._now - self.ended_at < DRAIN_S:
                return False
        return True

    def _ending(self) -> CommandEnd:
        code = self.return_code
        if self.command.outputs and self.command.master is None and not self._hangup.has_begun:
            self.outbound.say(
                events.notice(
                    "the command has ended; a background process holds its output open, and is left to it"
                )
            )
        return CommandEnd(
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
            if self._session_watch.is_due(began):
                self._list()
            if self._superseded:
                return
            # Keys come through the input, so after a while of silence control is looked at every other time.
            self._skips_control = (
                self.command.master is not None and not self._skips_control and began - self._active > 60
            )
            if not self._skips_control and self.inbound.poll_control(began, self.command):
                self._brisk()
                self._answers.owe(began)
            if self.return_code is None and self.inbound.poll_input(self.command):
                trace.mark("runner: input read")
                self._brisk()
                if self.inbound.had_bulk and self.inbound.saw_eof:
                    self._answers.owe(began)  # its writer removes the last segment then
            self._trouble_over(self._reading)
        except files.Refused as error:
            self._hang_up(failed=f"`{error.filename}` cannot be trusted: {error.strerror}")
            self._trouble_began(self._reading, error)
        except OSError as error:
            self._trouble_began(self._reading, error)
        except DamagedSession as error:
            self._hang_up(failed=error.message)
        self._answer_client()
        self._judge_client()
        after = clock.monotonic()
        wait = interval(INTERACTIVE, after - self._active)
        if self.inbound.saw_eof and self.command.master is None:
            wait = max(wait, 0.02)  # only signals can come, and acknowledgements
        wait = 0.0 if self.inbound.has_more else polite(wait, self.inbound.cost_s)
        self._next_look = max(after + wait, self._reading.retry_at)

    def _brisk(self) -> None:
        self._active = self._now
        self.outbound.brisk_until = self._now + BRISK_S

    def _list(self) -> None:
        names = self._session_watch.list_names(self._now)
        if TAKEOVER_NAME in names:
            self._supersede("another worker has taken the session over")
            return
        if self.return_code is None:
            self.runner.keep_directory()
            attacher = self._newcomers.newest_attacher(names)
            if attacher is not None:
                self._switch(attacher)
        if self._session_watch.lost_lock(self._now):
            self.runner.note("lock_lost")
            self.outbound.say(
                events.notice(
                    "the lock of this directory was lost (the file server dropped it); "
                    "another command may start in the same directory"
                )
            )

    def _switch(self, attacher: int) -> None:
        """From now on the newest attacher is the client."""
        self.inbound.switch(attacher)
        self.runner.client.attached()
        self._session_watch.is_alone = False
        self.runner.note("attached", n=attacher)
        self.outbound.acknowledge_all()
        self.outbound.takes_bulk = self.inbound.takes_bulk
        self.outbound.say(events.attached(attacher))
        self._brisk()

    def _left_alone(self) -> None:
        """Nobody takes what is said: so nobody may hold it back, for ever, either."""
        self._session_watch.is_alone = True
        self.outbound.acknowledged = None

    def _answer_client(self) -> None:
        if self.inbound.acknowledged is not None:
            self.outbound.acknowledged, self.inbound.acknowledged = self.inbound.acknowledged, None
            self.outbound.acknowledged_bulk = self.inbound.acknowledged_bulk
            self.outbound.release()
        self.outbound.judge_watching(self._now - self._began)
        if self.inbound.delivered:
            self.runner.note("signals", numbers=self.inbound.delivered[:100])
            self.inbound.delivered.clear()
        for request in self.inbound.requests:
            self.runner.note(f"client_{request}")
            if request == HANGUP:
                self._hang_up(cancelled="its client hung up")
            elif request == KILL:
                self.command.kill_all(self.session.session_id)
                self._hang_up(cancelled="its client killed it")
            elif request == STOP:
                self._hang_up(cancelled="it was stopped by `pigeon stop`")
            elif request == DETACHED:
                self.runner.client.detached()
                self._left_alone()
            elif request == OUTPUT_CLOSED:
                self._close_outputs()
        self.inbound.requests.clear()
        if self.runner.stop_requested():
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
        message = None if self._hangup.has_begun else self.runner.client.found_lost(self.inbound)
        if message is None:
            return
        self.runner.note("client_lost", message=message)
        self.outbound.say(events.client_lost(message))
        self._left_alone()
        if not self.runner.client.keeps:
            self._hang_up(cancelled=message)

    # Saying things on the stream

    def _speak(self) -> None:
        if self._superseded or self._now < self._writing.retry_at:
            return
        self._answers.say(self._now)
        if self.outbound.is_full and self.return_code is None:
            self._hang_up(failed="the session wrote as much as `max_stream` allows")
        if (
            self.return_code is None
            and self.announcement.is_due(self._now)
            and not self.announcement.do(self._now)
        ):
            self._supersede("another worker has taken the session over")
        if self.outbound.due(self._now) == 0.0 and not self._superseded:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._session_watch.must_list:
                self._list()
                if self._superseded:
                    return
            said = self.outbound.stream.lines.offset
            self.outbound.flush(self._now)
            trace.mark("runner: stream written")
            # Who watches over the session from elsewhere looks at the lines alone: segments are no sign of life.
            if self.outbound.stream.lines.offset > said:
                self._answers.said_at = self._now
            self._trouble_over(self._writing)
            if self.outbound.nearly_full():
                self.outbound.say(
                    events.notice("nine tenths of what this session may write (`max_stream`) are used")
                )
        except OSError as error:
            self._trouble_began(self._writing, error)
        self._active = max(self._active, self.outbound.last_output)

    def _trouble_began(self, trouble: ShareTrouble, error: OSError) -> None:
        self._session_watch.must_list = True
        self.inbound.silence.failed()
        if trouble.failed(self._now, error):
            self.runner.note("share_trouble", error=str(error))
        failing_s = self._now - (trouble.since or self._now)
        if self._session_watch.prove_removal(error, failing_s):
            self._supersede("the session's directory has been removed")

    def _trouble_over(self, trouble: ShareTrouble) -> None:
        if trouble.succeeded():
            self.runner.note("share_recovered")

    # Ending the command

    def _hang_up(self, *, cancelled: str | None = None, failed: str | None = None) -> None:
        if self.return_code is not None:
            # It has ended already, with a result that stands; what is left of its output waits for no reader any more.
            self._is_unheard, self.outbound.acknowledged = True, None
        elif self._hangup.begin(self._now, cancelled=cancelled, failed=failed):
            self.runner.note("hangup", reason=cancelled or failed)

    def _supersede(self, reason: str) -> None:
        """Somebody else ends the session: hang the command up and write nothing more."""
        self.runner.note("superseded", reason=reason)
        self._superseded = True
