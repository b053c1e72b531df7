"""A process under a real PTY, with a terminal emulator at the other end that draws and answers.

No thread: the test's own waiting moves the bytes (`pump`), so a run is the same each time. The test keeps
the slave open, to look at the terminal's settings after the process has ended, as the user's shell would
find them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.emulator import Emulator
from tests.helpers.processes import Result, Word
from tests.helpers.waiting import patient, wait_until

_WINDOW = struct.Struct("HHHH")


class Terminal:
    """A terminal window that runs one program."""

    def __init__(
        self,
        argv: Sequence[Word],
        *,
        env: Mapping[str, str],
        cwd: Path | str | bytes,
        size: tuple[int, int] = (80, 24),
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        """`size`: columns, rows. A descriptor for `stdin`, `stdout` or `stderr` replaces the terminal."""
        self.emulator = Emulator(*size)
        self.draws = True
        """False: what comes is only kept."""
        self.raw = b""
        self.argv = list(argv)
        self._pending = b""
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        self._set_size(*size)
        self.settings_before = self.settings()
        # setsid(1) makes the terminal the controlling one and then becomes the program: its pid is ours.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *self.argv] if stdin is None else ["setsid", *self.argv],
            env=dict(env),
            cwd=cwd,
            stdin=self._slave if stdin is None else stdin,
            stdout=self._slave if stdout is None else stdout,
            stderr=self._slave if stderr is None else stderr,
        )

    def settings(self) -> list[Any]:
        """The terminal's termios settings now."""
        return termios.tcgetattr(self._slave)

    @property
    def is_raw(self) -> bool:
        """No key interrupts: so pigeon has it, and no shell's line editor."""
        return not self.settings()[3] & termios.ISIG

    @property
    def foreground(self) -> int:
        """The process group that has the keyboard (tcgetpgrp(3), which a terminal's master answers, too)."""
        return os.tcgetpgrp(self._master)

    def _set_size(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, _WINDOW.pack(rows, cols, 0, 0))

    def resize(self, cols: int, rows: int) -> None:
        """The user drags the window's corner: a new size, and SIGWINCH to the foreground process group."""
        self.emulator.resize(cols, rows)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, _WINDOW.pack(rows, cols, 0, 0))

    def type(self, data: bytes | str) -> None:
        """Type; what the terminal does not take at once follows with the pumping."""
        self._pending += data.encode() if isinstance(data, str) else data
        self.pump()

    @property
    def has_pending(self) -> bool:
        """The terminal has not taken all that was typed."""
        return bool(self._pending)

    def pump(self, wait_s: float = 0.0) -> bool:
        """Move what can be moved: keys in, drawing and answers out. True if anything came."""
        came = False
        while True:
            outgoing = [self._master] if self._pending else []
            ready, writable, _ = select.select([self._master], outgoing, [], wait_s)
            wait_s = 0.0
            if writable:
                with contextlib.suppress(BlockingIOError):
                    self._pending = self._pending[os.write(self._master, self._pending) :]
            if not ready:
                return came
            try:
                data = os.read(self._master, 65536)
            except (BlockingIOError, OSError):
                return came
            came = True
            self.raw += data
            if self.draws:
                self._pending += self.emulator.feed(data)

    def text(self) -> str:
        """The screen as text, now."""
        self.pump()
        return self.emulator.text

    def wait_for(self, wanted: str | Callable[[str], object], timeout_s: float = 15.0) -> str:
        """The screen's text, as soon as it holds `wanted` (or satisfies it)."""

        seen = -1

        def there() -> bool:
            nonlocal seen
            self.pump(0.005)
            if isinstance(wanted, str) and len(self.raw) == seen:
                return False  # drawing the same screen again tells nothing new, and costs
            seen = len(self.raw)
            text = self.emulator.text
            return bool(wanted in text if isinstance(wanted, str) else wanted(text))

        wait_until(there, timeout_s, lambda: f"{wanted!r} on the screen\n{self.tell()}", interval_s=0.0)
        return self.emulator.text

    def wait_true(self, condition: Callable[[], object], timeout_s: float = 15.0) -> None:
        """Until `condition()` is true, moving the bytes meanwhile."""

        def met() -> bool:
            self.pump(0.005)
            return bool(condition())

        wait_until(met, timeout_s, lambda: f"a condition\n{self.tell()}", interval_s=0.0)

    def wait_still(self, still_s: float = 0.3, timeout_s: float = 15.0) -> None:
        """Until the program has drawn something and then nothing for `still_s`."""
        deadline = time.monotonic() + patient(timeout_s)
        while time.monotonic() < deadline:
            if not self.pump(patient(still_s)):
                return
        raise AssertionError(f"the screen did not become still\n{self.tell()}")

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self.process.poll() is None

    def wait(self, timeout_s: float = 30.0) -> Result:
        """The program's result; stdout is everything that the terminal got."""

        def ended() -> bool:
            self.pump(0.005)
            return not self.running

        wait_until(ended, timeout_s, lambda: f"the end of {self.argv!r}\n{self.tell()}", interval_s=0.0)
        self.pump()
        return Result(self.raw, b"", self.process.returncode)

    def hang_up(self) -> None:
        """Close the window."""
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def kill(self) -> None:
        """SIGKILL, reap, and close the window."""
        if self.running:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def tell(self) -> str:
        """What stands on the screen, and the end of what came."""
        if self._master >= 0:
            self.pump()
        state = "running" if self.running else f"ended with {self.process.returncode}"
        return (
            f"--- {self.argv!r} pid {self.process.pid}: {state}; cursor {self.emulator.cursor}\n"
            f"{self.emulator.text}\n--- last bytes: {self.raw[-600:]!r}\n"
        )
