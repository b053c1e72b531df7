"""Moving bytes between a running command and its session's files, until both are done.

One loop, one thread, no blocking call but `poll` and the operations on the share. Here is what the loop waits for, when
it looks and when it writes. The decisions (pacing, escalation, what counts as silence) are tables and pure classes
elsewhere. What has a state of its own (the client, the terminal, signs of life, the session's directory, the
announcement, the end, trouble) is a small class, which the loop asks at its turn.
"""

from __future__ import annotations

from collections.abc import Callable

from pigeon import clock, trace
from pigeon.errors import DamagedSession
from pigeon.wire import events, files
from pigeon.wire.names import TAKEOVER_NAME, SessionFiles
from pigeon.wire.pacing import INTERACTIVE, interval, polite
from pigeon.worker.relay.announcement import Announcement
from pigeon.worker.relay.client_side import ClientSide
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.end import CommandEnd, End
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.liveness import Answers
from pigeon.worker.relay.outbound import BRISK_S, Outbound
from pigeon.worker.relay.poll_set import PollSet
from pigeon.worker.relay.runner_side import RunnerSide
from pigeon.worker.relay.session_watch import SessionWatch
from pigeon.worker.relay.terminal_side import TerminalSide
from pigeon.worker.relay.trouble import ShareTrouble

