"""What is searched: the sizes of the model, its scenarios, and the mutants that must be caught. Data only."""

from __future__ import annotations

SIZES: dict[str, str] = {
    "local": "SLOTS=2 CRASH=3 LOST=1 LATE=1 LOCKCHOICE ENDLESS LEFTOVER EARLY_READ",
    "race": "NH=2 SLOTS=1 CRASH=2 LOST=1 LATE=1 WITHDRAWAL TAKERS=1",
    "no-hard-links": "NH=2 SLOTS=1 CRASH=1 LOST=1 WITHDRAWAL TAKERS=1 NO_HARD_LINKS",
    "cwd": "NS=2 SLOTS=2 CRASH=2 ENDLESS LEFTOVER",
    "cwd-two-hosts": "NS=2 NH=2 SLOTS=1 CRASH=1 LEFTOVER MAXI=7",
    "job": "NS=3 SLOTS=2 CRASH=2 LEFTOVER MAXI=7",
    "takeover": "SLOTS=1 CRASH=2 LATE=1 TAKERS=2 HOSTS ENDLESS",
    "takeover-lost-reply": "SLOTS=1 CRASH=1 LOST=1 LATE=1 TAKERS=2 HOSTS ENDLESS",
    "takeover-recoverers": "SLOTS=2 CRASH=2 LATE=1 TAKERS=1 HOSTS ENDLESS",
    "takeover-strict": "SLOTS=1 CRASH=1 LATE=1 TAKERS=2 HOSTS ENDLESS READER_LISTS",
    "attach": "ATTACH=3 CRASH=1 LOST=1",
    "bulk": "BULK",
    # smaller ones, enough for some mutants and for the search for cycles
    "local-small": "SLOTS=2 CRASH=2 LOST=1 LATE=1 LOCKCHOICE ENDLESS LEFTOVER EARLY_READ",
    "local-no-loss": "SLOTS=2 CRASH=3 LATE=1 LOCKCHOICE ENDLESS LEFTOVER EARLY_READ",
    "race-small": "NH=2 SLOTS=1 CRASH=1 LOST=1 LATE=1 WITHDRAWAL TAKERS=1",
    "race-alone": "NH=2 SLOTS=1 CRASH=0 LOST=1",
    "race-late": "NH=2 SLOTS=1 CRASH=1 LATE=1",
    "empty-claim": "NH=2 SLOTS=1 CRASH=1 LOST=1 TAKERS=1 NO_HARD_LINKS",
    "cwd-small": "NS=2 SLOTS=2 CRASH=1 LEFTOVER",
    "job-small": "NS=3 SLOTS=2 CRASH=1 LEFTOVER MAXI=7",
    "takeover-small": "SLOTS=1 CRASH=1 LATE=1 TAKERS=2 HOSTS ENDLESS",
}
"""Definitions of each size: sessions, hosts, runners at a time, and the budgets of kills and failures."""

SCENARIOS: list[tuple[str, str]] = [
    ("local", "one session, one journal, two runners or recoverers at a time"),
    ("race", "two workers, a client that may withdraw; lost replies, late operations"),
    ("no-hard-links", "the same where the claim is an exclusive create, seen empty at first"),
    ("cwd", "two sessions, one directory, one worker; background leftovers"),
    ("cwd-two-hosts", "two sessions, one directory, two workers"),
    ("job", "two sessions of one job, and a stranger's, in one directory"),
    ("takeover", "host cut off, paused or dead; two other workers, one may die"),
    ("takeover-lost-reply", "the same with lost replies"),
    ("takeover-recoverers", "the same with two recoverers on the host that comes back"),
    ("takeover-strict", "readers that list on an exit event: nobody ever sees two ends"),
    ("attach", "three attachers, one may die; a lost reply"),
    ("bulk", "segments of one direction, seen and acknowledged late"),
]

# END looks at states in which nothing moves; these sizes are searched for runs without an end, too.
CYCLES = ["local-small", "race-small", "cwd-small", "job-small", "takeover-small", "bulk"]

LARGE = {"takeover", "job", "takeover-recoverers", "no-hard-links"}

PLACES: list[tuple[str, str]] = [
    # A property holds also where nothing ever comes to the point; so these must be reached.
    ("recovery wins the claim of a dead `claiming` runner", "local-small"),
    ("recovery restarts a claimed session", "local-small"),
    ("recovery of `starting` finds the command running", "local-small"),
    ("recovery of `running` finds the command running", "local-small"),
    ("recovery of `exited` finds a leftover with the lock", "local-small"),
    ("recovery finishes a takeover", "takeover-small"),
    ("a runner finds takeover.claim and hangs up", "takeover-small"),
    ("a recoverer's rename comes after a taker's", "takeover-small"),
    ("a taker's .tmp-* is unlinked, and it looks again", "takeover-small"),
    ("a late rename lands", "local-small"),
    ("a late rename finds its source gone, after the end", "local-small"),
    ("the late link of a dead client lands", "race-small"),
    ("a client withdraws", "race-small"),
    ("a client is too late to withdraw: the command runs", "race-small"),
    ("a paused runner's exit event lands after a takeover", "takeover-small"),
    ("a command starts after a takeover, listed before", "takeover-small"),
    ("a command starts beside another's leftover", "cwd-small"),
    ("a session to be restarted waits for its directory", "cwd-small"),
    ("a lost reply, and the look at worker.claim", "local-small"),
    ("an exclusive create seen empty", "empty-claim"),
    ("an attacher is superseded before its turn", "attach"),
    ("a command starts beside one of its own job", "job-small"),
    ("a runner takes the lock that its command's job has freed", "job-small"),
]

