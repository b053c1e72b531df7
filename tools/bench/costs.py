"""What it costs to be there: idle workers and sessions, memory, chatty sessions, operations per command."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

from .contenders import Standing
from .drive import Terminal, attend
from .lab import Child, Failed, await_condition
from .measures import windows
from .table import Measure, Metrics
from .watch import Strace, Tally, cpu_percent, cpu_seconds, own_processes, pss_mb, read_trace, strace_prefix

_WINDOW_S = 20.0  # counts below ten a second need this long to be known to a few percent


def _worker(standing: Standing) -> Child:
    if standing.worker is None:
        raise Failed("has no worker of its own")
    return standing.worker


def _roots(standing: Standing) -> tuple[str, ...]:
    return tuple({standing.share, standing.client_share})


def _count(standing: Standing, pids: list[int], seconds: float) -> Tally:
    strace = Strace(standing.env, standing.log, _roots(standing), pids)
    time.sleep(seconds)
    return strace.stop()


def idle_worker(standing: Standing) -> Metrics:
    """The worker with nothing to do, once its polls have slowed down."""
    worker = _worker(standing)
    time.sleep(15)
    cpu = cpu_percent(own_processes(worker.pid), 30)
    tally = _count(standing, own_processes(worker.pid), _WINDOW_S)
    return {"visits/s": tally.visits / _WINDOW_S, "cpu_%": cpu, "looks/s": tally.looks / _WINDOW_S}


def idle_session(silence_s: float) -> Measure:
    """A measurement: an interactive session that nobody uses: its client, its runner, and the worker behind it.

    Beside the sum stand the session's own, and the scheduler's, which an idle worker makes once for all sessions.
    """

    def measure(standing: Standing) -> Metrics:
        worker = _worker(standing)
        with _echoing(standing, 1) as (terminal,):
            attend([terminal], silence_s)
            clients, workers = own_processes(terminal.child.pid), own_processes(worker.pid)
            tally = _count(standing, clients + workers, _WINDOW_S)
            before, start = [cpu_seconds(clients), cpu_seconds(workers)], time.monotonic()
            attend([terminal], 30)
            wall = time.monotonic() - start
            client_cpu, worker_cpu = cpu_seconds(clients) - before[0], cpu_seconds(workers) - before[1]
        rate = {pid: count / _WINDOW_S for pid, count in tally.by_pid.items()}
        scheduler = rate.get(worker.pid, 0.0)
        return {
            "visits/s": tally.visits / _WINDOW_S,
            "session_visits/s": tally.visits / _WINDOW_S - scheduler,
            "client_visits/s": sum(rate.get(pid, 0.0) for pid in clients),
            "scheduler_visits/s": scheduler,
            "client_cpu_%": client_cpu / wall * 100,
            "worker_cpu_%": worker_cpu / wall * 100,
        }

    return measure


@contextlib.contextmanager
def _echoing(standing: Standing, count: int) -> Iterator[list[Terminal]]:
    with windows(standing, [standing.lab.inside("echo")] * count) as terminals:
        for terminal in terminals:
            terminal.key(b"x")
        yield terminals


def memory(standing: Standing) -> Metrics:
    """PSS of the idle worker, of a client with a session, and what each further session adds on the worker's side."""
    worker = _worker(standing)
    # An earlier round's runners are still on their way out; the worker's own are its scheduler and its standby.
    await_condition(lambda: len(own_processes(worker.pid)) <= 2, 30, "end of the runners of an earlier round")
    alone = sum(pss_mb(pid) for pid in own_processes(worker.pid))
    with _echoing(standing, 5) as terminals:
        attend(terminals, 3)
        clients = [[pss_mb(pid) for pid in own_processes(terminal.child.pid)] for terminal in terminals]
        everybody = own_processes(worker.pid)
        five = sum(pss_mb(pid) for pid in everybody)
        terminals[0].child.end()
        await_condition(
            lambda: len(own_processes(worker.pid)) < len(everybody), 10, "end of the first session's runner"
        )
        four = sum(pss_mb(pid) for pid in own_processes(worker.pid))
    figures = {"client_mb": max(map(sum, clients)), "worker_mb": alone, "session_mb": five - four}
    for number, part in enumerate(clients[0]):
        figures[f"client_process_{number}_mb"] = part
    return figures


