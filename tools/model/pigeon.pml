/*
 * Lock, claim, withdrawal, start, recovery, takeover and end of a session, for SPIN.
 *
 * Every interleaving of runners, recoverers, client, other workers and the command is explored, with a crash
 * possible before and after every step.  What is modelled, what is left out, and which line of the protocol each
 * step stands for: README.md.  `run` holds the scenarios (sizes and budgets), the properties and the mutants;
 * a mutant is one `-D M_...` (a safeguard of the protocol taken out) or `-D H_...` (a rule that is easily
 * overlooked, because it only follows from the others).
 *
 * Budgets: CRASH kills, LOST replies that are lost although the operation was carried out, LATE operations of a
 * killed process that the server carries out later (or never).
 */

#ifndef NS
#define NS 1                     /* sessions; they want the same directory. Three: the first two are of one JOB */
#endif
#define STRANGER 2               /* of three, who is of no job */
#ifndef NH
#define NH 1                     /* hosts with a worker and a journal of their own */
#endif
#ifndef SLOTS
#define SLOTS 2                  /* runners or recoverers that a host may have at one time */
#endif
#ifndef MAXI
#define MAXI 5                   /* runner identities; reused once nothing names them any more */
#endif
#ifndef CRASH
#define CRASH 2
#endif
#ifndef LOST
#define LOST 0
#endif
#ifndef LATE
#define LATE 0
#endif

/* `-D PROBE=n`: does any run come to this place, in this condition?  (SPIN then says how.) */
#ifndef PROBE
#define PROBE 0
#endif
#define REACH(N, C) assert(PROBE != (N) || !(C))

/* status.json; 0 is "not published" */
#define PENDING   1
#define RUN       2
#define OK        3              /* the command's own result */
#define FAIL      4              /* 255, by recovery or takeover */
#define CANC      5

/* a journal row */
#define NONE      0
#define CLAIMING  1
#define CLAIMED   2
#define STARTING  3
#define RUNNING   4
#define EXITED    5
#define FINAL     6              /* closed; also what a lost claim ends as */

/* the command */
#define FORKED    1              /* the runner's child before exec: nothing tells it from the runner yet */
#define ALIVE     2
#define LEFT      3              /* ended, but a background process of it lives and has the lock's descriptor */
#define GONE      4

/* worker.claim: 0 absent, h + 1 the token in host h's journal row, or */
#define EMPTY     8
#define CLIENT    9

/* a host */
#define UP        0
#define CUT       1              /* the share is out of reach, the host goes on */
#define PAUSED    2
#define DEAD      3

#define CL        (MAXI + 1)     /* who has a temporary file: runners 1..MAXI, client, takers */
#define TK1       (MAXI + 2)
#define TK2       (MAXI + 3)
#define NTMP      (MAXI + 4)

typedef Row { byte state; byte epoch; byte owner };
Row row[NH * NS];
#define R(H, Q)   row[(H) * NS + (Q)]

byte claim[NS], st[NS], tk[NS];  /* tk: takeover.claim, who made it */
bit exitev[NS];                  /* the exit event stands in stream.jsonl */
byte cmd[NS], cmdof[NS];         /* the command, and which runner forked it */
bit alive[MAXI + 1];             /* a runner's own flock, held as long as it lives */
byte lk;                         /* the cwd's flock: which runner's open file description has it */
byte tmp[NTMP];                  /* .tmp-* of each writer: the status in it, 0 absent */
byte mode[NH];
bit nolock;                      /* the request says lock: none */
bit cdead;                       /* the client is gone */
bit failed;                      /* an operation of host 0 on the share has failed */
byte ncrash = CRASH, nlost = LOST, nlate = LATE;
byte late_rename, late_link, late_unlink;   /* operations of killed processes, still under way */

/* ghosts: only the properties read them */
byte starts[NS], shown[NS], wr[NS];
bit withdrawn[NS];
bit listed[NS];                  /* who forked the command had listed, and seen no takeover.claim */
bit lateexit[NS];                /* an exit event that was in flight when takeover.claim was made */
bit killed[NS];                  /* the runner that started it did not live to its end */
bit busy[NS];                    /* a runner has been forked for it: its worker's queue knows */
bit late[NS];                    /* its runner took the cwd lock when the command ran already */
bit endless[NS];                 /* the command ends only when it is killed */

#define LOC(H)    (mode[H] < PAUSED)
#define SHR(H)    (mode[H] == UP)
#define HERE      (claim[s] == h + 1)        /* whatever runs of the session runs on this host */
#define OPEN(H, Q) (R(H, Q).state != NONE && R(H, Q).state != FINAL)

#ifndef ATTACH

/* ---- what readers see -------------------------------------------------------------------------------------- */

#if defined(READER_LISTS)
/* On an exit event the reader lists once; with takeover.claim there, the final status decides. */
#define VIEW(Q)   ((exitev[Q] && tk[Q] == 0) -> OK : (st[Q] >= OK -> st[Q] : 0))
#elif defined(H_LATE_EXIT)
#define VIEW(Q)   (exitev[Q] -> OK : (st[Q] >= OK -> st[Q] : 0))
#else
#define VIEW(Q)   ((exitev[Q] && !lateexit[Q]) -> OK : (st[Q] >= OK -> st[Q] : 0))
#endif

inline observe(q) {
    if
    :: VIEW(q) != 0 ->
        assert(shown[q] == 0 || shown[q] == VIEW(q));                              /* VIEW */
        shown[q] = VIEW(q)
    :: else
    fi
}

