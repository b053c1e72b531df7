"""How long things take: commands, keystrokes, queries, throughput, many at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import select
import shlex
import shutil
import statistics
import time
from collections.abc import Iterator

from .contenders import Standing
from .drive import Piped, Terminal, attend, pump
from .lab import Failed
from .table import Measure, Metrics
from .watch import cpu_with_ended_children_s

MB = 1_000_000
_typist = random.Random(11)


def run_true(standing: Standing) -> Metrics:
    """`true` through pipes. The processor time is the client's alone: what runs the command is no child of it."""
    running = standing.start("true")
    seconds = running.finish(standing.lab.buffer(1 << 16)).seconds
    return {"ms": seconds * 1000, "client_cpu_ms": running.child.cpu_s * 1000}


def true_after(silence_s: float) -> Measure:
    """A measurement: `true` after a silence of the worker that is no multiple of its poll."""

    def measure(standing: Standing) -> Metrics:
        time.sleep(silence_s + _typist.uniform(0, 1))
        return run_true(standing)

    return measure


def run_true_on_terminal(standing: Standing) -> Metrics:
    """`true` in a terminal window."""
    with window(standing, "true") as terminal:
        return {"ms": terminal.drain()[0] * 1000}


@contextlib.contextmanager
def window(
    standing: Standing, text: str, answers: bool = False, cwd: str | None = None
) -> Iterator[Terminal]:
    """A terminal window with `text` running in it."""
    terminal = Terminal(standing.argv(text, terminal=True), standing.env, cwd or standing.cwd, answers)
    try:
        yield terminal
    finally:
        terminal.close()


@contextlib.contextmanager
def windows(standing: Standing, texts: list[str], answers: bool = False) -> Iterator[list[Terminal]]:
    """Several windows, each in a directory of its own, each past its `ready`."""
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(window(standing, text, answers, standing.lab.fresh("cwd"))) for text in texts
        ]
        for terminal in opened:
            if b"ready" not in terminal.seen:
                terminal.wait_for(b"ready")
        yield opened


def typing(standing: Standing, keys: int = 60) -> Metrics:
    """Echo times of one who types four to thirty keys a second."""
    echo = standing.lab.inside("echo")
    with windows(standing, [echo]) as (terminal,):
        times = []
        for _ in range(keys):
            time.sleep(_typist.uniform(0.03, 0.25))
            times.append(terminal.key(b"x"))
    ordered = sorted(times)
    return {"p50_ms": statistics.median(times), "p95_ms": ordered[int(0.95 * (len(ordered) - 1) + 0.5)]}


def first_key_after(silence_s: float, sessions: int = 15) -> Measure:
    """A measurement: the median echo of the first key after silence, over several sessions that are silent together."""

    def measure(standing: Standing) -> Metrics:
        with windows(standing, [standing.lab.inside("echo")] * sessions) as terminals:
            for terminal in terminals:
                terminal.key(b"x")
            attend(terminals, silence_s)
            times = []
            for terminal in terminals:
                # They fell silent together, and so are looked at together: several looks apart, and not in step.
                attend(terminals, _typist.uniform(0.1, 2.1))
                times.append(terminal.key(b"y"))
        return {"ms": statistics.median(times), "worst_ms": max(times)}

    return measure


def query(standing: Standing) -> Metrics:
    """Cursor queries right after the start, within seconds of output, and within seconds of a key after a silence."""
    path = f"{standing.lab.fresh('answers')}/ms"
    steps = ["0", "0.3", "1", "3", "8", "k1", "k8"]
    with windows(standing, [standing.lab.inside("query", path, *steps)], answers=True) as (terminal,):
        for _ in range(2):
            terminal.wait_for(b"press")
            del terminal.seen[:]
            attend([terminal], 12)  # so that neither the last output nor the last key counts as recent
            os.write(terminal.master, b"k")
        results = _answers([terminal], [path], steps)
    fresh = [ms for step, ms in results if not step.startswith("k")]
    return {
        "fresh_ms": statistics.median(fresh),
        "fresh_worst_ms": max(fresh),
        "key_ms": statistics.median(ms for step, ms in results if step.startswith("k")),
    }


def query_after_silence(standing: Standing) -> Metrics:
    """Cursor queries after 50 s and then after 100 s without anything, in five sessions that are out of step."""
    lab, steps = standing.lab, ["50", "100"]
    paths = [f"{lab.fresh('answers')}/ms" for _ in range(5)]
    texts = [f"sleep {0.17 * n:.2f}; {lab.inside('query', path, *steps)}" for n, path in enumerate(paths)]
    with windows(standing, texts, answers=True) as terminals:
        results = _answers(terminals, paths, steps)
    return {
        f"after_{step}s_ms": statistics.median(ms for name, ms in results if name == step) for step in steps
    }


