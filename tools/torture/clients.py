"""The clients of a run: real `pigeon` processes, some under a terminal whose user types at each prompt."""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tools.torture import kinds, plan


class Client:
    """One client and all that is known of it from outside. Output goes to files, or through `pump` from a terminal."""

    def __init__(
        self,
        session: plan.Session,
        argv: list[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        logs: Path,
    ) -> None:
        self.session = session
        self.out_path = logs / f"client-{session.number}.out"
        self.err_path = logs / f"client-{session.number}.err"
        self.began = time.monotonic()
        self.code: int | None = None
        self.touched: list[str] = []
        """What has been done to it, in order."""
        self.window_closed = False
        self.job: Job | None = None
        self.was_begun = True
        self._to_type = kinds.typed(session) if session.kind in plan.ON_A_TERMINAL else []
        self._typed = 0
        self._drawn = b""
        self.master = -1
        source, out = subprocess.DEVNULL, self.out_path.open("ab")
        if session.kind in plan.ON_A_TERMINAL:
            self.master, slave = pty.openpty()
            os.set_blocking(self.master, False)
            argv = ["setsid", "--ctty", *argv]
        elif session.kind == plan.BINARY:
            path = logs / f"client-{session.number}.in"
            path.write_bytes(kinds.sent(session))
            source = os.open(path, os.O_RDONLY)
        with out, self.err_path.open("ab") as err:
            self.process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=slave if self.master >= 0 else source,
                stdout=slave if self.master >= 0 else out,
                stderr=err,
                start_new_session=self.master < 0,
            )
        if self.master >= 0:
            os.close(slave)
        elif source >= 0:
            os.close(source)

    @property
    def pid(self) -> int:
        """The guardian's."""
        return self.process.pid

    @property
    def out(self) -> bytes:
        """What it has printed."""
        return self.out_path.read_bytes()

    @property
    def err(self) -> str:
        """What it has said."""
        return self.err_path.read_text("utf-8", "backslashreplace")

    def pump(self) -> None:
        """Take what the terminal shows and answer each prompt with the next line."""
        if self.master < 0:
            return
        came = b""
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                came += data
        if not came:
            return
        self._drawn += came
        with self.out_path.open("ab") as file:
            file.write(came)
        while self._to_type and self._drawn.count(b"> ") > self._typed:
            line = self._to_type.pop(0)
            self._typed += 1
            with contextlib.suppress(OSError):
                os.write(self.master, f"{line}\r".encode())

    def close_window(self) -> bool:
        """The terminal goes away. False if there is none."""
        if self.master < 0:
            return False
        self.pump()
        os.close(self.master)
        self.master = -1
        self.window_closed = True
        return True

    def has_ended(self) -> bool:
        """Reap it; whether it has ended."""
        if self.code is None:
            self.pump()
            ended = self.process.poll()
            # As a shell has it: a client dies by the signal that its command died by.
            self.code = 128 - ended if ended is not None and ended < 0 else ended
            if self.code is not None and self.master >= 0:
                self.pump()
                os.close(self.master)
                self.master = -1
        return self.code is not None


class Member:
    """A client that a job's script has begun; what is known of it lies in files that it and the script write."""

    def __init__(self, session: plan.Session, job: Job, place: Path, logs: Path) -> None:
        self.session = session
        self.job = job
        self.code: int | None = None
        self.touched: list[str] = []
        self.master = -1
        self.window_closed = False
        self.out_path = logs / f"client-{session.number}.out"
        self.err_path = logs / f"client-{session.number}.err"
        self._pid_path = place / f"{session.number}.pid"
        self._code_path = place / f"{session.number}.code"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The script's."""
        return self.job.process

    @property
    def pid(self) -> int:
        """The guardian's; 0 if it has not been begun."""
        return _number_in(self._pid_path) or 0

    @property
    def was_begun(self) -> bool:
        """The script has come to it."""
        return self.pid > 0

    @property
    def out(self) -> bytes | None:
        """What it has printed; None where another program has read it."""
        return self.out_path.read_bytes() if self.out_path.exists() else None

    @property
    def err(self) -> str:
        """What it has said."""
        return self.err_path.read_text("utf-8", "backslashreplace") if self.err_path.exists() else ""

    def close_window(self) -> bool:
        """It has none."""
        return False

    def has_ended(self) -> bool:
        """Whether it has, with all of its job."""
        if self.process.poll() is None:
            return False
        self.code = _number_in(self._code_path)
        return True

    def line(self, argv: list[str], extra: Mapping[str, str]) -> str:
        """The shell's text that begins it."""
        given = [f"{name}={value}" for name, value in extra.items()]
        words = shlex.join(["sh", "-c", f'echo $$ >{self._pid_path}; exec "$@"', "sh", "env", *given, *argv])
        return f"( {words} 2>{self.err_path}; echo $? >{self._code_path} )"


class Job:
    """A script with several clients, in a process group of its own."""

    process: subprocess.Popen[bytes]

    def __init__(self, the_plan: plan.Job, place: Path, logs: Path) -> None:
        place.mkdir(exist_ok=True)
        self._plan = the_plan
        self._script = place / f"{the_plan.members[0].number}.sh"
        self.members = [Member(session, self, place, logs) for session in the_plan.members]

    def begin(self, lines: list[str], *, env: Mapping[str, str], cwd: Path) -> None:
        """With the text of each member."""
        out = self.members[-1].out_path
        if self._plan.form == plan.PIPELINE:
            text = f"{' | '.join(lines)} >{out}\n"
        elif self._plan.form == plan.SUBSTITUTION:
            text = f"{lines[1]} < <({lines[0]}) >{out}\nwait $!\n"
        else:
            greeting = shlex.quote(kinds.expected(self._plan.members[0], "stdout").decode().strip())
            text = (
                f"coproc T {{ {lines[0]}; }}\npid=$T_PID; in=${{T[0]}} out=${{T[1]}}\n"
                f'echo {greeting} >&"$out"; read -r line <&"$in"\n{lines[1]} >{out}\n'
                'eval "exec $out>&-"; wait "$pid"\n'
            )
        self._script.write_text(text)
        with self._script.with_suffix(".err").open("ab") as err:
            self.process = subprocess.Popen(
                ["bash", str(self._script)],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            )


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