def chatty(
    standing: Standing, seconds: float = 36.0, rate: float = 10_000_000 / 86_400, size: int = 50
) -> Metrics:
    """Ten million small writes a day: what the stream takes, and whether memory grows.

    The first third is let pass: for ten seconds after its start a session is served as if somebody typed.
    """
    worker = _worker(standing)
    before = set(standing.sessions())
    text = f"echo ready; sleep 1; {standing.lab.inside('chatty', str(seconds), str(rate), str(size))}; sleep 1; read x"
    with windows(standing, [text]) as (terminal,):
        (session,) = set(standing.sessions()) - before
        stream = f"{session}/stream.jsonl"
        attend([terminal], seconds * 0.35)
        early = _footprint(terminal, worker)
        start_records, start = _records(stream), time.monotonic()
        attend([terminal], seconds * 0.55)
        records = (_records(stream) - start_records) / (time.monotonic() - start)
        late = _footprint(terminal, worker)
        attend([terminal], seconds * 0.1 + 3)
        total = _records(stream)
        stream_bytes = os.path.getsize(stream)
    written = int(seconds * rate) * (size + 1)  # the terminal adds a CR to each line
    return {
        "stream_over_output": (stream_bytes - 100 * total) / written,
        "records/s": records,
        "growth_mb": max(late[0] - early[0], late[1] - early[1]),
        "stream_bytes_per_write": stream_bytes / int(seconds * rate),
    }


def _footprint(terminal: Terminal, worker: Child) -> tuple[float, float]:
    sides = (own_processes(terminal.child.pid), own_processes(worker.pid))
    client, runners = (sum(pss_mb(pid) for pid in pids) for pids in sides)
    return client, runners


def _records(stream: str) -> int:
    with open(stream, "rb") as file:
        return file.read().count(b"\n")


def operations_of_true(standing: Standing) -> Metrics:
    """Visits to the share by one `true`, on each side (both traced, so it takes longer than usual)."""
    worker = _worker(standing)
    trace = standing.log + ".client-trace"
    strace = Strace(standing.env, standing.log, _roots(standing), own_processes(worker.pid))
    try:
        standing.start("true", before=strace_prefix(trace)).finish(standing.lab.buffer(1 << 16))
    finally:
        time.sleep(0.2)  # the runner may still be closing its books
        there = strace.stop()
    here = read_trace(trace, _roots(standing))
    return {
        "client_visits": here.visits,
        "client_looks": here.looks,
        "worker_visits": there.visits,
        "worker_looks": there.looks,
        "fsyncs": here.fsyncs + there.fsyncs,
    }


def operations_of_chat(standing: Standing) -> Metrics:
    """Visits to the share during ten seconds of chatty output (100 writes a second)."""
    worker = _worker(standing)
    with windows(standing, [f"echo ready; {standing.lab.inside('chatty', '25', '100', '50')}"]) as (
        terminal,
    ):
        attend([terminal], 2)
        strace = Strace(
            standing.env,
            standing.log,
            _roots(standing),
            own_processes(terminal.child.pid) + own_processes(worker.pid),
        )
        attend([terminal], 10)
        tally = strace.stop()
    return {"visits/s": tally.visits / 10, "fsyncs": float(tally.fsyncs)}


def visits_of_idle_sessions(standing: Standing, count: int) -> float:
    """Visits a second of `count` sessions that have been idle for 20 s, both sides and the worker."""
    worker = _worker(standing)
    with _echoing(standing, count) as terminals:
        attend(terminals, 20)
        pids = own_processes(worker.pid) + [pid for t in terminals for pid in own_processes(t.child.pid)]
        return _count(standing, pids, 10).visits / 10