LASTED_S = 20.0
"""A session that has been silent for so long is looked at in the way that costs its file server least."""


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
        self.command = command
        self.outbound = outbound
        self.inbound = inbound
        self.runner = runner
        self._now = clock.monotonic()
        self.announcement = Announcement(runner.announce, outbound, runner.note, self._now)
        self._session_watch = SessionWatch(
            session, runner.lock_is_lost, self._now, is_alone=not runner.client.judges
        )
        self._answers = Answers(inbound, outbound, self._now)
        self._active = self._now
        # What the client has sent can wait for as long as `started` takes: most commands read nothing at once.
        self._next_look = self._now + interval(INTERACTIVE, 0.0)
        # Apart: what cannot be read must not hold back what can be written, nor the other way round.
        self._reading, self._writing = ShareTrouble(), ShareTrouble()
        self._skips_control = False
        self._asks_first = False
        self._descriptors = PollSet(command, runner.wakeup_fd)
        self._end = End(command, outbound, self._descriptors, runner.note)
        self._terminal = TerminalSide(
            command,
            outbound,
            runner.note,
            self._now,
            stops=runner.stops,
            tells_of_reading=runner.tells_of_reading,
        )
        self._client = ClientSide(session, inbound, outbound, runner, self._terminal, self._end, self._now)
        self._has_looked = False
        outbound.brisk_until = self._now + BRISK_S

    def run(self, store_result: Callable[[int], bool]) -> CommandEnd:
        """Relay until the command has ended and its output is written, all but the exit event.

        `store_result` gets the return code as soon as it is known, and tells whether this runner still owns the
        session; the exit event may be written only after that.
        """
        while not self._end.is_over(self._now):
            if self._now >= self._next_look:
                self._look()
            if self.inbound.queue.has_input and self.inbound.write():
                trace.mark("runner: input passed on")
                self._answers.took_input(self._now)
            if self.inbound.control.keys.is_waiting and self.inbound.control.keys.write():
                self._answers.took_input(self._now)
            self._terminal.look(self._now)
            self._speak()
            if self._end.is_superseded:
                break  # the command's end, too, is another's by now
            self._end.proceed(self._now)
            self._wait()
            self._now = clock.monotonic()
            if self._session_watch.was_absent():
                self.inbound.control.silence.failed()
            if self._end.return_code is None:
                self._end.reap(self._now, store_result)
        return self._end.conclude()

    # Waiting

    def _wait(self) -> None:
        ready = self._descriptors.wait(
            self._timeout(),
            may_read=self.outbound.may_read(),
            has_input=self.inbound.queue.has_input,
            has_keys=self.inbound.control.keys.is_waiting,
        )
        for fd in ready:
            if fd == self.command.leader.states:
                self._hear_state(fd)
            else:
                self._read(fd)

    def _hear_state(self, fd: int) -> None:
        self._terminal.hear_state(is_alone=self._client.is_alone)
        if self.command.leader.states is None:
            self._descriptors.forget(fd)

    def _timeout(self) -> float:
        now = clock.monotonic()
        waits = [self._next_look - now]
        due = self.outbound.due(now)
        if due is not None:
            waits.append(max(due, self._writing.retry_at - now))
        if self._answers.due is not None:
            waits.append(self._answers.due - now)
        if self._end.is_hung_up or self._end.return_code is not None:
            waits.append(0.02)
        if (look := self._terminal.due(now)) is not None:
            waits.append(look)
        if not self.announcement.is_done and self._end.return_code is None:
            waits.append(max(self.announcement.next_at, self._writing.retry_at) - now)
        return max(0.0, min(waits))

    def _read(self, fd: int) -> None:
        if not self.outbound.may_read():
            return
        now = clock.monotonic()
        if fd == self.command.master:
            self._terminal.look(now)
        if not self.outbound.read(fd, self.command.outputs[fd], now):
            self._end.close_output(fd)
        trace.mark("runner: output read")
        self._active = now

    # Looking at what the client wrote

    def _look(self) -> None:
        began = self._now
        try:
            if self._session_watch.is_due(began):
                self._list()
            if self._end.is_superseded:
                return
            # Keys come through the input, so after a while of silence control is looked at every other time.
            self._skips_control = (
                self.command.master is not None and not self._skips_control and began - self._active > 60
            )
            if not self._skips_control and self.inbound.control.poll(began):
                self._brisk()
                self._answers.owe(began)
            if self._end.return_code is None and self.inbound.file.poll():
                trace.mark("runner: input read")
                self._brisk()
                if self.inbound.file.saw_end and self._has_looked:
                    # What was ordered before it comes before the input's end.
                    self.inbound.control.poll(began)
                if self.inbound.had_bulk and self.inbound.file.saw_end:
                    self._answers.owe(began)  # its writer removes the last segment then
            self._has_looked = True
            self._trouble_over(self._reading)
        except files.Refused as error:
            self._end.hang_up(self._now, failed=f"`{error.filename}` cannot be trusted: {error.strerror}")
            self._trouble_began(self._reading, error)
        except OSError as error:
            self._trouble_began(self._reading, error)
        except DamagedSession as error:
            self._end.hang_up(self._now, failed=error.message)
        self._answer()
        after = clock.monotonic()
        wait = interval(INTERACTIVE, after - self._active)
        if self.inbound.file.saw_end and self.command.master is None:
            wait = max(wait, 0.02)  # only signals can come, and acknowledgements
        if not self._asks_first and after - self._active > LASTED_S:
            self._asks_first = True
            self.inbound.ask_first()
        wait = 0.0 if self.inbound.file.has_more else polite(wait, self.inbound.cost_s)
        self._next_look = max(after + wait, self._reading.retry_at)

    def _answer(self) -> None:
        if self._client.answer(self._now):
            self._writing.retry_at = 0.0  # what has failed did so for want of room, if at all
        self._client.judge(self._now)

    def _brisk(self) -> None:
        self._active = self._now
        self.outbound.brisk_until = self._now + BRISK_S

    def _list(self) -> None:
        names = self._session_watch.list_names(self._now, is_alone=self._client.is_alone)
        if TAKEOVER_NAME in names:
            self._end.supersede("another worker has taken the session over")
            return
        if self._end.return_code is None:
            self.runner.keep_directory()
            if self._client.meet(names):
                self._brisk()
        if self._session_watch.lost_lock(self._now):
            self.runner.note("lock_lost")
            self.outbound.say(
                events.notice(
                    "the lock of this directory was lost (the file server dropped it); "
                    "another command may start in the same directory"
                )
            )

    # Saying things on the stream

    def _speak(self) -> None:
        if self._end.is_superseded or self._now < self._writing.retry_at:
            return
        self._answers.say(self._now)
        if self.outbound.is_full and self._end.return_code is None:
            self._end.hang_up(self._now, failed="the session wrote as much as `max_stream` allows")
        if (
            self._end.return_code is None
            and self.announcement.is_due(self._now)
            and not self.announcement.do(self._now)
        ):
            self._end.supersede("another worker has taken the session over")
        if self.outbound.due(self._now) == 0.0 and not self._end.is_superseded:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._session_watch.must_list:
                self._list()
                if self._end.is_superseded:
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
            self._end.supersede("the session's directory has been removed")

    def _trouble_over(self, trouble: ShareTrouble) -> None:
        if trouble.succeeded():
            self.runner.note("share_recovered")