inline put(q, v) {               /* rename(.tmp-*, status.json) */
    assert(st[q] < OK || st[q] == v);                                              /* STATUS */
    assert(st[q] >= OK || st[q] <= v);                                               /* STATUS */
    assert(!(v == FAIL && exitev[q] && !lateexit[q]));                             /* AGREE */
    st[q] = v;
    observe(q)
}

/* ---- descriptors ------------------------------------------------------------------------------------------- */

#define CMDHOLDS(Q) (cmd[Q] >= FORKED && cmd[Q] <= LEFT)

inline close_lock(k, q) {        /* a runner is gone: the lock stays with the command, if that inherited it */
    if
#ifdef M_LOCK_NOT_INHERITED
    :: lk == k -> lk = 0
#else
    :: lk == k && (late[q] || !(cmdof[q] == k && CMDHOLDS(q))) -> lk = 0
#endif
    :: else
    fi
}

inline cmd_gone(q) {
    cmd[q] = GONE;
    if
    :: lk != 0 && lk == cmdof[q] && !alive[lk] -> lk = 0
    :: else
    fi
}

#define FREE(I)   (!alive[I] && R(0, 0).owner != I && R(NH - 1, 0).owner != I && R(0, NS - 1).owner != I \
                   && R(NH - 1, NS - 1).owner != I && tmp[I] == 0 && late_rename != I && lk != I \
                   && !(cmdof[0] == I && CMDHOLDS(0)) && !(cmdof[NS - 1] == I && CMDHOLDS(NS - 1)) && FREE_TOO(I))
#if NS == 3
#define FREE_TOO(I) (R(0, 1).owner != I && R(NH - 1, 1).owner != I && !(cmdof[1] == I && CMDHOLDS(1)))
#else
#define FREE_TOO(I) true
#endif

inline new_identity() {          /* fork, and take the flock of one's own */
    d_step {
        me = 1;
        do
        :: me <= MAXI && !FREE(me) -> me++
        :: else -> break
        od;
        assert(me <= MAXI);                                                        /* MODEL */
        alive[me] = 1
    }
}

/* ---- the command ------------------------------------------------------------------------------------------- */

#if NS == 3
inline job_checks(q) {           /* a block of its own: SPIN would lose count of lines in a long one that is left out */
    if
    :: q == STRANGER ->
        assert(cmd[0] != ALIVE && cmd[1] != ALIVE);                                /* OVERLAP */
        assert(starts[0] == 0 || st[0] >= OK || killed[0]);                        /* ORDER */
        assert(starts[1] == 0 || st[1] >= OK || killed[1])                         /* ORDER */
    :: else ->
        REACH(22, cmd[1 - q] == ALIVE);                                            /* REACHED */
        assert(cmd[STRANGER] != ALIVE);                                            /* OVERLAP */
        assert(starts[STRANGER] == 0 || st[STRANGER] >= OK || killed[STRANGER])    /* ORDER */
    fi
}
#endif

inline exec_checks(q) {
    assert(starts[q] == 0);                                                        /* ONCE */
    assert(!withdrawn[q] && st[q] != CANC);                                        /* WITHDRAWN */
    assert(st[q] < OK || (listed[q] && tk[q] != 0));                               /* NOTAFTER */
#if NS == 3
    job_checks(q);
#endif
#if NS == 2
    REACH(17, cmd[1 - q] == LEFT);                                                 /* REACHED */
    assert(cmd[1 - q] != ALIVE);                                                   /* OVERLAP */
    assert(starts[1 - q] == 0 || st[1 - q] >= OK || killed[1 - q]);                /* ORDER */
#endif
    REACH(16, st[q] >= OK);                                                        /* REACHED */
    starts[q]++;
    if
#ifdef ENDLESS
    :: endless[q] = 1
#endif
    :: skip
    fi;
    cmd[q] = ALIVE
}

/* Sessions 0 and 1 are `pigeon a | pigeon b`: a ends when b reads (or never will), b when a has ended. */
#if NS == 3
#define MAYEND(Q) ((Q) == STRANGER || ((Q) == 0 && (starts[1] > 0 || st[1] >= OK)) \
                   || ((Q) == 1 && (cmd[0] >= LEFT || st[0] >= OK)))
#else
#define MAYEND(Q) true
#endif

proctype Command(byte q) {
end:
    do
#ifdef H_PREEXEC
    :: atomic { cmd[q] == FORKED -> exec_checks(q) }
#else
    /* The child dies with its parent until it has execed (PR_SET_PDEATHSIG and getppid, or a pipe). */
    :: atomic { cmd[q] == FORKED && alive[cmdof[q]] -> exec_checks(q) }
    :: atomic { cmd[q] == FORKED && !alive[cmdof[q]] -> cmd_gone(q) }
#endif
    :: atomic { cmd[q] == ALIVE && !endless[q] && MAYEND(q) -> cmd_gone(q) }
#ifdef LEFTOVER
    :: atomic { cmd[q] == ALIVE && !endless[q] && MAYEND(q) -> cmd[q] = LEFT }
#endif
    od
}

/* ---- runner and recoverer ---------------------------------------------------------------------------------- */

inline die() {
    d_step {
        ncrash--;
        alive[me] = 0;
        if :: cmdof[s] == me -> killed[s] = 1 :: else fi;
        close_lock(me, s)
    }
}

#if NS == 3
#define TRIES  busy[s] = 1
#define TRIED  busy[s] = 0
#else
#define TRIES  skip
#define TRIED  skip
#endif