MUTANTS: list[tuple[str, str, str, str]] = [
    # definition, what is taken out, size, properties of which one must break
    ("M_NO_CLAIMING_ROW", "claim before there is a row", "local-no-loss", "END"),
    ("M_NO_STARTING_ROW", "no `starting` row before the command", "local", "ONCE"),
    ("M_RESTART_STARTING", "recovery starts a `starting` session again", "local", "ONCE"),
    ("M_NO_EPOCH", "recovery does not raise the epoch", "local", "CONFLICT ONCE NOTAFTER"),
    ("M_NO_COMPARE", "UPDATE without WHERE", "local", "CONFLICT ONCE NOTAFTER AGREE VIEW"),
    ("M_SILENCE_IS_DEATH", "recovery without proof of death", "local", "CONFLICT ONCE NOTAFTER"),
    ("M_LOST_REPLY_IS_LOSS", "an error of link taken for a lost claim", "local", "END"),
    ("M_LOST_REPLY_IS_WIN", "an error of link taken for a won claim", "race-alone", "ONCE"),
    ("M_CLAIM_BY_RENAME", "claim by rename", "race-alone", "ONCE"),
    ("M_CLAIM_REMOVED", "claim removed on giving up", "race-late", "ONCE STATUS"),
    ("M_WITHDRAW_BY_STATUS", "withdrawal by status only", "race", "WITHDRAWN STATUS"),
    ("M_RESULT_AFTER_EXIT", "exit event before the stored result", "local", "AGREE VIEW"),
    ("M_ROW_CLOSED_FIRST", "row closed before the final status", "local", "END"),
    ("M_COMMAND_NOT_KILLED", "recovery leaves the command running", "local", "LEFTALIVE"),
    ("M_LOCK_NOT_INHERITED", "the command does not inherit the lock", "cwd", "OVERLAP"),
    ("M_UNLOCK_BEFORE_FINAL", "unlock before the final status", "cwd", "ORDER"),
    ("H_JOB_WAITS", "commands of one job wait for each other's lock", "job-small", "END"),
    ("H_JOB_IS_ANYBODY", "a stranger runs beside a job, too", "job-small", "OVERLAP ORDER"),
    ("H_JOB_QUEUE_BLIND", "the queue forgets who runs beside another", "job-small", "OVERLAP ORDER"),
    ("M_NO_TAKEOVER_CLAIM", "takeover without takeover.claim", "takeover-small", "NOTAFTER VIEW STATUS"),
    ("M_PAUSED_WRITES_ON", "a paused runner never lists", "takeover-small", "NOTAFTER TAKEN STATUS"),
    ("M_ATTACH_ONE_FILE", "attachers append to the client's file", "attach", "WRITERS"),
    ("M_LOWER_STILL_READ", "the runner goes on reading a lower n", "attach", "INPUT"),
    # rules that follow from the others and are easily overlooked
    ("H_LISTS_ONLY_AFTER_ERROR", "lists after an error only", "takeover-small", "NOTAFTER TAKEN STATUS"),
    ("H_START_BLIND", "no listing just before the start", "takeover-small", "NOTAFTER"),
    ("H_RECOVERY_BLIND", "recovery ignores takeover.claim", "takeover-recoverers", "NOTAFTER TAKEN"),
    ("H_LIST_BEFORE_TMP", "lists, then makes .tmp-* and renames", "takeover-small", "STATUS"),
    ("H_NO_FENCE", "others' .tmp-* not removed before an end", "local", "STATUS"),
    ("H_RUNNING_BEFORE_STARTING", "status `running` before the row `starting`", "local", "STATUS"),
    ("H_FRESH_TMP", "a failed rename tried again with another source", "race-small", "STATUS"),
    ("H_TAKER_BLIND", "takeover does not read the stream", "takeover-small", "AGREE"),
    ("H_TAKEOVER_UNFINISHED", "only its maker may finish a takeover", "takeover-small", "END"),
    ("H_ODD_CLAIMS_IGNORED", "no takeover of a dead client's claim", "race", "END"),
    ("H_ODD_CLAIMS_IGNORED", "no takeover of an empty claim", "empty-claim", "END"),
    ("H_LATE_EXIT", "any exit event decides, however late it came", "takeover-small", "VIEW"),
    ("H_PREEXEC", "the child may exec when its runner is dead", "local", "NOTAFTER"),
    ("H_LEFTOVER_KEEPS_LOCK", "recovery of `exited` leaves the lock to a leftover", "cwd", "END"),
    ("H_STATE_BEFORE_PROOF", "recovery acts on the state read before the proof", "local", "AGREE VIEW"),
    ("H_OWNER_NOT_IN_RAISE", "the raise does not name the new owner", "local", "CONFLICT NOTAFTER"),
    ("M_ATTACH_EXISTS_IS_MINE", "an ambiguous create taken for one's own", "attach", "WRITERS"),
    ("H_ATTACH_WAITS_FOR_ITS_OWN", "an attacher waits for its own n only", "attach", "STUCK"),
    ("M_APPENDS_AGAIN", "what failed is written behind itself", "bulk", "ORDER"),
    ("H_RELEASED_AT_ITS_LAST_BYTE", "a segment goes once all its bytes are acknowledged", "bulk", "THERE"),
    ("H_CLEARED_WITHOUT_THE_END", "the last one goes before its end is acknowledged", "bulk", "THERE"),
    ("H_END_BEFORE_THE_NEXT", "a segment's end is written before the next one is there", "bulk", "THERE"),
    ("H_LINES_FIRST", "the lines tell of segments before the first is there", "bulk", "THERE"),
]
