"""`Pigeon`: real `pigeon` processes on both sides of a share of their own.

The command is `PIGEON_TEST_COMMAND` (words as in a shell) or the one that is installed beside this interpreter. Every
process is reaped by its handle; what still runs at the end, or a traceback in any log, is an error of the
test.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tests.helpers.evidence import show_journal, show_tree
from tests.helpers.processes import Child, Result, Word, is_standby, kill_marked, marked, run_to_end
from tests.helpers.share import Session, Share
from tests.helpers.surroundings import Extra, Surroundings, pigeon_command
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import WITNESSES, wait_until


def lock_of_the_suite() -> dict[str, object]:
    """The kind of directory lock that every worker of this run takes, where PIGEON_TEST_LOCK names one."""
    kind = os.environ.get("PIGEON_TEST_LOCK")
    return {"lock": kind} if kind else {}


class Worker:
    """One `pigeon worker` process and its log."""

    def __init__(self, child: Child, record: dict[str, Any]) -> None:
        self.child = child
        self.id = str(record.get("worker_id"))
        self.pid = int(record.get("pid", child.pid))

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self.child.out.decode("utf-8", "backslashreplace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.child.signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Its exit code."""
        return self.child.wait(timeout_s).code

    def stop(self, timeout_s: float = 20.0) -> int:
        """End it as an operator would, and return its exit code."""
        if self.child.running:
            self.signal()
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the scheduler alone; its runners live on."""
        self.child.kill()


class Pigeon(Surroundings):
    """Both sides of one share, for one test."""

    def __init__(self, base: Path, share: Share | None = None) -> None:
        super().__init__(base, share)
        self.workers: list[Worker] = []
        self.started: list[Child] = []
        self._terminals: list[Terminal] = []
        WITNESSES.append(self.tell)

    def command(self, *words: Word, options: tuple[Word, ...] = ()) -> list[Word]:
        """The argument list of a pigeon that runs `words`."""
        return [*pigeon_command(), *options, *words]

    def start_worker(
        self,
        *args: str,
        max_jobs: int | None = None,
        debug: bool = False,
        env: Extra | None = None,
        umask: int = -1,
        cwd: Path | None = None,
        prefix: tuple[str, ...] = (),
        **settings: object,
    ) -> Child:
        """A worker process that may or may not come up; keywords are keys of its `[worker]` table."""
        number = next(self._numbers)
        table: dict[str, object] = {
            "journal": self.journal,
            "max_jobs": max_jobs,
            **lock_of_the_suite(),
            **settings,
        }
        config = self._config(
            f"worker-{number}.toml", {"cache": self.share.worker_path}, self.settings, {"worker": table}
        )
        flags = [*args, *(["--debug"] if debug else [])]
        child = Child(
            [*prefix, *self.command("worker", *flags)],
            env=self.env(env, config=config),
            cwd=cwd or self.base,
            log=self.logs / f"worker-{number}",
            umask=umask,
            merge=True,
        )
        self.started.append(child)
        return child

    def worker(self, *args: str, wait_s: float = 20.0, **settings: Any) -> Worker:
        """A worker that has shown its first heartbeat; arguments as for `start_worker`."""
        before = {record.get("worker_id") for record in self.namespace.workers()}
        child = self.start_worker(*args, **settings)

        def up() -> dict[str, Any] | None:
            assert child.running, f"the worker ended\n{child.tell()}"
            new = [record for record in self.namespace.workers() if record.get("worker_id") not in before]
            return new[0] if new else None

        record = wait_until(
            up, wait_s, lambda: f"the worker's heartbeat file\n{child.tell()}", interval_s=0.02
        )
        assert record is not None
        worker = Worker(child, record)
        self.workers.append(worker)
        return worker

    def run(
        self,
        *words: Word,
        options: tuple[Word, ...] = (),
        stdin: bytes | int | IO[bytes] | None = None,
        env: Extra | None = None,
        cwd: Path | str | bytes | None = None,
        timeout_s: float = 30.0,
        umask: int = -1,
    ) -> Result:
        """Run `pigeon words…` to its end, with pipes; stdin is /dev/null unless given."""
        argv = self.command(*words, options=options)
        where = self.work if cwd is None else cwd
        return run_to_end(argv, env=self.env(env), cwd=where, stdin=stdin, timeout_s=timeout_s, umask=umask)

    def start(
        self,
        *words: Word,
        options: tuple[Word, ...] = (),
        stdin: bytes | int | IO[bytes] | None = None,
        env: Extra | None = None,
        cwd: Path | str | bytes | None = None,
        umask: int = -1,
    ) -> Child:
        """`pigeon words…` in the background; `stdin=subprocess.PIPE` to type while it runs."""
        return self.start_process(
            *self.command(*words, options=options), stdin=stdin, env=env, cwd=cwd, umask=umask
        )

    def begin(self, *words: Word, **how: Any) -> tuple[Child, Session]:
        """`start`, and the session as soon as it is published: later ones come after it in every order."""
        known = self.namespace.session_names()
        child = self.start(*words, **how)
        return child, self.wait_session(known)

    def start_process(
        self,
        *argv: Word,
        stdin: bytes | int | IO[bytes] | None = None,
        env: Extra | None = None,
        cwd: Path | str | bytes | None = None,
        umask: int = -1,
    ) -> Child:
        """Any program in the background, in this test's surroundings."""
        log = self.logs / f"client-{next(self._numbers)}"
        where = self.work if cwd is None else cwd
        child = Child(argv, env=self.env(env), cwd=where, log=log, stdin=stdin, umask=umask)
        self.started.append(child)
        return child

    def spawn_tty(self, *words: Word, options: tuple[Word, ...] = (), **how: Any) -> Terminal:
        """`pigeon words…` in a terminal window; keywords as for `spawn_plain`."""
        return self.spawn_plain(*self.command(*words, options=options), **how)

    def spawn_plain(
        self, *argv: Word, env: Extra | None = None, cwd: Path | str | bytes | None = None, **how: Any
    ) -> Terminal:
        """Any program in a terminal window; `how`: `size`, or `stdin`, `stdout`, `stderr` to redirect one."""
        where = self.work if cwd is None else cwd
        terminal = Terminal(argv, env=self.env(env), cwd=where, **how)
        self._terminals.append(terminal)
        return terminal

    def commands_left(self) -> dict[int, str]:
        """Processes of this test other than the workers and their standbys: runners, clients and commands."""
        parents = {worker.child.pid for worker in self.workers} | {worker.pid for worker in self.workers}
        left = {pid: line for pid, line in marked(self.mark).items() if pid not in parents}
        return {pid: line for pid, line in left.items() if not is_standby(pid, parents)}

    def wait_quiet(self, timeout_s: float = 10.0) -> None:
        """Until nothing but the workers themselves runs."""
        left = self.commands_left
        wait_until(lambda: not left(), timeout_s, lambda: f"an end of {left()}", interval_s=0.1)

    def tidy(self) -> list[str]:
        """End and forget everything but the workers; returns what had not ended by itself."""
        problems = [f"still running: {child.tell()}" for child in self._still_running()]
        problems += [f"still running: {terminal.tell()}" for terminal in self._terminals if terminal.running]
        workers = [worker.child for worker in self.workers]
        for child in self.started:
            if child not in workers:
                child.kill()
        for terminal in self._terminals:
            terminal.kill()
        try:
            self.wait_quiet(1 if problems else 10)
        except AssertionError:
            left = self.commands_left()
            problems.append(f"commands left behind: {left}")
            kill_marked(self.mark, list(left))
        self.started = workers
        self._terminals = []
        return problems

    def close(self) -> list[str]:
        """End everything; returns what was found wrong: processes left, tracebacks in logs."""
        if self.tell in WITNESSES:
            WITNESSES.remove(self.tell)
        problems = [f"still running at the end: {child.tell()}" for child in self._still_running()]
        problems += self._stop_workers()
        for child in self.started:
            child.kill()
        for terminal in self._terminals:
            if terminal.running:
                problems.append(f"still running at the end: {terminal.tell()}")
            terminal.kill()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not marked(self.mark), 5, interval_s=0.1)
        left = marked(self.mark)
        if left:
            problems.append(f"processes left behind: {left}")
            kill_marked(self.mark, left)
        problems += self._reports_of_bugs()
        return problems

    def _reports_of_bugs(self) -> list[str]:
        """Tracebacks in logs, and the reports that pigeon writes when something of its own went wrong."""
        problems = []
        for path in [*sorted(self.logs.iterdir()), *sorted(self.temporary.glob("pigeon-*.txt"))]:
            text = path.read_bytes()
            if path.suffix != ".in" and b"Traceback (most recent call last)" in text:
                problems.append(f"a traceback in {path}:\n{text[-4000:].decode('utf-8', 'backslashreplace')}")
        return problems

    def _still_running(self) -> list[Child]:
        workers = [worker.child for worker in self.workers]
        return [child for child in self.started if child.running and child not in workers]

    def _stop_workers(self) -> list[str]:
        problems = []
        for worker in self.workers:
            if worker.child.running:
                worker.signal()
        for worker in self.workers:
            try:
                worker.wait(10)
            except AssertionError:
                problems.append(f"a worker did not stop: {worker.child.tell()}")
                worker.signal()
                with contextlib.suppress(AssertionError):
                    worker.wait(10)
        return problems

    def tell(self) -> str:
        """Everything known: processes, share, journal."""
        parts = [child.tell() for child in self.started]
        parts += [terminal.tell() for terminal in self._terminals]
        parts += [f"--- processes: {marked(self.mark)}", show_tree(self.share.client_path)]
        with contextlib.suppress(Exception):
            parts.append(show_journal(self.journal))
        return "\n".join(parts)


@contextlib.contextmanager
def pigeon_in(base: Path, has_failed: Callable[[], bool], share: Share | None = None) -> Iterator[Pigeon]:
    """A `Pigeon` below `base`; AssertionError at the end for what was left, unless the test failed anyway."""
    pigeon = Pigeon(base, share)
    try:
        yield pigeon
    finally:
        problems = pigeon.close()
    if problems and not has_failed():
        raise AssertionError("\n".join(problems))
