"""The journal's schema, as one set of migrations in the order in which they are applied.

A function here is never changed once it has been released: another is put behind it. `pigeon worker` applies what is
missing when it opens a journal; `sqlite-utils migrate JOURNAL` does the same by hand. This file therefore imports
nothing of pigeon. Beside each column stand its unit and what NULL means; SQLite keeps these comments in the database.
"""

from sqlite_utils import Database, Migrations

migrations = Migrations("pigeon")


@migrations()
def m001_sessions_waits_events(db: Database) -> None:
    """The three tables of version 1: one row a claim, one a wait, one an event."""
    for statement in (_SESSIONS_1, _WAITS_1, _EVENTS_1, *_INDEXES_1):
        db.execute(statement)


@migrations()
def m002_views(db: Database) -> None:
    """Readable names for people and their tools; the tables, and so older processes that write them, stay as they are.

    There are no foreign keys, since none would hold: a session may have several rows in `sessions` (one a claim), and
    `waits` and `events` also know sessions that this journal's workers never claimed.
    """
    for statement in (_COMMANDS_2, _WAITING_2, _DAYS_2, _DIRECTORIES_2):
        db.execute(statement)


@migrations()
def m003_destinations(db: Database) -> None:
    """Where lent networks were connected to (`pigeon net`), one row for each session, host and port."""
    for statement in (_DESTINATIONS_3, _DESTINATIONS_INDEX_3):
        db.execute(statement)


@migrations()
def m004_wrapped(db: Database) -> None:
    """What the worker put before the command."""
    db.execute(_WRAPPED_4)


@migrations()
def m005_launched(db: Database) -> None:
    """By what another worker was started for a session, and where that ran."""
    for statement in _LAUNCHED_5:
        db.execute(statement)


_SESSIONS_1 = """
CREATE TABLE sessions (
    -- Texts are TEXT, or BLOB where they are bytes that are not UTF-8. Stamps are unix seconds (UTC) of the worker's
    -- clock, for people only. NULL: not known, or not yet.
    claim_token TEXT PRIMARY KEY NOT NULL, -- 32 hex digits, also in worker.claim
    session_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,                -- raised by whoever takes the session over; steps name the one they know
    state TEXT NOT NULL,                   -- claiming, claimed, starting, running, exited, final
    cache TEXT,                            -- the shared directory's path on the worker
    namespace TEXT,
    route TEXT,                            -- NULL: the session names none
    cwd TEXT,                              -- the resolved directory that it runs in
    command TEXT,                          -- argv, a JSON list; lone surrogates as escapes
    requester_host TEXT,
    requester_pid INTEGER,
    requester_user TEXT,
    worker_id TEXT,
    worker_host TEXT,
    worker_pid INTEGER,                    -- of the scheduler that found the session
    boot_id TEXT,                          -- boot and pid namespace in which the pids are meant
    runner_pid INTEGER,
    runner_start INTEGER,                  -- clock ticks since boot, tells a reused pid
    runner_lock TEXT,                      -- path of the file on which the runner holds its proof of life
    command_pid INTEGER,                   -- NULL: never started, or not known to have been
    command_start INTEGER,                 -- clock ticks since boot
    terminal INTEGER,                      -- 1: on a PTY, 0: on pipes
    lock_mode TEXT,                        -- cwd, none
    on_disconnect TEXT,                    -- hangup, keep
    seen_at REAL,                          -- the worker first saw the session
    claimed_at REAL,
    started_at REAL,                       -- NULL: the command has not been started
    ended_at REAL,                         -- the command's processes were waited for
    final_at REAL,                         -- the final status was published
    lock_wait_s REAL,                      -- seconds of waiting for the directory, by a monotonic clock
    slot_wait_s REAL,                      -- seconds of waiting for a slot, by a monotonic clock
    run_s REAL,                            -- seconds from start to end, by a monotonic clock; NULL: did not end
    return_code INTEGER,                   -- raw, negative for a signal; NULL: no command was waited for
    exit_code INTEGER,                     -- as published
    outcome TEXT,                          -- succeeded, failed, cancelled; NULL: not final
    ended_by TEXT,                         -- recovery, takeover, client; NULL: its own runner, or not final
    error TEXT,                            -- why it failed or was cancelled; NULL: no more to say than the exit code
    bytes_in INTEGER,                      -- input passed to the command
    bytes_out_pty INTEGER,                 -- output, for each channel
    bytes_out_stdout INTEGER,
    bytes_out_stderr INTEGER,
    stream_bytes INTEGER,                  -- size of stream.jsonl
    stdin_bytes INTEGER,                   -- bytes of stdin.jsonl that have been consumed
    signals INTEGER                        -- signals passed on
)
"""

