/* One direction of the bulk lane: a writer of segments, their reader, and the lines beside them (FORMAT.md, "Bulk").
 *
 * A frame is one step, and holds one unit of payload. The reader looks when it likes, so it may see each write as late
 * as it likes (another host's cache); what it sees of a segment is always a beginning of it, since it believes a frame by
 * its checksum. An acknowledgement is seen as late as its writer likes. A write that failed may have landed, and is
 * repeated at its place. Properties are the comments beside the assertions.
 */

#define N 7       /* units of payload */
#define CAP 2     /* that make a segment full */
#define WINDOW 4  /* units that may be unacknowledged */
#define SEGMENTS 6
#define SLOTS 5

#define MARK 100
#define END 101

#ifdef H_RELEASED_AT_ITS_LAST_BYTE
#define IS_OVER(k) (up_to[k] <= acked)
#else
#define IS_OVER(k) (up_to[k] < acked)
#endif

typedef Segment { bool there; byte frame[SLOTS]; byte length };
Segment segment[SEGMENTS];

bool told;      /* the lines say that the segments begin */
bool end_line;  /* the record of the end has been written to the lines */
byte acked;     /* units that the reader has acknowledged */
bool end_acked; /* and the record of the end */
byte lying;     /* segments on the share */

inline append(k, what) {
    segment[k].frame[segment[k].length] = what;
    segment[k].length++;
#ifdef M_APPENDS_AGAIN
    if
    :: segment[k].length < SLOTS && what < MARK -> /* it failed, but had landed */
        segment[k].frame[segment[k].length] = what;
        segment[k].length++
    :: skip
    fi
#endif
}

inline remove(k) {
    if
    :: segment[k].there -> segment[k].there = false; lying--
    :: else
    fi
}

active proctype Writer() {
    byte number = 0, sent = 0, here = 0, first = 1, k;
    byte up_to[SEGMENTS];
    bool has_ended = false;

    do
    :: sent < N && sent - acked < WINDOW && (number == 0 || here == CAP) ->
#ifdef H_LINES_FIRST
        told = true;
#endif
#ifdef H_END_BEFORE_THE_NEXT
        if
        :: number > 0 -> atomic { append(number, END) }
        :: else
        fi;
#endif
        atomic { segment[number + 1].there = true; lying++ };
#ifndef H_END_BEFORE_THE_NEXT
        if
        :: number > 0 -> atomic { append(number, END) }
        :: else
        fi;
#endif
        up_to[number] = sent;
        number++;
        here = 0
    :: sent < N && sent - acked < WINDOW && number > 0 && here < CAP ->
        atomic { append(number, sent + 1); sent++; here++ };
        told = true
    :: first < number && IS_OVER(first) -> atomic { remove(first); first++ }
    :: sent == N && !has_ended ->
        atomic { append(number, MARK); has_ended = true };
        end_line = true
#ifdef H_CLEARED_WITHOUT_THE_END
    :: has_ended && acked == N -> break
#endif
    :: has_ended && end_acked -> break
    od;
    k = 1;
    do
    :: k < SEGMENTS -> atomic { remove(k); k++ }
    :: else -> break
    od
}

active proctype Reader() {
    byte number = 1, at = 0, got = 0, frame;

    told;
    do
    :: segment[number].length > at || !segment[number].there ->
        assert(segment[number].there); /* THERE */
        frame = segment[number].frame[at];
        at++;
        if
        :: frame == END -> number++; at = 0
        :: frame == MARK ->
            end_line;
            assert(got == N); /* WHOLE */
            acked = got;
            end_acked = true;
            break
        :: else ->
            assert(frame == got + 1); /* ORDER */
            got++
        fi
    :: acked < got -> acked = got
    od
}

/* What lies there is bounded, and nothing is left. */
active proctype Watch() {
    end: do
    :: atomic { lying > WINDOW / CAP + 3 -> assert(false) } /* SPACE */
    :: atomic { timeout -> assert(lying == 0) } /* LEFT */ ; break
    od
}