inline reset() { d_step { TRIED; me = 0; s = 0; ep = 0; ow = 0; sst = 0; pv = 0; mask = 0; rec = 0; fence = 0; looked = 0 } }

#define CRASHPOINT \
    :: atomic { ncrash > 0 -> die(); reset(); goto spawn } \
    :: atomic { mode[h] == DEAD -> reset(); goto stop }

#define NOTYET \
    :: atomic { mode[h] == DEAD -> reset(); goto stop }     /* no identity yet: its death changes nothing */

/* `WHERE state = ... AND epoch = mine`; a recoverer's first UPDATE raises the epoch and names itself as the owner. */
#define MINE(S)   (R(h, s).state == (S) && R(h, s).epoch == ep)
#define SEEN_ROW  (R(h, s).state == sst && R(h, s).epoch == ep)
#define RAISE     R(h, s).owner = me; ep++; R(h, s).epoch = ep
#if defined(M_NO_EPOCH)
#undef MINE
#undef SEEN_ROW
#undef RAISE
#define MINE(S)   (R(h, s).state == (S))
#define SEEN_ROW  (R(h, s).state == sst)
#define RAISE     R(h, s).owner = me
#elif defined(M_NO_COMPARE)
#undef MINE
#undef SEEN_ROW
#define MINE(S)   true
#define SEEN_ROW  true
#elif defined(H_STATE_BEFORE_PROOF)
#undef SEEN_ROW
#define SEEN_ROW  (R(h, s).epoch == ep)
#elif defined(H_OWNER_NOT_IN_RAISE)
#undef SEEN_ROW
#undef RAISE
#define SEEN_ROW  (R(h, s).state == sst && R(h, s).epoch == ep && ep < 4)     /* or they go on for ever */
#define RAISE     ep++; R(h, s).epoch = ep
#endif

#define CAS(S, T) atomic { LOC(h) -> if :: MINE(S) -> R(h, s).state = T :: else -> goto lose fi }

#if defined(M_PAUSED_WRITES_ON)
#define SEES_TK   false
#elif defined(H_RECOVERY_BLIND)
#define SEES_TK   (tk[s] != 0 && !rec)
#elif defined(H_LISTS_ONLY_AFTER_ERROR)
#define SEES_TK   (tk[s] != 0 && (failed || rec))
#else
#define SEES_TK   (tk[s] != 0)
#endif

/* Commands of one job do not wait for each other's lock: who is of the job of one that has the directory may start
 * beside it, and takes the lock when that frees it. The queue of their worker keeps others out until then. */
#if NS == 3
#if defined(H_JOB_WAITS)
#define BESIDE(Q) false
#elif defined(H_JOB_IS_ANYBODY)
#define BESIDE(Q) (HASDIR(0) || HASDIR(1))
#else
#define BESIDE(Q) ((Q) != STRANGER && HASDIR(1 - (Q)))
#endif
#define ATWORK(Q) (OPEN(h, Q) || busy[Q])
#define HASDIR(Q) (claim[Q] == h + 1 && st[Q] < OK && OPEN(h, Q) && (alive[R(h, Q).owner] || R(h, Q).state >= STARTING))
#ifdef H_JOB_QUEUE_BLIND
#define INTURN(Q) true
#else
#define INTURN(Q) (!busy[Q] && (BESIDE(Q) || ((Q) == STRANGER -> !ATWORK(0) && !ATWORK(1) : !ATWORK(STRANGER))))
#endif
#else
#define BESIDE(Q) false
#define INTURN(Q) true
#endif

#define FRESH(Q) \
    :: atomic { LOC(h) && R(h, Q).state == NONE && st[Q] >= PENDING && st[Q] < OK && INTURN(Q) \
                && (lk == 0 || nolock || BESIDE(Q)) -> s = Q; TRIES; goto fresh }
#define RECOVER(Q) \
    :: atomic { LOC(h) && OPEN(h, Q) && SEEN_DEAD(Q) \
                && (R(h, Q).state != CLAIMED || lk == 0 || nolock || tk[Q] != 0 || BESIDE(Q)) \
                -> s = Q; sst = R(h, Q).state; ep = R(h, Q).epoch; ow = R(h, Q).owner; goto recover }
#ifdef EARLY_READ
#define SEEN_DEAD(Q) true        /* the row is read at any time, long before the proof of death */
#else
#define SEEN_DEAD(Q) (!alive[R(h, Q).owner])
#endif

/* "The first final status wins": make .tmp-mine; list; unlink every other .tmp-*; status final? then unlink mine;
 * else rename mine.  Two who do so cannot both rename, and no rename of a dead one can come after. */
inline list_others() {
    d_step {
        mask = 0; i = 1;
        do
        :: i < NTMP -> if :: i != me && tmp[i] != 0 -> mask = mask | (1 << i) :: else fi; i++
        :: else -> break
        od;
        i = 0
    }
}
inline unlink_one() {            /* of those it saw; there may be none */
    d_step {
        i = 1;
        do
        :: i < NTMP && !(mask & (1 << i)) -> i++
        :: else -> break
        od;
        if
        :: i < NTMP -> tmp[i] = 0; mask = mask & ~(1 << i)
        :: else
        fi;
        i = 0
    }
}

#define OUTCOME(Q) (exitev[Q] -> OK : (claim[Q] == CLIENT -> CANC : FAIL))

