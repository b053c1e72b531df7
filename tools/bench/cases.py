"""The table of cases: to measure something else, add a row. Targets are those of the project's performance goals.

A row names who takes part, how it is measured (measures.py, costs.py) and what is expected. Ratios are medians of the
ratios of the rounds; the contenders of a round follow one another, so that noise of the machine hits all of them alike.
"""

from __future__ import annotations

from . import budget, costs, measures
from .contenders import Standing
from .table import Case, Curve, Target

BASH, SSH, MUX, SSH_TT, MUX_TT = "bash", "ssh -T", "ssh -T mux", "ssh -tt", "ssh -tt mux"
PIGEON, CONFIG, CROWD, TRACED = "pigeon", "pigeon+config", "pigeon+10000", "pigeon+trace"
TWO_CACHES = "pigeon+twocache"
PYTHON, BARE_CLIENT = "python", "bare client"
CROWD_SIZE = 10_000
ON_PIPES = (BASH, MUX, SSH, PIGEON)
ON_TERMINAL = (BASH, MUX_TT, PIGEON)
ALONE = (PIGEON,)

CASES: tuple[Case, ...] = (
    Case(
        "true",
        "`true` through pipes, ms",
        (BASH, MUX, SSH, PIGEON, CONFIG),
        measures.run_true,
        rounds=15,
        repeat=3,
        targets=(
            Target("ms", 3.2, aim=2.5, over=MUX),
            Target("ms", 7.0, aim=5.5, over=BASH),
            Target("ms", 11.0, who=CONFIG, minus=PIGEON),
        ),
    ),
    Case(
        "floor-start",
        "what no program in Python, and no client with pigeon's imports, can be faster than, ms",
        (BASH, MUX, PYTHON, BARE_CLIENT, PIGEON),
        measures.run_true,
        rounds=15,
        repeat=3,
        peers=False,
    ),
    Case(
        "floor-codec",
        "what no stream can be faster than: base64 on one processor, MB/s",
        (BASH,),
        measures.codec,
        rounds=5,
        peers=False,
    ),
    Case(
        "floor-echo-twocache",
        "what no echo on the two-cache filesystem can be faster than: its operations, one after another, ms",
        (TWO_CACHES,),
        measures.echo_operations,
        rounds=3,
        peers=False,
    ),
    Case(
        "floor-true-twocache",
        "what no `true` on the two-cache filesystem can be faster than: the operations of its format, ms",
        (TWO_CACHES,),
        measures.true_operations,
        rounds=3,
        peers=False,
    ),
    Case(
        "budget",
        "where the milliseconds of `true` go: when each step is reached, ms since the start",
        (TRACED,),
        budget.steps_of_true,
        rounds=15,
        peers=False,
        steps=True,
    ),
    Case(
        "true-tty",
        "`true` on a terminal, ms",
        (BASH, MUX_TT, SSH_TT, PIGEON),
        measures.run_true_on_terminal,
        rounds=15,
        repeat=3,
        targets=(Target("ms", 3.5, aim=2.8, over=MUX_TT),),
    ),
    Case(
        "true-crowd",
        "`true` with 10,000 finished sessions on the share, ms",
        (PIGEON, CROWD),
        measures.run_true,
        rounds=10,
        repeat=3,
        targets=(Target("ms", 1.15, who=CROWD, over=PIGEON),),
    ),
    Case(
        "true-idle",
        "`true` after the worker was idle for a minute, ms",
        ALONE,
        measures.true_after(60),
        minutes=True,
        rounds=5,
        targets=(Target("ms", 250.0),),
    ),
    Case(
        "true-twocache",
        "`true` on the two-cache filesystem (3 s, 30 s, 1 ms an operation), ms",
        (TWO_CACHES,),
        measures.run_true,
        rounds=10,
        repeat=3,
        peers=False,
        targets=(Target("ms", 60.0, who=TWO_CACHES),),
    ),
    Case(
        "echo-twocache",
        "keystroke echo on the two-cache filesystem, ms",
        (TWO_CACHES,),
        measures.typing,
        rounds=5,
        peers=False,
        targets=(Target("p50_ms", 15.0, who=TWO_CACHES), Target("p95_ms", 40.0, who=TWO_CACHES)),
    ),
    Case(
        "echo",
        "keystroke echo while typing, ms",
        ON_TERMINAL,
        measures.typing,
        rounds=5,
        targets=(Target("p50_ms", 2.0), Target("p95_ms", 6.0)),
    ),
    Case(
        "key-1min",
        "first key after 1 min of silence, ms",
        ALONE,
        measures.first_key_after(60),
        minutes=True,
        targets=(Target("ms", 60.0),),
    ),
    Case(
        "key-10min",
        "first key after 10 min of silence, ms",
        ALONE,
        measures.first_key_after(600),
        long=True,
        targets=(Target("ms", 150.0),),
    ),
    Case(
        "key-1h",
        "first key after 1 h of silence, ms",
        ALONE,
        measures.first_key_after(3600),
        long=True,
        targets=(Target("ms", 300.0),),
    ),
    Case(
        "query",
        "cursor query of the program, answered by the terminal, ms",
        (MUX_TT, PIGEON),
        measures.query,
        minutes=True,
        targets=(Target("fresh_ms", 10.0), Target("key_ms", 10.0)),
    ),
    Case(
        "query-idle",
        "cursor query after silence, ms",
        ALONE,
        measures.query_after_silence,
        minutes=True,
        targets=(Target("after_50s_ms", 100.0), Target("after_100s_ms", 500.0)),
    ),
    Case(
        "output",
        "200 MB of output to a pipe, MB/s",
        ON_PIPES,
        measures.output(200 * measures.MB),
        rounds=5,
        targets=(Target("MB/s", 150.0, at_least=True), Target("MB/s", 1.2, over=SSH, at_least=True)),
    ),
    Case(
        "input",
        "100 MB of input from a pipe, MB/s",
        ON_PIPES,
        measures.input_(100 * measures.MB),
        rounds=5,
        targets=(Target("MB/s", 90.0, at_least=True),),
    ),
    Case(
        "output-tty",
        "50 MB of output on a terminal, MB/s",
        (BASH, MUX_TT, SSH_TT, PIGEON),
        measures.output_on_terminal(50 * measures.MB),
        rounds=5,
        targets=(Target("MB/s", 70.0, at_least=True),),
    ),
    Case(
        "storm",
        "200 x `true` at once, s",
        (BASH, MUX, PIGEON),
        measures.at_once("true", 200),
        rounds=3,
        targets=(Target("s", 3.0), Target("failures", 0.0)),
    ),
    Case(
        "sleepers",
        "32 x `sleep 0.5` at once, s",
        (BASH, MUX, PIGEON),
        measures.at_once("sleep 0.5", 32),
        rounds=3,
        targets=(Target("s", 0.9), Target("failures", 0.0)),
    ),
    Case(
        "fairness",
        "one session while 8 others stream",
        (MUX, PIGEON),
        measures.fairness,
        rounds=3,
        targets=(Target("one_to_others", 2.0),),
    ),
    Case(
        "idle-worker",
        "idle worker: visits to the share, CPU",
        (PIGEON, CROWD),
        costs.idle_worker,
        minutes=True,
        targets=(
            Target("visits/s", 8.0),
            Target("cpu_%", 0.3),
            Target("visits/s", 1.5, who=CROWD, over=PIGEON),
            Target("cpu_%", 3.0, who=CROWD),
        ),
    ),
    Case(
        "idle-session",
        "interactive session idle for 1 min, both sides",
        ALONE,
        costs.idle_session(60),
        minutes=True,
        targets=(Target("visits/s", 40.0), Target("client_cpu_%", 0.4), Target("worker_cpu_%", 0.4)),
    ),
    Case(
        "idle-session-10min",
        "interactive session idle for 10 min, both sides",
        ALONE,
        costs.idle_session(600),
        long=True,
        targets=(Target("visits/s", 12.0), Target("client_cpu_%", 0.4), Target("worker_cpu_%", 0.4)),
    ),
    Case(
        "idle-session-1h",
        "interactive session idle for 1 h, both sides",
        ALONE,
        costs.idle_session(3600),
        long=True,
    ),
    Case(
        "memory",
        "memory (PSS), MB",
        ALONE,
        costs.memory,
        rounds=3,
        targets=(Target("client_mb", 10.0), Target("worker_mb", 26.0), Target("session_mb", 7.0)),
    ),
    Case(
        "chatty",
        "ten million small writes a day, for 20 s after the first 12",
        ALONE,
        costs.chatty,
        targets=(Target("stream_over_output", 1.4), Target("records/s", 20.0), Target("growth_mb", 0.5)),
    ),
    Case(
        "visits-true",
        "operations on the share by one `true`",
        ALONE,
        costs.operations_of_true,
        rounds=3,
        targets=(Target("fsyncs", 0.0),),
    ),
    Case(
        "visits-chatty",
        "operations on the share by a second of chatty output",
        ALONE,
        costs.operations_of_chat,
        targets=(Target("fsyncs", 0.0),),
    ),
)


