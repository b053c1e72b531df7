"""The process that stands above a command, as its runner sees it: the leader of its session (session_leader.py), or the
worker's wrapper.

Its end is the command's only if it says so. One that was killed leaves a command behind that nobody waits for, perhaps
in the directory that is to be freed: then all that is in the session is killed before the end is told. One that was
stopped tells nothing: it is woken once there is something to tell.
"""

from __future__ import annotations

import os
import signal

from pigeon.worker import identity
from pigeon.worker.relay import session_leader


class LeaderWatch:
    """That of one command. `pid`: what the runner waits for; `states`: where a leader tells, None without one."""

    def __init__(self, pid: int, states: int | None) -> None:
        self.pid = pid
        self.states = states
        """None as well once nothing more can come."""
        self.stopped_by = 0
        """The signal that has stopped the command; 0 while it runs."""
        self.is_wrapped = False
        """It is the worker's wrapper, or there is one below it."""
        self.is_beheaded = False
        """It has been killed, and what it has left behind is being killed."""
        self._leads = states is not None
        self._has_told_end = False

    def hear(self) -> bool:
        """Whether the command has been stopped, or goes on, since the last call (`stopped_by`)."""
        before = self.stopped_by
        if self.states is not None and self._take() == b"":
            os.close(self.states)
            self.states = None
        return before != self.stopped_by

    def go_on(self) -> None:
        """Let a stopped command run on."""
        self.stopped_by = 0
        identity.send([self.pid], signal.SIGCONT)  # a leader passes it on to all of the job

    def wake(self) -> None:
        """Somebody may have stopped the leader: it would never tell the command's end."""
        if self.states is not None:
            identity.send([self.pid], signal.SIGCONT)

    def spared(self, pids: list[int]) -> list[int]:
        """Without the leader, which ends when the command does, and tells how."""
        return pids if self.states is None else [pid for pid in pids if pid != self.pid]

    def is_all_over(self) -> bool:
        """Whether the process that is to be waited for has ended, and the command with it. Looks again at each call."""
        if not self._leads and not self.is_wrapped:
            return True  # it is the command
        # It is not reaped here: as long as that is so its number is that of this session, and no stranger's.
        events = os.WEXITED | os.WSTOPPED if self._leads else os.WEXITED
        found = os.waitid(os.P_PID, self.pid, events | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return False
        if found.si_code == os.CLD_STOPPED:
            if not identity.has_living_child(self.pid):
                self.wake()
            return False
        is_killed = found.si_code == os.CLD_KILLED and found.si_status == signal.SIGKILL
        if self._has_seen_the_end(is_killed=is_killed):
            return True
        left = identity.session_members(self.pid)
        self.is_beheaded = bool(left)
        identity.send(left, signal.SIGKILL)
        return not left

    def _has_seen_the_end(self, *, is_killed: bool) -> bool:
        if self._leads:
            while not self._has_told_end and self.states is not None and self._take():
                pass
            if not self._has_told_end:
                return False
        return not (self.is_wrapped and is_killed)

    def _take(self) -> bytes | None:
        """What the leader has told since the last call: b"" if it never tells anything more, None if it may."""
        assert self.states is not None
        try:
            told = os.read(self.states, 256)
        except BlockingIOError:
            return None
        for state in told:
            if state == session_leader.ENDED:
                self._has_told_end = True
            else:
                self.stopped_by = state
        return told