proctype Runner(byte h) {
    byte me, s, ep, ow, sst, pv, i;
    short mask;
    bit rec, fence;
    bit looked;                  /* ghost: listed, and saw no takeover.claim */

spawn:
end_spawn:
    if
    FRESH(0)
    RECOVER(0)
#if NS >= 2
    FRESH(1)
    RECOVER(1)
#endif
#if NS == 3
    FRESH(2)
    RECOVER(2)
#endif
    :: atomic { mode[h] == DEAD -> goto stop }
    fi;

fresh:                           /* its own flock, then the cwd lock, without waiting */
    if
    :: atomic { SHR(h) -> new_identity();
                if :: nolock :: !nolock && lk == 0 -> lk = me :: !nolock && lk != 0 && BESIDE(s) :: else -> goto lose fi }
    CRASHPOINT
    fi;
#ifndef M_NO_CLAIMING_ROW
    if                           /* INSERT: no row, no claim */
    :: atomic { LOC(h) ->
                if
                :: R(h, s).state == NONE -> ep = 1; R(h, s).state = CLAIMING; R(h, s).epoch = 1; R(h, s).owner = me
                :: else -> goto lose
                fi }
    CRASHPOINT
    fi;
#endif

linking:
    if
#ifdef M_CLAIM_BY_RENAME
    :: atomic { SHR(h) -> claim[s] = h + 1; goto looking }
#else
    :: atomic { SHR(h) && claim[s] != 0 -> goto looking }
#ifdef NO_HARD_LINKS
    :: atomic { SHR(h) && claim[s] == 0 -> claim[s] = EMPTY; goto texting }
    :: atomic { SHR(h) && claim[s] == 0 && nlost > 0 -> nlost--; claim[s] = EMPTY; goto looking }
#else
    :: atomic { SHR(h) && claim[s] == 0 -> claim[s] = h + 1; goto won }
    :: atomic { SHR(h) && claim[s] == 0 && nlost > 0 -> nlost--; claim[s] = h + 1; goto looking }
    :: atomic { ncrash > 0 && nlate > 0 && late_link == 0 -> nlate--; late_link = h + 1; die(); reset(); goto spawn }
#endif
    :: atomic { SHR(h) && claim[s] == 0 && nlost > 0 -> nlost--; goto looking }
#endif
    CRASHPOINT
    fi;
#ifdef NO_HARD_LINKS
texting:
    if
    :: atomic { SHR(h) -> claim[s] = h + 1; goto won }
    CRASHPOINT
    fi;
#endif

looking:                         /* after any error, what worker.claim holds decides */
    if
#if defined(M_LOST_REPLY_IS_LOSS) || defined(M_NO_CLAIMING_ROW)      /* without a row, each attempt has another token */
    :: atomic { SHR(h) -> goto foreign }
#elif defined(M_LOST_REPLY_IS_WIN)
    :: atomic { SHR(h) -> goto won }
#else
    :: atomic { SHR(h) && claim[s] == h + 1 -> REACH(19, !rec);                    /* REACHED */
                goto won }
    :: atomic { SHR(h) && claim[s] == 0 -> goto linking }
    :: atomic { SHR(h) && claim[s] != h + 1 && claim[s] != 0 -> REACH(20, claim[s] == EMPTY);  /* REACHED */
                goto foreign }
#endif
    CRASHPOINT
    fi;

foreign:
    if
#ifdef M_NO_CLAIMING_ROW
    :: atomic { LOC(h) -> R(h, s).state = FINAL; goto lose }
#else
    :: atomic { LOC(h) -> if :: MINE(CLAIMING) -> R(h, s).state = FINAL :: else fi; goto lose }
#endif
    CRASHPOINT
    fi;

won:
    if
#ifdef M_NO_CLAIMING_ROW
    :: atomic { LOC(h) && R(h, s).state == NONE ->
                ep = 1; R(h, s).state = CLAIMED; R(h, s).epoch = 1; R(h, s).owner = me }
    :: atomic { LOC(h) && R(h, s).state != NONE -> goto lose }
#else
    :: CAS(CLAIMING, CLAIMED)
#endif
    CRASHPOINT
    fi;
#ifdef M_CLAIM_REMOVED
    if                           /* a claimant that gives up takes its claim back, and is killed in the unlink */
    :: atomic { ncrash > 0 && nlate > 0 -> nlate--; late_unlink = 1; die(); reset(); goto spawn }
    :: skip
    CRASHPOINT
    fi;
#endif
    if
    :: atomic { rec -> REACH(1, true); goto relock }                                 /* REACHED */
    :: else -> goto start
    fi;

relock:                          /* a restart under the same claim needs the directory like any other */
    if
    :: atomic { SHR(h) -> REACH(18, lk != 0 && lk != me);                          /* REACHED */
                if
                :: nolock || lk == me
                :: !nolock && lk == 0 -> lk = me
                :: !nolock && lk != 0 && lk != me && BESIDE(s)
                :: else -> goto lose
                fi }
    CRASHPOINT
    fi;

start:
#ifdef H_RUNNING_BEFORE_STARTING
    pv = RUN; goto publish;
start_now:
#endif
#ifndef H_START_BLIND
    if
    :: atomic { SHR(h) -> if :: SEES_TK -> goto taken :: else -> looked = (tk[s] == 0) fi }
    CRASHPOINT
    fi;
#endif
#ifndef M_NO_STARTING_ROW
    if
    :: CAS(CLAIMED, STARTING)
    CRASHPOINT
    fi;
#endif
    if
    :: atomic { LOC(h) -> assert(!CMDHOLDS(s));                                    /* ONCE */
                REACH(2, rec);                                                     /* REACHED */
                cmd[s] = FORKED; cmdof[s] = me; listed[s] = looked }
    CRASHPOINT
    fi;
    if                           /* exec has succeeded */
    :: atomic { LOC(h) && cmd[s] != FORKED -> skip }
    CRASHPOINT
    fi;
    if                           /* `started`, and all output from here on */
    :: atomic { SHR(h) -> assert(wr[s] == 0 || wr[s] == me || !alive[wr[s]]);      /* WRITERS */
                wr[s] = me;
#ifdef H_RUNNING_BEFORE_STARTING
                goto has_run }
#else
                pv = RUN; goto publish }