_WAITS_1 = """
CREATE TABLE waits (
    session_id TEXT NOT NULL,
    worker_id TEXT NOT NULL,               -- the worker on which it waited
    reason TEXT NOT NULL,                  -- slot, directory, client
    held_by TEXT,                          -- session id or text; NULL: not known
    since REAL NOT NULL,                   -- unix seconds (UTC), for people
    waited_s REAL                          -- seconds by a monotonic clock; NULL: waiting, or the worker died
)
"""

_EVENTS_1 = """
CREATE TABLE events (
    session_id TEXT NOT NULL,
    at REAL NOT NULL,                      -- unix seconds (UTC), for people; the order is that of rowid
    event TEXT NOT NULL,                   -- a state of sessions that was entered, or another name
    detail TEXT                            -- a JSON object; NULL: nothing to add
)
"""

_INDEXES_1 = (
    "CREATE INDEX sessions_session_id ON sessions (session_id)",
    # Recovery looks every few seconds: what it pays must not grow with what has finished.
    "CREATE INDEX sessions_unfinished ON sessions (cache, namespace) WHERE state <> 'final'",
    "CREATE INDEX waits_session_id ON waits (session_id)",
    "CREATE INDEX events_session_id ON events (session_id)",
)

# A text as it was typed, where pigeon put `bash -lc` before it; else the words. One that holds bytes that are not UTF-8
# (a lone surrogate, which is an escape in the column) stays the JSON that it is: decoded, no program could read it.
_TYPED_2 = """
CASE
    WHEN NOT coalesce(json_valid(command), 0) OR instr(command, '\\ud') THEN command
    WHEN json_type(command) <> 'array' THEN command
    WHEN json_array_length(command) = 3
        AND json_extract(command, '$[0]') = 'bash' AND json_extract(command, '$[1]') = '-lc'
    THEN json_extract(command, '$[2]')
    ELSE (SELECT group_concat(value, ' ') FROM json_each(command))
END"""

_TEXT_2 = "CASE typeof({0}) WHEN 'blob' THEN 'x''' || hex({0}) || '''' ELSE {0} END"
"""A path that is not UTF-8 as SQLite's own literal of its bytes."""

_COMMANDS_2 = f"""
CREATE VIEW commands AS
SELECT
    -- One row a command; pigeon's own questions to a worker (`history` from another machine, say) are left out.
    session_id,
    strftime('%Y-%m-%dT%H:%M:%SZ', coalesce(started_at, claimed_at, seen_at), 'unixepoch') AS at, -- UTC
    {_TEXT_2.format("cwd")} AS directory,
    {_TYPED_2} AS command,
    CASE
        WHEN state IN ('claiming', 'claimed') THEN 'claimed'
        WHEN state = 'starting' THEN 'running'
        WHEN state <> 'final' THEN state
        WHEN outcome <> 'failed' THEN outcome
        WHEN return_code < 0 THEN 'signal ' || -return_code
        WHEN ended_by IS NOT NULL AND return_code IS NULL THEN 'lost'
        WHEN exit_code IS NOT NULL THEN 'exit ' || exit_code
        ELSE 'failed'
    END AS ended,          -- succeeded, cancelled, exit N, signal N, lost; or claimed, running, exited: not final yet
    exit_code,
    run_s,                 -- seconds from start to end; NULL: did not end, or was not started
    coalesce(slot_wait_s, 0) + coalesce(lock_wait_s, 0) AS wait_s, -- seconds of both waits
    lock_wait_s AS directory_wait_s,
    slot_wait_s,
    bytes_in,
    coalesce(bytes_out_pty, 0) + coalesce(bytes_out_stdout, 0) + coalesce(bytes_out_stderr, 0) AS bytes_out,
    terminal,              -- 1: on a terminal, 0: on pipes
    requester_user AS user,
    requester_host AS client,
    worker_host AS worker,
    namespace,
    route,
    error,
    coalesce(started_at, claimed_at, seen_at) AS at_unix -- the same moment as `at`, for arithmetic
FROM sessions
WHERE NOT (
    coalesce(cwd, '') = '/' AND coalesce(lock_mode, '') = 'none' AND coalesce(terminal, 1) = 0
    AND (coalesce(command, '') LIKE '["bash","-lc","exec pigeon %' OR command = '["true","pigeon ping"]')
)
"""

