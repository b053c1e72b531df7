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