#endif
    CRASHPOINT
    fi;
has_run:
    if
#ifdef M_NO_STARTING_ROW
    :: CAS(CLAIMED, RUNNING)
#else
    :: CAS(STARTING, RUNNING)
#endif
    CRASHPOINT
    fi;

end_wait:
    if
    :: atomic { LOC(h) && cmd[s] >= LEFT -> looked = 0 }
#if NS == 3
    :: atomic { SHR(h) && s != STRANGER && !nolock && lk == 0 -> REACH(23, cmd[s] == ALIVE);   /* REACHED */
                lk = me; late[s] = 1; goto end_wait }   /* the other has freed it; the command cannot inherit it now */
#endif
    :: atomic { SHR(h) && SEES_TK -> goto taken }      /* it lists with each heartbeat */
    CRASHPOINT
    fi;
#ifndef M_RESULT_AFTER_EXIT
    if
    :: CAS(RUNNING, EXITED)
    CRASHPOINT
    fi;
#endif
    if
    :: atomic { SHR(h) -> if :: SEES_TK -> goto taken :: else -> looked = (tk[s] == 0) fi }
    CRASHPOINT
    fi;
    if
    :: atomic { SHR(h) ->
                assert(wr[s] == 0 || wr[s] == me || !alive[wr[s]]);                /* WRITERS */
                wr[s] = me;
                assert(!exitev[s]);                                                /* WRITERS */
                exitev[s] = 1;
                assert(tk[s] == 0 || looked);                                      /* TAKEN */
                lateexit[s] = (tk[s] != 0);
                REACH(15, lateexit[s] && st[s] == FAIL);                           /* REACHED */
                observe(s) }
    CRASHPOINT
    fi;
#ifdef M_RESULT_AFTER_EXIT
    if
    :: CAS(RUNNING, EXITED)
    CRASHPOINT
    fi;
#endif
#ifdef M_UNLOCK_BEFORE_FINAL
    if
    :: atomic { SHR(h) -> if :: lk == me -> lk = 0 :: else fi }
    CRASHPOINT
    fi;
#endif
#ifdef M_ROW_CLOSED_FIRST
    if
    :: CAS(EXITED, FINAL)
    CRASHPOINT
    fi;
#endif
    pv = OK; goto publish;
has_ended:
    if                           /* an explicit unlock, whoever else has a copy of the descriptor */
    :: atomic { SHR(h) -> if :: lk == me -> lk = 0 :: else fi }
    CRASHPOINT
    fi;
#ifndef M_ROW_CLOSED_FIRST
    if
    :: CAS(EXITED, FINAL)
    CRASHPOINT
    fi;
#endif
    atomic { alive[me] = 0; reset(); goto spawn };

lose:                            /* late, second, or the directory is held elsewhere: just end */
    atomic { assert(!(cmdof[s] == me && (cmd[s] == FORKED || cmd[s] == ALIVE)));   /* CONFLICT */
             alive[me] = 0; close_lock(me, s); reset(); goto spawn };

taken:                           /* takeover.claim is there: hang up, write nothing more */
    if
    :: atomic { LOC(h) -> REACH(7, cmd[s] == ALIVE);                               /* REACHED */
                if :: cmdof[s] == me && CMDHOLDS(s) -> cmd_gone(s) :: else fi;
                alive[me] = 0; close_lock(me, s); reset(); goto spawn }
    CRASHPOINT
    fi;

recover:                         /* the row was read: sst, ep, ow */
end_proof:
    if
#ifdef M_SILENCE_IS_DEATH
    :: atomic { LOC(h) && nlate > 0 -> nlate-- }       /* one wrong judgement */
#endif
    :: atomic { LOC(h) && !alive[ow] -> skip }
    :: atomic { LOC(h) && !SEEN_ROW -> reset(); goto spawn }
    NOTYET
    fi;
    if                           /* raise the epoch, and name oneself, in one UPDATE */
    :: atomic { LOC(h) ->
                if
                :: SEEN_ROW ->
                    new_identity(); RAISE; rec = 1
                :: else -> reset(); goto spawn
                fi }
    NOTYET
    fi;
    if
    :: atomic { SHR(h) ->
                if
                :: SEES_TK -> goto complete
                :: else ->
                    if
                    :: sst == CLAIMING -> goto linking
                    :: sst == CLAIMED -> goto relock
#ifdef M_RESTART_STARTING
                    :: sst == STARTING -> R(h, s).state = CLAIMED; goto relock
#endif
                    :: else
                    fi
                fi }
    CRASHPOINT
    fi;
    atomic { REACH(3, sst == STARTING && cmd[s] == ALIVE);                         /* REACHED */
             REACH(4, sst == RUNNING && cmd[s] == ALIVE);                          /* REACHED */
             REACH(5, sst == EXITED && cmd[s] == LEFT && lk == cmdof[s]);          /* REACHED */
             pv = (sst == EXITED -> OK : FAIL);
             goto clean };

