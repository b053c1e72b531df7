-- A journal of schema version 1 (m001), with a column that no version of pigeon knows. Frozen: never regenerate.
BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'pigeon','m001_sessions_waits_events','2026-11-24 10:08:12.372053+00:00');
CREATE TABLE events (
    session_id TEXT NOT NULL,
    at REAL NOT NULL,                      -- unix seconds (UTC), for people; the order is that of rowid
    event TEXT NOT NULL,                   -- a state of sessions that was entered, or another name
    detail TEXT                            -- a JSON object; NULL: nothing to add
);
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000000.25,'claiming','{"worker_id":"host-1"}');
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000000.5,'claimed','{"runner_pid":77}');
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000000.75,'starting',NULL);
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000001.0,'running',NULL);
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000001.25,'exited','{"return_code":3,"exit_code":3}');
INSERT INTO "events" VALUES('1700000000000-00000000000a',1700000001.5,'final','{"exit_code":3,"outcome":"failed"}');
INSERT INTO "events" VALUES('1700000000000-00000000000b',1700000001.75,'claiming','{"worker_id":"host-1"}');
INSERT INTO "events" VALUES('1700000000000-00000000000b',1700000002.0,'claimed',NULL);
INSERT INTO "events" VALUES('1700000000000-00000000000b',1700000002.25,'taken_over','{"epoch":2}');
INSERT INTO "events" VALUES('1700000000000-00000000000b',1700000002.5,'starting',NULL);
INSERT INTO "events" VALUES('1700000000000-00000000000b',1700000002.75,'running',NULL);
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
, added_by_a_stranger TEXT DEFAULT 'x');
INSERT INTO "sessions" VALUES('a','1700000000000-00000000000a',1,'final','/cache','lab',NULL,'/place','["bash","-lc","exit 3"]','gpu',7,'ann','host-1',NULL,NULL,NULL,77,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000.0,1700000002.0,1700000002.5,NULL,1700000003.0,1.5,NULL,0.25,3,3,'failed',NULL,NULL,0,12,NULL,NULL,NULL,NULL,NULL,'x');
INSERT INTO "sessions" VALUES('b','1700000000000-00000000000b',2,'running','/cache','lab',NULL,X'2F636166E9','["sleep","\udcff"]',NULL,NULL,NULL,'host-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'x');
CREATE TABLE waits (
    session_id TEXT NOT NULL,
    worker_id TEXT NOT NULL,               -- the worker on which it waited
    reason TEXT NOT NULL,                  -- slot, directory, client
    held_by TEXT,                          -- session id or text; NULL: not known
    since REAL NOT NULL,                   -- unix seconds (UTC), for people
    waited_s REAL                          -- seconds by a monotonic clock; NULL: waiting, or the worker died
);
INSERT INTO "waits" VALUES('1700000000000-00000000000a','host-1','directory','1699999999999-0000000000ff',1700000000.0,1.5);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX sessions_session_id ON sessions (session_id);
CREATE INDEX sessions_unfinished ON sessions (cache, namespace) WHERE state <> 'final';
CREATE INDEX waits_session_id ON waits (session_id);
CREATE INDEX events_session_id ON events (session_id);
COMMIT;