def _true_ms(standing: Standing, _: int) -> float:
    import statistics

    return statistics.median(measures.run_true(standing)["ms"] for _ in range(9))


CURVES: tuple[Curve, ...] = (
    Curve(
        "finished",
        "`true` beside finished sessions",
        "finished sessions on the share",
        "ms (median)",
        (1, 100, 1000, 10_000),
        ALONE,
        _true_ms,
        crowd=True,
    ),
    Curve(
        "idle",
        "operations on the share by idle sessions",
        "interactive sessions, idle for 20 s",
        "visits/s, all sides",
        (0, 1, 2, 4, 8, 16),
        ALONE,
        costs.visits_of_idle_sessions,
        log_x=False,
    ),
    Curve(
        "at-once",
        "`true` many times at once",
        "sessions at once",
        "s",
        (1, 4, 16, 64, 200),
        (BASH, MUX, PIGEON),
        lambda standing, count: measures.at_once("true", count)(standing)["s"],
    ),
    Curve(
        "output",
        "output to a pipe",
        "MB",
        "MB/s",
        (1, 4, 16, 64, 256),
        ON_PIPES,
        lambda standing, size: measures.output(size * measures.MB)(standing)["MB/s"],
    ),
    Curve(
        "input",
        "input from a pipe",
        "MB",
        "MB/s",
        (1, 4, 16, 64),
        ON_PIPES,
        lambda standing, size: measures.input_(size * measures.MB)(standing)["MB/s"],
    ),
)