complete:                        /* the session was taken over: finish that, if the taker did not */
    if
    :: atomic { SHR(h) -> REACH(6, st[s] < OK);                                    /* REACHED */
                pv = OUTCOME(s) }
    CRASHPOINT
    fi;

clean:                           /* end what is left of the command; a child that has not execed cannot be found */
    if
    :: atomic { LOC(h) ->
                if
#ifndef M_COMMAND_NOT_KILLED
                :: cmd[s] == ALIVE && HERE -> cmd_gone(s)
#endif
#ifndef H_LEFTOVER_KEEPS_LOCK
                :: cmd[s] == LEFT && HERE -> cmd_gone(s)
#endif
                :: else
                fi }
    CRASHPOINT
    fi;
    fence = 1;
    goto publish;

has_recovered:
    assert(!(cmd[s] == ALIVE && HERE));                                            /* LEFTALIVE */
    if
    :: CAS(sst, FINAL)
    CRASHPOINT
    fi;
    atomic { alive[me] = 0; close_lock(me, s); reset(); goto spawn };

publish:                         /* replace status.json by pv */
#if NS == 1
#ifdef H_LIST_BEFORE_TMP
    if
    :: atomic { SHR(h) && !fence -> if :: SEES_TK -> goto taken :: else fi }
    :: fence -> skip
    CRASHPOINT
    fi;
#endif
    if
    :: atomic { SHR(h) -> tmp[me] = pv }
    CRASHPOINT
    fi;
    if                           /* list, after the temporary file was made */
#ifdef H_LIST_BEFORE_TMP
    :: atomic { !fence -> goto renaming }
#else
    :: atomic { SHR(h) && !fence -> if :: SEES_TK -> tmp[me] = 0; goto taken :: else -> goto renaming fi }
#endif
    :: atomic { SHR(h) && fence -> list_others() }
    CRASHPOINT
    fi;
#ifndef H_NO_FENCE
unlinking:
    if                           /* no rename of anybody else can be carried out from here on, unless ... */
    :: atomic { SHR(h) -> unlink_one(); if :: mask != 0 -> goto unlinking :: else fi }
    CRASHPOINT
    fi;
    if                           /* ... it was already */
    :: atomic { SHR(h) -> if :: st[s] >= OK -> tmp[me] = 0; goto has_recovered :: else fi }
    CRASHPOINT
    fi;
#endif
renaming:
    if
    :: atomic { SHR(h) && tmp[me] != 0 -> put(s, pv); tmp[me] = 0; goto published }
    :: atomic { SHR(h) && tmp[me] != 0 && nlost > 0 -> nlost--; put(s, pv); tmp[me] = 0 }
    :: atomic { SHR(h) && tmp[me] == 0 -> skip }                                   /* ENOENT */
    :: atomic { ncrash > 0 && nlate > 0 && late_rename == 0 -> nlate--; late_rename = me; die(); reset(); goto spawn }
    CRASHPOINT
    fi;
    if                           /* look */
    :: atomic { SHR(h) && !fence -> if :: SEES_TK -> goto taken :: else -> goto published fi }
    :: atomic { SHR(h) && fence -> REACH(8, st[s] >= OK && tk[s] != 0);            /* REACHED */
                if :: st[s] >= OK -> goto has_recovered :: else -> goto progress_again fi }
    CRASHPOINT
    fi;
progress_again:
    goto publish;
#else
    if
    :: atomic { SHR(h) -> put(s, pv) }
    CRASHPOINT
    fi;
#endif
published:
    if
    :: rec && fence -> goto has_recovered
#ifdef H_RUNNING_BEFORE_STARTING
    :: !fence && pv == RUN -> goto start_now
#else
    :: !fence && pv == RUN -> goto has_run
#endif
    :: !fence && pv == OK -> goto has_ended
    fi;
stop:
    skip
}

/* ---- another worker takes over ----------------------------------------------------------------------------- */

#ifdef H_ODD_CLAIMS_IGNORED
#define SILENT(Q) (claim[Q] == 1 && mode[0] != UP)
#else
#define SILENT(Q) ((claim[Q] == 1 && mode[0] != UP) || (claim[Q] == CLIENT && cdead) || claim[Q] == EMPTY)
#endif

proctype Taker(byte me; bit mortal) {
    byte pv, i;
    short mask;
#define MAYDIE  :: atomic { mortal && ncrash > 0 -> ncrash--; goto stop }

end_idle:
    if
#ifndef H_TAKEOVER_UNFINISHED
    :: tk[0] != 0 && st[0] < OK                        /* anybody may finish what a taker left */
#endif
    :: tk[0] == 0 && st[0] >= PENDING && st[0] < OK && SILENT(0)
    fi;
#ifndef M_NO_TAKEOVER_CLAIM
    if
    :: atomic { tk[0] == 0 -> tk[0] = me }
#ifdef H_TAKEOVER_UNFINISHED
    :: atomic { tk[0] != 0 -> goto stop }
#else
    :: tk[0] != 0
#endif
    MAYDIE
    fi;
#endif
again:
    if                           /* only now: does the stream hold an exit event? */
#ifdef H_TAKER_BLIND
    :: atomic { pv = (claim[0] == CLIENT -> CANC : FAIL) }
#else
    :: atomic { pv = OUTCOME(0) }
#endif
    MAYDIE
    fi;
    if
    :: atomic { tmp[me] = pv }
    MAYDIE
    fi;
#ifndef H_NO_FENCE
    if
    :: atomic { list_others() }
    MAYDIE
    fi;
unlinking:
    if
    :: atomic { unlink_one(); if :: mask != 0 -> goto unlinking :: else fi }
    MAYDIE
    fi;
    if
    :: atomic { st[0] >= OK -> tmp[me] = 0; goto stop }
    :: st[0] < OK
    MAYDIE
    fi;
#endif
    if
    :: atomic { tmp[me] != 0 -> put(0, pv); tmp[me] = 0; goto stop }
    :: tmp[me] == 0
    :: atomic { mortal && ncrash > 0 && nlate > 0 && late_rename == 0 -> ncrash--; nlate--; late_rename = me; goto stop }
    MAYDIE
    fi;
    if                           /* ENOENT: somebody else ends it too (each may stop the other; they back off) */
    :: st[0] >= OK -> goto stop
    :: atomic { st[0] < OK -> REACH(9, true) }                                       /* REACHED */
    fi;
progress_again:
    goto again;
stop:
    skip
}

