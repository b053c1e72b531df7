"""From a command's end, or the reason why it was not started, to the session's final state.

The order makes the promises: exit event, final status, unlock, row closed.
"""

from __future__ import annotations

from pigeon import clock, trace
from pigeon.wire import events, states
from pigeon.wire.publish import forget_input
from pigeon.worker.handover import Assignment, Refusal, Worker
from pigeon.worker.relay.end import CommandEnd
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.relay import Relay
from pigeon.worker.runner.directory_hold import DirectoryHold
from pigeon.worker.runner.journal_row import JournalRow, byte_counts
from pigeon.worker.runner.ownership import Ownership
from pigeon.worker.runner.publication import Publication


class Started:
    """A command that runs: its pid, and when it began (`at`: unix seconds)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.at = clock.wall()
        self._monotonic = clock.monotonic()

    def run_s(self) -> float:
        """For how long by now."""
        return clock.monotonic() - self._monotonic


class LastSteps:
    """Those of one session."""

    def __init__(
        self,
        worker: Worker,
        task: Assignment,
        hold: DirectoryHold,
        ownership: Ownership,
        publication: Publication,
        row: JournalRow,
    ) -> None:
        self._worker = worker
        self._task = task
        self._hold = hold
        self._ownership = ownership
        self._publication = publication
        self._row = row

    def of_command(self, ending: CommandEnd, started: Started, relay: Relay) -> None:
        """The command has ended, and its output is written. Raises Superseded, JournalError."""
        outbound, inbound, client = relay.outbound, relay.inbound, relay.runner.client
        code = states.exit_code_of(ending.return_code)
        self._ownership.look_before_step()
        if not ending.is_unkillable:
            reason = ending.cancelled or ending.failed
            bulk_bytes = outbound.take_stock()
            outbound.say(events.exited(code, ending.return_code, bulk_bytes=bulk_bytes, hung_up=reason))
        self._publication.write_last(
            outbound, inbound.control, lambda: ending.cancelled is not None or client.has_left(inbound)
        )
        outbound.stream.close()
        trace.mark("runner: exit event written")
        if not relay.announcement.is_done:
            self._publication.blank_quietly()
        state, error, ended_by = states.state_of(ending.return_code), ending.failed, None
        if ending.cancelled:
            state, error = states.CANCELLED, ending.cancelled
        if ending.is_unkillable:
            state, error = states.FAILED, "the command could not be killed (it hangs in the kernel)"
            ended_by = states.BY_RECOVERY
        self._worker.debug.say(
            "success" if state == states.SUCCEEDED else "failure",
            f"{self._task.session_id}: {state}, exit code {code}",
        )
        how = state if state != states.FAILED else f"{state} {code}"
        self._log(f"{how} ({error})" if error else how, started, outbound, inbound)
        self._publication.final(
            state,
            code,
            error,
            stream_bytes=outbound.stream.lines.offset,
            started_at=started.at,
            ended_by=ended_by,
        )
        if inbound.had_bulk or inbound.input_bytes or inbound.control.keys.offset:
            forget_input(self._publication.session)
        if not ending.is_unkillable:  # else it has the lock still
            self._hold.release()
        self._row.final(state, error, byte_counts(outbound, inbound))

    def of_refusal(self, refusal: Refusal) -> None:
        """The session is claimed, and its command is not started, or not known to run. Raises as `of_command`."""
        state, reason = refusal.state, refusal.reason
        self._worker.debug.say("failure", f"{self._task.session_id}: {state}: {reason}")
        self._worker.log.ended(self._task.session_id, f"{state} without a start ({reason})", ran_s=None)
        outbound = Outbound(self._publication.session, max_bytes=1 << 62)
        try:
            offset = self._publication.stream_offset()
            if refusal.event and offset == 0:
                outbound.say(events.worker_error(reason))
                outbound.flush(clock.monotonic())
        except OSError:
            pass  # the status says it too, and is what decides
        self._publication.final(state, refusal.exit_code, reason, stream_bytes=outbound.stream.lines.offset)
        self._publication.blank_quietly()
        forget_input(self._publication.session)
        self._hold.release()
        self._row.final(state, reason, {"exit_code": refusal.exit_code})

    def _log(self, how: str, started: Started, outbound: Outbound, inbound: Inbound) -> None:
        counts = byte_counts(outbound, inbound)
        self._worker.log.ended(
            self._task.session_id,
            how,
            ran_s=started.run_s(),
            bytes_in=counts["bytes_in"],
            bytes_out=sum(count for name, count in counts.items() if name.startswith("bytes_out_")),
        )