def _answers(terminals: list[Terminal], paths: list[str], steps: list[str]) -> list[tuple[str, float]]:
    patience_s = sum(float(step.lstrip("k")) for step in steps) + 30
    pump(
        terminals,
        lambda: all(_lines(path) == len(steps) for path in paths),
        patience_s,
        "answers to the queries",
    )
    results = []
    for path in paths:
        with open(path, encoding="ascii") as file:
            results += [(line.split()[0], float(line.split()[1])) for line in file]
    return results


def _lines(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().count("\n")
    except OSError:
        return 0


def output(size_bytes: int) -> Measure:
    """A measurement: `cat` of a binary file into a pipe, compared byte for byte by hash."""

    def measure(standing: Standing) -> Metrics:
        path, digest = standing.lab.data("binary", size_bytes)
        buffer = standing.lab.buffer(size_bytes)
        worker_cpu = _worker_cpu_s(standing)
        running = standing.start(f"cat {shlex.quote(path)}")
        outcome = running.finish(buffer)
        if outcome.output_bytes != size_bytes or hashlib.sha256(buffer).digest() != digest:
            raise Failed(f"not byte-exact: {outcome.output_bytes:,} of {size_bytes:,} bytes")
        figures = {"MB/s": size_bytes / MB / outcome.seconds, "client_cpu_s": running.child.cpu_s}
        if standing.worker is not None:
            time.sleep(0.3)  # the runner is still closing its books
            figures["worker_cpu_s"] = _worker_cpu_s(standing) - worker_cpu
        return figures

    return measure


def input_(size_bytes: int) -> Measure:
    """A measurement: binary data through stdin into sha256sum."""

    def measure(standing: Standing) -> Metrics:
        path, digest = standing.lab.data("binary", size_bytes)
        with open(path, "rb") as file:
            data = file.read()
        buffer = standing.lab.buffer(1 << 16)
        outcome = standing.start("sha256sum", with_input=True).finish(buffer, data)
        if bytes(buffer[:64]).decode("ascii", "replace") != digest.hex():
            raise Failed("not byte-exact: another hash on the other side")
        return {"MB/s": size_bytes / MB / outcome.seconds}

    return measure


def output_on_terminal(size_bytes: int, through: str = "") -> Measure:
    """A measurement: `cat` of a text file in a terminal window; the terminal's CR is added to what is expected.

    `through`: a command that runs the one in its last word on a terminal of its own.
    """

    def measure(standing: Standing) -> Metrics:
        path, digest = standing.lab.data("text", size_bytes)
        buffer = standing.lab.buffer(size_bytes + size_bytes // 32)
        text = f"cat {shlex.quote(path)}"
        with window(standing, f"{through} {shlex.quote(text)}" if through else text) as terminal:
            seconds, size = terminal.drain(buffer)
        if hashlib.sha256(bytes(buffer[:size]).replace(b"\r\n", b"\n")).digest() != digest:
            raise Failed(f"not what was sent: {size:,} bytes")
        return {"MB/s": size / MB / seconds}

    return measure


def codec(standing: Standing) -> Metrics:
    """What base64 alone takes of one processor: no stream of ours can be faster."""
    buffer = standing.lab.buffer(1 << 16)
    outcome = standing.start(standing.lab.inside("codec", "131072", "800")).finish(buffer)
    encode, decode = map(float, bytes(buffer[: outcome.output_bytes]).split())
    return {"encode_MB/s": encode, "decode_MB/s": decode}


def echo_operations(standing: Standing, times: int = 100) -> Metrics:
    """The operations on the share that an echo cannot do without: two appends, each read through the other mount.

    No process waits for another's turn here, and nothing is looked at in vain.
    """
    leaf = f"{os.path.basename(standing.lab.fresh('floor'))}-{os.getpid()}"
    one, other = f"{standing.client_share}/{leaf}", f"{standing.share}/{leaf}"
    samples = []
    try:
        for name in ("keys", "output"):
            os.close(os.open(f"{one}-{name}", os.O_WRONLY | os.O_CREAT, 0o600))
        for n in range(times):
            started = time.monotonic()
            _append_and_read(f"{one}-keys", f"{other}-keys", n)
            _append_and_read(f"{other}-output", f"{one}-output", n)
            samples.append((time.monotonic() - started) * 1000)
    finally:
        for name in ("keys", "output"):
            with contextlib.suppress(OSError):
                os.unlink(f"{one}-{name}")
    return {"ms": statistics.median(samples)}


def _append_and_read(here: str, there: str, number: int, size_bytes: int = 100) -> None:
    fd = os.open(here, os.O_WRONLY)
    os.pwrite(fd, b"x" * size_bytes, number * size_bytes)
    os.close(fd)
    fd = os.open(there, os.O_RDONLY)
    try:
        if len(os.pread(fd, 16384, number * size_bytes)) != size_bytes:
            raise Failed("the other mount does not show what was appended")
    finally:
        os.close(fd)


def true_operations(standing: Standing, times: int = 30) -> Metrics:
    """The operations on the share that a `true` cannot do without, up to the exit event that its client reads.

    FORMAT.md wants these files, made in this way and read by the other side; the ones that every client knows already
    (the namespace), the directory's lock, and all looks in vain are left out.
    """
    samples = []
    for n in range(times):
        leaf = f"{os.path.basename(standing.lab.fresh('floor'))}-{os.getpid()}-{n}"
        one, other = f"{standing.client_share}/{leaf}", f"{standing.share}/{leaf}"
        os.mkdir(one, 0o700)  # stands for `sessions`, so that a listing of it has one name
        try:
            started = time.monotonic()
            _publish_bare(f"{one}/session")
            _serve_bare(other)
            _read_whole(f"{one}/session/stream.jsonl")
            samples.append((time.monotonic() - started) * 1000)
        finally:
            shutil.rmtree(one, ignore_errors=True)
    return {"ms": statistics.median(samples)}


def _publish_bare(session: str) -> None:
    os.mkdir(session, 0o700)
    for name in ("stream.jsonl", "stdin.jsonl", "control.jsonl"):
        _write_bare(f"{session}/{name}", b"")
    for name in ("request.json", "status.json"):
        _write_bare(f"{session}/{name}.tmp")
        os.rename(f"{session}/{name}.tmp", f"{session}/{name}")


def _serve_bare(sessions: str) -> None:
    (name,) = os.listdir(sessions)
    session = f"{sessions}/{name}"
    _read_whole(f"{session}/status.json")
    _read_whole(f"{session}/request.json")
    _write_bare(f"{session}/claim.tmp")
    os.link(f"{session}/claim.tmp", f"{session}/worker.claim")
    for _event in ("started", "exit"):
        _write_bare(f"{session}/stream.jsonl", flags=os.O_APPEND)


def _write_bare(path: str, data: bytes = b"x" * 500, flags: int = os.O_CREAT) -> None:
    fd = os.open(path, os.O_WRONLY | flags, 0o600)
    if data:
        os.write(fd, data)
    os.close(fd)


def _read_whole(path: str) -> None:
    with open(path, "rb", buffering=0) as file:
        if not file.read(65536):
            raise Failed(f"the other mount shows nothing of {os.path.basename(path)}")


def at_once(text: str, count: int) -> Measure:
    """A measurement: `count` commands started together, each in a directory of its own, until the last has ended."""

    def measure(standing: Standing) -> Metrics:
        cwds = [standing.lab.fresh("cwd") for _ in range(count)]
        worker_cpu = _worker_cpu_s(standing)
        started = time.monotonic()
        running: list[Piped] = []
        try:
            running.extend(standing.start(text, cwd) for cwd in cwds)
            codes = [one.child.wait(90) for one in running]
        finally:
            for one in running:
                one.close()
                if not one.child.ended():
                    one.child.kill()
        figures = {"s": time.monotonic() - started, "failures": float(sum(code != 0 for code in codes))}
        figures["client_cpu_s"] = sum(one.child.cpu_s for one in running)
        if standing.worker is not None:
            time.sleep(0.3)  # the last runners are still closing their books
            figures["worker_cpu_s"] = _worker_cpu_s(standing) - worker_cpu
        return figures

    return measure


def _worker_cpu_s(standing: Standing) -> float:
    return 0.0 if standing.worker is None else cpu_with_ended_children_s(standing.worker.pid)


def fairness(standing: Standing, streams: int = 9, seconds: float = 5.0) -> Metrics:
    """Nine sessions that stream without end: the worst off or best off beside the mean of the others."""
    running = [standing.start("cat /dev/zero", standing.lab.fresh("cwd")) for _ in range(streams)]
    try:
        counts = _read_all(running, seconds)
    finally:
        for one in running:
            one.close()
        for one in running:
            one.child.end()
    return {
        "one_to_others": max(_unlike(counts, n) for n in range(streams)),
        "max_to_min": max(counts) / min(counts),
        "total_MB/s": sum(counts) / MB / seconds,
    }


def _unlike(counts: list[int], number: int) -> float:
    others = statistics.mean(count for n, count in enumerate(counts) if n != number)
    return max(counts[number] / others, others / counts[number])


def _read_all(running: list[Piped], seconds: float) -> list[int]:
    counts = dict.fromkeys((one.output for one in running), 0)
    poll = select.poll()
    for fd in counts:
        poll.register(fd, select.POLLIN)
    buffer = bytearray(1 << 20)
    warm, end = False, time.monotonic() + 30
    while time.monotonic() < end:
        for fd, _ in poll.poll(100):
            got = os.readv(fd, [buffer])
            if got == 0:
                raise Failed("a stream ended by itself")
            counts[fd] += got
        if not warm and min(counts.values()) > 0:
            warm, end = True, time.monotonic() + seconds
            counts = dict.fromkeys(counts, 0)
    silent = sum(count == 0 for count in counts.values())
    if silent:
        when = f"for {seconds:.0f} s while the others streamed" if warm else "within 30 s of the start"
        raise Failed(f"{silent} of {len(counts)} sessions got nothing {when}")
    return list(counts.values())