/* ---- the client: publishes, may withdraw ------------------------------------------------------------------- */

proctype Client() {
#define CDIES  :: atomic { ncrash > 0 -> ncrash--; cdead = 1; goto stop }
#define CDIES_IN(OP, WHAT) \
    :: atomic { ncrash > 0 && nlate > 0 && OP == 0 -> ncrash--; nlate--; cdead = 1; OP = WHAT; goto stop }

    if
    :: atomic { tmp[CL] = PENDING }
    CDIES
    fi;
publish:
    if
    :: atomic { tmp[CL] != 0 && st[0] == 0 -> put(0, PENDING); tmp[CL] = 0; goto published }
    :: atomic { tmp[CL] != 0 && st[0] == 0 && nlost > 0 -> nlost--; put(0, PENDING); tmp[CL] = 0 }
    :: atomic { tmp[CL] != 0 && nlost > 0 && nlate > 0 && late_rename == 0 -> nlost--; nlate--; late_rename = CL }
    :: tmp[CL] == 0
    CDIES_IN(late_rename, CL)
    CDIES
    fi;
    if                           /* an error: look */
    :: st[0] != 0
#ifdef H_FRESH_TMP
    :: atomic { st[0] == 0 -> put(0, PENDING) }        /* once more, under another temporary name */
#else
    :: st[0] == 0 -> goto publish                      /* once more, with the same source */
#endif
    CDIES
    fi;
published:
    if
    :: goto stop                                       /* it waits, for ever */
    :: skip
    CDIES
    fi;
#ifdef M_WITHDRAW_BY_STATUS
    atomic { if :: st[0] == PENDING -> put(0, CANC); withdrawn[0] = 1 :: else fi; goto stop };
#endif
linking:
    if
    :: atomic { claim[0] == 0 -> claim[0] = CLIENT }
    :: atomic { claim[0] == 0 && nlost > 0 -> nlost-- }
    :: claim[0] != 0
    CDIES_IN(late_link, CLIENT)
    CDIES
    fi;
    if
    :: atomic { claim[0] == CLIENT -> REACH(13, true);                             /* REACHED */
                withdrawn[0] = 1 }
    :: claim[0] == 0 -> goto linking
    :: atomic { claim[0] != CLIENT && claim[0] != 0 -> REACH(14, cmd[0] == ALIVE); /* REACHED */
                goto stop }                                    /* it runs, and is treated as such */
    CDIES
    fi;
    if
    :: atomic { tmp[CL] = CANC }
    CDIES
    fi;
    if
    :: atomic { tmp[CL] != 0 -> put(0, CANC); tmp[CL] = 0 }
    :: tmp[CL] == 0
    CDIES_IN(late_rename, CL)
    CDIES
    fi;
stop:
    skip
}

/* ---- the server, the hosts, and the end -------------------------------------------------------------------- */

proctype Server() {              /* carries out, at last, what a killed process had under way; a retry sees no difference */
end:
    do
    :: atomic { late_rename != 0 -> REACH(10, tmp[late_rename] != 0);              /* REACHED */
                REACH(11, tmp[late_rename] == 0 && st[0] >= OK);                   /* REACHED */
                if :: tmp[late_rename] != 0 -> put(0, tmp[late_rename]); tmp[late_rename] = 0 :: else fi;
                late_rename = 0 }
    :: atomic { late_link != 0 -> REACH(12, claim[0] == 0 && late_link == CLIENT); /* REACHED */
                if :: claim[0] == 0 -> claim[0] = late_link :: else fi; late_link = 0 }
    :: atomic { late_unlink != 0 -> claim[0] = 0; late_unlink = 0 }
    od
}

proctype Host() {                /* host 0 is cut off or paused once, then comes back or never does */
    byte i;
    if
    :: mode[0] = PAUSED
    :: atomic { mode[0] = CUT; failed = 1 }
    :: goto stop
    fi;
    if
    :: atomic { mode[0] = UP }
    :: atomic { mode[0] = DEAD; lk = 0; i = 1;
                do :: i <= MAXI -> alive[i] = 0; i++ :: else -> break od;
                i = 0;
                if :: CMDHOLDS(0) -> cmd[0] = GONE :: else fi }
    fi;
stop:
    skip
}