_WAITING_2 = f"""
CREATE VIEW waiting AS
SELECT
    -- One row a wait: which command waited, for what, and behind which other one.
    waits.session_id,
    strftime('%Y-%m-%dT%H:%M:%SZ', waits.since, 'unixepoch') AS at, -- UTC
    waits.reason,          -- slot, directory, client
    waits.waited_s,        -- seconds; NULL: it waits, or its worker died
    waiter.directory,
    waiter.command,
    {_TEXT_2.format("waits.held_by")} AS held_by, -- a session id, or a text; NULL: not known
    holder.command AS held_by_command,
    holder.user AS held_by_user,
    waits.worker_id
FROM waits
LEFT JOIN commands AS waiter ON waiter.session_id = waits.session_id
LEFT JOIN commands AS holder ON holder.session_id = waits.held_by
"""

_SUMS_2 = """
    count(*) AS commands,
    sum(ended <> 'succeeded' AND ended NOT IN ('cancelled', 'claimed', 'running', 'exited')) AS failed,
    sum(ended = 'cancelled') AS cancelled,
    round(sum(run_s), 3) AS run_s,
    round(sum(wait_s), 3) AS wait_s,
    round(max(wait_s), 3) AS longest_wait_s,
    sum(bytes_in) AS bytes_in,
    sum(bytes_out) AS bytes_out"""

_DAYS_2 = f"""
CREATE VIEW days AS
SELECT
    substr(at, 1, 10) AS day, -- UTC{_SUMS_2},
    count(DISTINCT directory) AS directories
FROM commands GROUP BY day
"""

_DIRECTORIES_2 = f"""
CREATE VIEW directories AS
SELECT
    directory,{_SUMS_2},
    min(at) AS first,
    max(at) AS last
FROM commands GROUP BY directory
"""

_DESTINATIONS_3 = """
CREATE TABLE destinations (
    session_id TEXT NOT NULL,
    host TEXT NOT NULL,                    -- as it was asked for: a name, or an address
    port INTEGER NOT NULL,
    connections INTEGER NOT NULL,          -- that were made
    refused INTEGER NOT NULL,              -- that were not: no answer, or not lent
    open INTEGER NOT NULL,                 -- of the made ones, when this was written
    sent INTEGER NOT NULL,                 -- bytes to the host, of connections that have ended
    received INTEGER NOT NULL,
    waiting_since REAL,                    -- unix seconds; NULL: nobody waits for an answer
    first_at REAL NOT NULL,                -- unix seconds (UTC), for people
    last_at REAL NOT NULL,
    PRIMARY KEY (session_id, host, port)
) WITHOUT ROWID
"""

_DESTINATIONS_INDEX_3 = "CREATE INDEX destinations_last_at ON destinations (last_at)"

_WRAPPED_4 = """
ALTER TABLE sessions ADD COLUMN wrapped TEXT /* the worker's words before the command, as for a shell; NULL: none */
"""

_LAUNCHED_5 = (
    "ALTER TABLE sessions ADD COLUMN launcher TEXT"
    " /* the words before the worker that was started for it, as for a shell; NULL: it ran here */",
    "ALTER TABLE sessions ADD COLUMN node TEXT /* host of that worker; NULL: not launched, or not yet */",
    "ALTER TABLE sessions ADD COLUMN engine_job TEXT /* what the engine calls the job; NULL: not known */",
)
