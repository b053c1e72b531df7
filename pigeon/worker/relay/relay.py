"""Moving bytes between a running command and its session's files, until both are done.

One loop, one thread, no blocking call but `poll` and the operations on the share. What the loop waits for, and what
it does then, is spread over small methods; the decisions (pacing, escalation, what counts as silence) are tables and
pure classes elsewhere. What has a state of its own (signs of life, the session's directory,
the announcement, the hang-up, trouble) is a small class, which the loop asks at its turn; only the loop ends the
command, or switches to another client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pigeon import clock, trace
from pigeon.errors import DamagedSession
from pigeon.wire import events, files
from pigeon.wire.names import TAKEOVER_NAME, SessionFiles
from pigeon.wire.pacing import INTERACTIVE, interval, polite
from pigeon.wire.records import DETACHED, HANGUP, KILL, OUTPUT_CLOSED, RESUMED
from pigeon.worker.relay.announcement import Announcement
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.drain import Drain
from pigeon.worker.relay.hangup import Hangup
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.liveness import Answers, ClientWatch
from pigeon.worker.relay.newcomers import Newcomers
from pigeon.worker.relay.orders import STOP
from pigeon.worker.relay.outbound import BRISK_S, Outbound
from pigeon.worker.relay.poll_set import PollSet
from pigeon.worker.relay.session_watch import SessionWatch
from pigeon.worker.relay.terminal_side import TerminalSide
from pigeon.worker.relay.trouble import ShareTrouble

LASTED_S = 20.0
"""A session that has been silent for so long is looked at in the way that costs its file server least."""

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
    stops: bool
    """The client stops when the command is stopped."""
    tells_of_reading: bool
    """The client is to hear when the command waits for what is typed."""


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
        self._now = clock.monotonic()
        self.announcement = Announcement(runner.announce, outbound, runner.note, self._now)
        self._session_watch = SessionWatch(
            session, runner.lock_is_lost, self._now, is_alone=not runner.client.judges
        )
        self._newcomers = Newcomers(session, inbound.orders, runner.note)
        self._answers = Answers(inbound, outbound, self._now)
        self._active = self._now
        # What the client has sent can wait for as long as `started` takes: most commands read nothing at once.
        self._next_look = self._now + interval(INTERACTIVE, 0.0)
        # Apart: what cannot be read must not hold back what can be written, nor the other way round.
        self._reading, self._writing = ShareTrouble(), ShareTrouble()
        self._hangup = Hangup(command)
        self._superseded = False
        self._drain: Drain | None = None
        """Once the command has ended."""
        self._skips_control = False
        self._asks_first = False
        self._output_closed_at: float | None = None
        self._descriptors = PollSet(command, runner.wakeup_fd)
        self._terminal = TerminalSide(
            command,
            outbound,
            runner.note,
            self._now,
            stops=runner.stops,
            tells_of_reading=runner.tells_of_reading,
        )
        self._began = self._now
        self._has_looked = False
        outbound.brisk_until = self._now + BRISK_S

    def run(self, store_result: Callable[[int], bool]) -> CommandEnd:
        """Relay until the command has ended and its output is written, all but the exit event.

        `store_result` gets the return code as soon as it is known, and tells whether this runner still owns the
        session; the exit event may be written only after that.
        """
        while not self._is_done():
            if self._now >= self._next_look:
                self._look()
            if self.inbound.queue.has_input and self.inbound.write():
                trace.mark("runner: input passed on")
                self._answers.took_input(self._now)
            if self.inbound.control.keys.is_waiting and self.inbound.control.keys.write():
                self._answers.took_input(self._now)
            self._terminal.look(self._now)
            self._speak()
            if self._superseded:
                break  # the command's end, too, is another's by now
            if self.return_code is None:
                self._hangup.proceed(self._now)
            self._wait()
            self._now = clock.monotonic()
            if self._session_watch.was_absent():
                self.inbound.control.silence.failed()
            if self.return_code is None:
                self._reap(store_result)
        return self._ending()

    # Waiting

    def _wait(self) -> None:
        ready = self._descriptors.wait(
            self._timeout(),
            may_read=self.outbound.may_read(),
            has_input=self.inbound.queue.has_input,
            has_keys=self.inbound.control.keys.is_waiting,
        )
        for fd in ready:
            if fd == self.command.states:
                self._hear_state(fd)
            else:
                self._read(fd)

    def _hear_state(self, fd: int) -> None:
        self._terminal.hear_state(is_alone=self._session_watch.is_alone)
        if self.command.states is None:
            self._descriptors.forget(fd)

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
        if (look := self._terminal.due(now)) is not None:
            waits.append(look)
        if not self.announcement.is_done and self.return_code is None:
            waits.append(max(self.announcement.next_at, self._writing.retry_at) - now)
        return max(0.0, min(waits))

    def _read(self, fd: int) -> None:
        if not self.outbound.may_read():
            return
        now = clock.monotonic()
        if fd == self.command.master:
            self._terminal.look(now)
        if not self.outbound.read(fd, self.command.outputs[fd], now):
            self._close_output(fd)
        trace.mark("runner: output read")
        self._active = now

    def _close_output(self, fd: int) -> None:
        self._descriptors.forget(fd)
        self.command.close_output(fd)

    # The command's end

    def _reap(self, store_result: Callable[[int], bool]) -> None:
        self.return_code = self.command.try_wait()
        if self.return_code is None:
            return
        trace.mark("runner: command ended")
        self._drain = Drain(self.command, self.outbound, self._now)
        self._descriptors.forget(self.command.pidfd)
        if not store_result(self.return_code):
            self._supersede("another process has recovered the session")

    def _is_done(self) -> bool:
        if self._superseded or self._hangup.is_hopeless(self._now):
            return True
        return self._drain is not None and self._drain.is_over(self._now, is_hung_up=self._hangup.has_begun)

    def _ending(self) -> CommandEnd:
        code = self.return_code
        if self.command.has_pipes and not self._hangup.has_begun:
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
            if not self._skips_control and self.inbound.control.poll(began):
                self._brisk()
                self._answers.owe(began)
            if self.return_code is None and self.inbound.file.poll():
                trace.mark("runner: input read")
                self._brisk()
                if self.inbound.file.saw_end and self._has_looked:
                    self.inbound.control.poll(
                        began
                    )  # what was ordered before it comes before the input's end
                if self.inbound.had_bulk and self.inbound.file.saw_end:
                    self._answers.owe(began)  # its writer removes the last segment then
            self._has_looked = True
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
        if self.inbound.file.saw_end and self.command.master is None:
            wait = max(wait, 0.02)  # only signals can come, and acknowledgements
        if not self._asks_first and after - self._active > LASTED_S:
            self._asks_first = True
            self.inbound.ask_first()
        wait = 0.0 if self.inbound.file.has_more else polite(wait, self.inbound.cost_s)
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
            attacher = self._newcomers.newest_attacher(names, self.inbound.attachment)
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
        self.outbound.takes_bulk = self._newcomers.takes_bulk(attacher)
        self._terminal.stops = self._newcomers.stops(attacher)
        self._terminal.go_on()
        self.outbound.say(events.attached(attacher))
        self._terminal.attached()
        self._brisk()

    def _left_alone(self) -> None:
        self._session_watch.is_alone = True
        self.outbound.left_alone()

    def _answer_client(self) -> None:
        printed = self.inbound.control.take_printed()
        if printed is not None:
            self.outbound.acknowledge(*printed)
        self.outbound.judge_watching(self._now - self._began)
        delivered = self.inbound.orders.take_delivered()
        if delivered:
            self.runner.note("signals", numbers=delivered[:100])
        for request in self.inbound.orders.take_words():
            self.runner.note(f"client_{request}")
            if request == HANGUP:
                self._hang_up(cancelled="its client hung up")
            elif request == KILL:
                self.command.kill_all(self.session.session_id)
                self._hang_up(cancelled="its client killed it")
            elif request == STOP:
                self._hang_up(cancelled="it was stopped by `pigeon stop`")
            elif request == RESUMED:
                self._terminal.go_on()
            elif request == DETACHED:
                self.runner.client.detached()
                self._left_alone()
            elif request == OUTPUT_CLOSED:
                self._close_outputs()
        if self.runner.stop_requested():
            self._hang_up(cancelled="the worker was stopped")

    def _close_outputs(self) -> None:
        """The client's reader has gone: let the command find out by SIGPIPE, as in a local pipeline."""
        if not self.command.has_pipes:
            self._hang_up(cancelled="the client's output was closed")
            return
        for fd in list(self.command.outputs):
            if fd != self.command.master:
                self._close_output(fd)
        self._output_closed_at = self._now

    def _judge_client(self) -> None:
        if self._output_closed_at is not None and self._now - self._output_closed_at > OUTPUT_CLOSED_GRACE_S:
            self._hang_up(cancelled="the client's output was closed")
        message = None if self._hangup.has_begun else self.runner.client.found_lost(self.inbound.control)
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
        self.inbound.control.silence.failed()
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
        if self._drain is not None:
            self._drain.stop_waiting()  # it has ended already, with a result that stands
        elif self._hangup.begin(self._now, cancelled=cancelled, failed=failed):
            self.runner.note("hangup", reason=cancelled or failed)

    def _supersede(self, reason: str) -> None:
        """Somebody else ends the session: hang the command up and write nothing more."""
        self.runner.note("superseded", reason=reason)
        self._superseded = True
