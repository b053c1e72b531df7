"""The front of one command: builds the listeners, starts the command, and serves it until nobody is left to serve."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pigeon import crash
from pigeon.errors import PigeonError
from pigeon.net.catch import kernel
from pigeon.net.catch.catcher import Catcher
from pigeon.net.loop import IN, Loop
from pigeon.net.near.assembly import Built, Plan, build
from pigeon.net.near.command import Report, Start
from pigeon.net.near.mirror import Dispositions, Signals
from pigeon.net.policy import Rule
from pigeon.printing import log


@dataclass(frozen=True)
class Lending:
    """What is wanted for the command `argv`."""

    argv: Sequence[str]
    plan: Plan
    connect: str
    """The words of `pigeon connect`, as text for a shell."""
    catches: bool = True
    sets_variables: bool = True
    direct: Sequence[str] = field(default_factory=list)


class Lender:
    """The process between keeper and command."""

    def __init__(self, wanted: Lending, report: Report, dispositions: Dispositions) -> None:
        """Raises PigeonError: a port cannot be had."""
        self._wanted, self._report, self._keeper = wanted, report, os.getppid()
        self._loop = Loop()
        self._signals = Signals()
        self._status: int | None = None
        self._is_caught = False
        kernel.become_subreaper()
        self._built = build(self._loop, wanted.plan)
        envs = [self._environment(self._built, caught=caught) for caught in (False, True)]
        start = Start(wanted.argv, envs, dispositions)
        self._pid = start.pid
        listener = self._catch(start) if wanted.catches else -1
        report.started(start.pid, listener if listener >= 0 else None)
        self._loop.watch(self._signals.fd, IN, self._signalled)
        start.execute()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1):
            os.dup2(null, fd)  # only the command may hold what others wait for the end of
        self._null = null

    def _environment(self, built: Built, *, caught: bool) -> dict[str, str]:
        if not self._wanted.sets_variables:
            return dict(os.environ)
        connect = None if caught else self._wanted.connect
        return {**os.environ, **built.variables(self._wanted.direct, connect)}

    def _catch(self, start: Start) -> int:
        listener, why = start.filtered()
        if listener < 0:
            _tell(f"pigeon net: only programs that obey proxy variables are served: {why}")
            return -1
        self._is_caught = True
        front = self._built.front
        numbers = kernel.machine()
        assert numbers is not None
        Catcher(
            self._loop,
            numbers,
            listener,
            connect=lambda wish, program, answered: front.connect(wish, program, answered=answered),
            knows=front.network.knows,
            direct=[Rule(text) for text in self._wanted.direct],
            over=self._nobody_left,
        )
        return listener

    def run(self) -> None:
        """Until nobody is left to serve."""
        try:
            self._loop.run()
        finally:
            self._built.front.close()
            self._loop.turn(0.0)

    def _signalled(self, _events: int) -> None:
        if not any(number == signal.SIGCHLD for number, _ in self._signals.take()):
            return  # whoever ends all of a user's processes ends the command too, and with it this one
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._changed(status)

    def _changed(self, status: int) -> None:
        if os.WIFSTOPPED(status):
            self._report.stopped(os.WSTOPSIG(status))
        elif os.WIFCONTINUED(status):
            try:
                os.kill(self._keeper, signal.SIGCONT)
            except OSError:
                pass  # it has died
        else:
            self._status = status
            os.dup2(self._null, 2)
            self._report.ended(status)
            if not self._is_caught:
                self._loop.stop()

    def _nobody_left(self) -> None:
        """No process has the filter any more."""
        if self._status is None:
            self._loop.after(0.05, self._nobody_left)  # the command's end is still on its way
        else:
            self._loop.stop()


def lend(wanted: Lending, dispositions: Dispositions) -> Callable[[Report], None]:
    """For Keeper: the front of `wanted`."""

    def front(report: Report) -> None:
        try:
            lender = Lender(wanted, report, dispositions)
        except PigeonError as error:
            _tell(f"pigeon: {error.message}")
            if error.hint:
                _tell(f"pigeon: hint: {error.hint}")
            report.failed(error.exit_code)
            return
        try:
            lender.run()
        except Exception as error:
            _tell(crash.report(error).rstrip())

    return front


def _tell(text: str) -> None:
    log(text)
