"""The test's side of a rig: makes things go wrong, and reads what was counted.

By hand, while a rig runs: `python -m tests.mounts.control STATE counts [--server] [--mount a]`, `… reset`,
`… fault act=error ops=write path=*/stream.jsonl error=EIO`, `… latency 0.001`, `… space 100000 [EDQUOT]`, `… clear`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.mounts.counters import KINDS, Counters
from tests.mounts.faults import Rule, Settings
from tests.mounts.space import Space
from tests.mounts.tally import Tally

Ops = str | Sequence[str]


class Fault:
    """A rule that is in force until it is removed (or has done what it had to)."""

    def __init__(self, control: Control, rule: Rule) -> None:
        self._control = control
        self.rule = rule

    @property
    def fired(self) -> int:
        """How many requests it has hit, on all mounts together."""
        return self._control.fired(self.rule.id)

    def remove(self) -> None:
        """End it; requests that it stalls go on."""
        self._control.remove(self)


class Control:
    """The control file and the counts of the mounts `labels`, in the directory `state`."""

    injects = True
    """False for rigs of real filesystems: their control can do none of this."""

    def __init__(self, state: Path, labels: Sequence[str]) -> None:
        self.state = state
        self.labels = tuple(labels)
        self._crash: Callable[[str], None] | None = None
        self._file = state / "control.json"
        self._settings = Settings()
        if self._file.exists():
            self._settings = Settings.decode(self._file.read_bytes())
        self._last_id = max((rule.id for rule in self._settings.rules), default=0)
        self._counters = {label: Counters(state / f"{label}.counts") for label in self.labels}
        self._space = Space(state / "space")
        self._tally = Tally(state / "tally")
        self._publish(self._settings)

    def close(self) -> None:
        """Let go of the counts."""
        for counters in self._counters.values():
            counters.close()

    def _publish(self, settings: Settings) -> None:
        """Replace the file; its time always rises, so that no mount takes it for the one it knows."""
        before_ns = self._file.stat().st_mtime_ns if self._file.exists() else 0
        temporary = self.state / ".control.json"
        temporary.write_bytes(settings.encode())
        now_ns = max(time.time_ns(), before_ns + 1)
        os.utime(temporary, ns=(now_ns, now_ns))
        temporary.rename(self._file)
        self._settings = settings

    # Faults

    def add(self, act: str, ops: Ops = (), path: str = "*", **details: Any) -> Fault:
        """Put a rule in force; `faults.Rule` says what the details mean."""
        self._last_id += 1
        rule = Rule(self._last_id, act, (ops,) if isinstance(ops, str) else tuple(ops), path, **details)
        self._publish(replace(self._settings, rules=(*self._settings.rules, rule)))
        return Fault(self, rule)

    def fail(self, ops: Ops, path: str = "*", error: str = "EIO", **details: Any) -> Fault:
        """The request fails and nothing is done; a failed `flush` or `fsync` loses what waited.

        The kernel repeats an `open` once after ESTALE, as it does on NFS, and a look-up (`getattr`) once after any
        error: a caller sees those only from `times=2` on.
        """
        return self.add("error", ops, path, error=error, **details)

    def stall(
        self,
        ops: Ops = (),
        path: str = "*",
        *,
        seconds: float | None = None,
        times: int | None = None,
        **details: Any,
    ) -> Fault:
        """Requests hang, for `seconds` each or until the fault is removed, and are then carried out."""
        return self.add("stall", ops, path, seconds=seconds, times=times, **details)

    def delay(
        self, ops: Ops, path: str = "*", *, seconds: float, times: int | None = None, **details: Any
    ) -> Fault:
        """Requests take so much longer."""
        return self.add("delay", ops, path, seconds=seconds, times=times, **details)

    def shorten(
        self, ops: Ops, path: str = "*", *, size_bytes: int, error: str = "ENOSPC", **details: Any
    ) -> Fault:
        """A read or write does no more than that; a `flush` writes that much back and then fails with `error`."""
        return self.add("short", ops, path, size_bytes=size_bytes, error=error, **details)

    def lose_reply(self, ops: Ops, path: str = "*", error: str = "EIO", **details: Any) -> Fault:
        """The request is carried out, and its caller is told that it failed."""
        return self.add("lost_reply", ops, path, error=error, **details)

    def tear(
        self, path: str = "*", *, seconds: float | None = None, ops: Ops = ("flush", "fsync"), **details: Any
    ) -> Fault:
        """The end of the data arrives first: for so long (or until the fault is removed) others see NULs in place of
        the beginning."""
        return self.add("tear", ops, path, seconds=seconds, **details)

    def latency(self, seconds: float, mount: str | None = None) -> None:
        """What each answer of the server takes; requests that the caches answer stay quick."""
        changed = {label: seconds for label in self.labels if mount in (None, label)}
        self._publish(replace(self._settings, latency_s={**self._settings.latency_s, **changed}))

    def limit_space(self, size_bytes: int | None, error: str = "ENOSPC", at: str = "close") -> None:
        """All files together may grow by that much from now on; None lifts the limit. `at` is `close` or `write`."""
        self._space.reset()
        settings = replace(self._settings, space_bytes=size_bytes, space_error=error, space_at=at)
        self._publish(settings)

    def lose_locks(self, mount: str) -> None:
        """The server forgets the locks of that client. Takes hold at the next request on that mount."""
        losses = self._settings.lost_locks
        self._publish(replace(self._settings, lost_locks={**losses, mount: losses.get(mount, 0) + 1}))

    def on_crash(self, crash: Callable[[str], None]) -> None:
        """Whoever started the mounts says how to kill one."""
        self._crash = crash

    def crash(self, mount: str) -> None:
        """That host dies: its process is killed, with everything that it had not written back."""
        if self._crash is None:
            raise RuntimeError("this rig was not started from here")
        self._crash(mount)

    def remove(self, fault: Fault) -> None:
        """End one fault."""
        kept = tuple(rule for rule in self._settings.rules if rule.id != fault.rule.id)
        self._publish(replace(self._settings, rules=kept))

    def clear(self) -> None:
        """No faults, no latency, no limit."""
        self._publish(Settings(lost_locks=self._settings.lost_locks))

    # Counts

    def _baseline(self, label: str) -> dict[str, dict[str, int]]:
        path = self.state / f"{label}.baseline"
        if not path.exists():
            return {}
        found: dict[str, dict[str, int]] = json.loads(path.read_bytes())
        return found

    def counts(self, mount: str | None = None, *, server: bool = False) -> dict[str, int]:
        """Requests since the last reset by kind, of one mount or of all; `server`: those that no cache answered."""
        total = dict.fromkeys(KINDS, 0)
        for label in self.labels:
            if mount in (None, label):
                counters = self._counters[label]
                now = counters.served() if server else counters.requests()
                before = self._baseline(label).get("server" if server else "requests", {})
                for kind in KINDS:
                    total[kind] += now[kind] - before.get(kind, 0)
        return total

    def reset_counts(self) -> None:
        """Count from here."""
        for label, counters in self._counters.items():
            baseline = {"requests": counters.requests(), "server": counters.served()}
            (self.state / f"{label}.baseline").write_text(json.dumps(baseline))

    def fired(self, rule_id: int) -> int:
        """How often a rule took effect, on all mounts together."""
        return self._tally.fired(rule_id)


def _words(control: Control, command: str, rest: list[str]) -> None:
    if command == "reset":
        control.reset_counts()
    elif command == "clear":
        control.clear()
    elif command == "latency":
        control.latency(float(rest[0]))
    elif command == "space":
        control.limit_space(int(rest[0]), *rest[1:])
    elif command == "fault":
        values = dict(word.split("=", 1) for word in rest)
        details: dict[str, Any] = {
            key: float(value) if key in ("seconds", "for_s") else int(value) if value.isdigit() else value
            for key, value in values.items()
            if key not in ("act", "ops")
        }
        control.add(values["act"], values.get("ops", "").split(",") if "ops" in values else (), **details)
    elif command == "counts":
        mount = rest[rest.index("--mount") + 1] if "--mount" in rest else None
        counts = control.counts(mount, server="--server" in rest)
        for kind, count in counts.items():
            print(f"{kind:12}{count}")
    else:
        raise SystemExit(__doc__)


def main() -> None:
    """Act on a rig that runs, from another shell."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    state = Path(sys.argv[1])
    labels = sorted(path.stem for path in state.glob("*.counts"))
    if not labels:
        raise SystemExit(f"no rig in `{state}`: give the directory that `twocache` printed as its state")
    _words(Control(state, labels), sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