#define RUNS(Q)    (cmd[Q] == ALIVE && endless[Q] && st[Q] < OK && alive[cmdof[Q]])
#if NS == 2
#define RUNS_ON(Q) (RUNS(Q) || RUNS(1 - Q))            /* or waits for the directory of one that does */
#else
#define RUNS_ON(Q) RUNS(Q)
#endif

inline quiet_checks(q) {
    assert(st[q] >= OK || st[q] == 0 || RUNS_ON(q) || (claim[q] == 0 && mode[0] == DEAD));    /* END */
    assert(!(cmd[q] == ALIVE && st[q] >= OK));                                     /* HUNGUP */
    assert(mode[0] == DEAD || !OPEN(0, q) || RUNS_ON(q));                          /* ROWS */
    assert(NH == 1 || !OPEN(NH - 1, q) || RUNS_ON(q))                              /* ROWS */
}

proctype Watch() {               /* nothing can move any more: everybody must have an end */
    timeout;
    atomic {
        quiet_checks(0)
#if NS >= 2
        ; quiet_checks(1)
#endif
#if NS == 3
        ; quiet_checks(2)
#endif
    }
}

#endif

/* ---- attach: a scenario of its own ------------------------------------------------------------------------- */

#ifdef ATTACH
#define NA        6              /* numbers that may come to be used, some of them by the dead */
byte sin[NA], ctl[NA];           /* who made stdin.<n>.jsonl and control.<n>.jsonl */
byte sent[NA], taken[NA];
byte said;                       /* the highest n of an `attached` event */
byte wrote[NA];                  /* ghost: who appended */
byte lowest;                     /* ghost: input of a lower n may not reach the command any more */

inline append_input(n, who) {
    d_step {
        assert(wrote[n] == 0 || wrote[n] == who);                                  /* WRITERS */
        wrote[n] = who;
        sent[n]++
    }
}

#define ANNOUNCE(N) :: atomic { cur < N && ctl[N] != 0 -> said = N; cur = N }

proctype AttachRunner() {
    byte cur;
end:
    do
    ANNOUNCE(1)
    ANNOUNCE(2)
    ANNOUNCE(3)
    ANNOUNCE(4)
    ANNOUNCE(5)
    :: atomic { taken[cur] < sent[cur] -> assert(cur >= lowest); lowest = cur; taken[cur]++ }          /* INPUT */
#ifdef M_LOWER_STILL_READ
    :: atomic { cur > 0 && taken[0] < sent[0] -> assert(lowest == 0); taken[0]++ }                     /* INPUT */
#endif
    od
}

proctype Attacher(byte me) {
    byte n;
again:
    atomic {
        n = NA - 1;
        do :: n > 0 && sin[n] == 0 && ctl[n] == 0 -> n-- :: else -> break od;
        n++;
        assert(n < NA)                                                             /* MODEL */
    };
    if
    :: atomic { sin[n] == 0 -> sin[n] = me }
#ifdef M_ATTACH_EXISTS_IS_MINE
    :: atomic { sin[n] == 0 && nlost > 0 -> nlost--; sin[n] = me }
    :: sin[n] != 0
#else
    :: atomic { sin[n] == 0 && nlost > 0 -> nlost--; sin[n] = me; goto again }     /* whose it is cannot be told */
    :: sin[n] != 0 -> goto again
#endif
    :: atomic { ncrash > 0 -> ncrash--; goto stop }
    fi;
    if
    :: atomic { ctl[n] == 0 -> ctl[n] = me }
    :: ctl[n] != 0                                     /* a lost reply: stdin.<n> is mine, so this is */
    :: atomic { ncrash > 0 -> ncrash--; goto stop }
    fi;
    if
    :: said == n
#ifndef H_ATTACH_WAITS_FOR_ITS_OWN
    :: atomic { said > n -> REACH(21, true); goto stop }   /* superseded before it began */  /* REACHED */
#endif
    :: atomic { ncrash > 0 -> ncrash--; goto stop }
    fi;
#ifdef M_ATTACH_ONE_FILE
#define MYFILE 0
#else
#define MYFILE n
#endif
end_attached:
    do
    :: atomic { said == n && sent[n] < 2 -> append_input(MYFILE, me) }
    :: said > n -> break
    :: atomic { ncrash > 0 -> ncrash--; break }
    od;
stop:
    skip
}

proctype First() {               /* the client that submitted */
end:
    do
    :: atomic { said == 0 && sent[0] < 2 -> append_input(0, 9) }
    :: said > 0 -> break
    od
}

init {
    atomic {
        byte a = 1;
        run AttachRunner();
        run First();
        do :: a <= ATTACH -> run Attacher(a); a++ :: else -> break od
    }
}
#else

init {
    atomic {
#ifdef LOCKCHOICE
        if :: nolock = 1 :: skip fi;
#endif
#ifdef WITHDRAWAL
        run Client();
#else
        st[0] = PENDING;
#endif
        run Command(0);
#if NS >= 2
        st[1] = PENDING;
        run Command(1);
#endif
#if NS == 3
        st[2] = PENDING;
        run Command(2);
#endif
        run Runner(0);
#if SLOTS >= 2
        run Runner(0);
#endif
#if SLOTS >= 3
        run Runner(0);
#endif
#if NH == 2
        run Runner(1);
#endif
#ifdef TAKERS
        run Taker(TK2, 0);
#if TAKERS == 2
        run Taker(TK1, 1);                             /* may die, for good */
#endif
#endif
#if LATE > 0 || defined(M_CLAIM_REMOVED)
        run Server();
#endif
#ifdef HOSTS
        run Host();
#endif
        run Watch()
    }
}
#endif
