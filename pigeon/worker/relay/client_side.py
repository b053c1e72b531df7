"""Who the session's client is, and what becomes of the command by what that one says, or does not say any more.

Owns the switch to another client, and that nobody is there. Reads nothing: orders and signs of life come in with
`inbound` when the relay looks.
"""

from __future__ import annotations

from pigeon.wire import events
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import DETACHED, HANGUP, KILL, OUTPUT_CLOSED, RESUMED
from pigeon.worker.relay.end import End
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.newcomers import Newcomers
from pigeon.worker.relay.orders import STOP
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.runner_side import RunnerSide
from pigeon.worker.relay.terminal_side import TerminalSide


class ClientSide:
    """That of one session, whose command began at `now`: monotonic seconds, as everywhere here."""

    def __init__(
        self,
        session: SessionFiles,
        inbound: Inbound,
        outbound: Outbound,
        runner: RunnerSide,
        terminal: TerminalSide,
        end: End,
        now: float,
    ) -> None:
        self.is_alone = not runner.client.judges
        """Nobody follows the session."""
        self._session_id = session.session_id
        self._inbound = inbound
        self._outbound = outbound
        self._runner = runner
        self._terminal = terminal
        self._end = end
        self._began = now
        self._newcomers = Newcomers(session, inbound.orders, runner.note)

    def meet(self, names: list[str]) -> bool:
        """Whether one of these names in the session directory is that of another client, who is the one from now on.

        Raises OSError: the rest of them is looked at the next time.
        """
        attacher = self._newcomers.newest_attacher(names, self._inbound.attachment)
        if attacher is not None:
            self._switch(attacher)
        return attacher is not None

    def _switch(self, attacher: int) -> None:
        """From now on the newest attacher is the client."""
        self._inbound.switch(attacher)
        self._runner.client.attached()
        self.is_alone = False
        self._runner.note("attached", n=attacher)
        self._outbound.acknowledge_all()
        self._outbound.takes_bulk = self._newcomers.takes_bulk(attacher)
        self._terminal.stops = self._newcomers.stops(attacher)
        self._terminal.go_on()
        self._outbound.say(events.attached(attacher))
        self._terminal.attached()

    def _left_alone(self) -> None:
        self.is_alone = True
        self._outbound.left_alone()

    def answer(self, now: float) -> bool:
        """Act on what it has ordered and acknowledged since the last time, and on the worker's own order to stop. True
        if what it has acknowledged made room on the share."""
        printed = self._inbound.control.take_printed()
        made_room = printed is not None and self._outbound.acknowledge(*printed)
        self._outbound.judge_watching(now - self._began)
        delivered = self._inbound.orders.take_delivered()
        if delivered:
            self._runner.note("signals", numbers=delivered[:100])
        for request in self._inbound.orders.take_words():
            self._runner.note(f"client_{request}")
            self._carry_out(request, now)
        if self._runner.stop_requested():
            self._end.hang_up(now, cancelled="the worker was stopped")
        return made_room

    def _carry_out(self, request: str, now: float) -> None:
        if request == HANGUP:
            self._end.hang_up(now, cancelled="its client hung up")
        elif request == KILL:
            self._end.kill(self._session_id, now)
        elif request == STOP:
            self._end.hang_up(now, cancelled="it was stopped by `pigeon stop`")
        elif request == RESUMED:
            self._terminal.go_on()
        elif request == DETACHED:
            self._runner.client.detached()
            self._left_alone()
        elif request == OUTPUT_CLOSED:
            self._end.close_outputs(now)

    def judge(self, now: float) -> None:
        """Whether it is lost: then the command is hung up, unless the client keeps it."""
        self._end.judge_unread(now)
        message = None if self._end.is_hung_up else self._runner.client.found_lost(self._inbound.control)
        if message is None:
            return
        self._runner.note("client_lost", message=message)
        self._outbound.say(events.client_lost(message))
        self._left_alone()
        if not self._runner.client.keeps:
            self._end.hang_up(now, cancelled=message)
