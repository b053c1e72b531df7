"""The worker side as a client can know it: who has the session, what he can do, whether he still lives."""

from __future__ import annotations

import errno

from pigeon.client.session.trouble import NO_ROOM
from pigeon.wire import files
from pigeon.wire.documents import ACK, BULK, HEARTBEAT
from pigeon.wire.names import CLAIM_NAME, SessionFiles
from pigeon.wire.pacing import HEARTBEAT_S, Silence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.submit import Submission
    from pigeon.client.session.telling import Telling
    from pigeon.client.session.workers import Reason, Watchers, Workers
    from pigeon.wire.claim import Claim
    from pigeon.wire.names import Namespace

LOOK_S = 1.0
"""Between two looks at the worker files and the listing while the session waits."""

FULL_S = 6.0
"""A worker that lives and can write has said something before this."""

FULL_BYTES = 64 * 1024

PATIENCE = 10
"""A silent session whose worker lives is given up after so many times `worker_timeout`: the worker's own recovery,
which ends it far sooner, cannot be at work any more."""

DEAD_PATIENCE = 2
"""And one whose worker does not, after so many."""

UNHEARD_S = 7.0
"""Whoever has taken a session says something about it before this: that the command has started, or a heartbeat."""

WATCH_S = 10.0
"""For so long the worker files have been watched when it is time to tell of a silence, if `worker_timeout` leaves room
for it: what a living worker may at most need to be seen."""

_NOTICES = {True: "still changes", False: "does not change either", None: "cannot be read"}
_VERDICTS = {
    True: "its worker still lives",
    False: "its worker's heartbeat has stopped too",
    None: "its worker's heartbeat file cannot be read",
}
"""By what the watching has shown (`Watchers.lives`)."""


class WaitNews:
    """What there is to say about a session that nobody has started."""

    __slots__ = ("notice", "progress", "holder", "claimed_now", "give_up", "give_up_reason")

    def __init__(self) -> None:
        self.notice = ""
        self.progress = ""
        """What a terminal may show until the next look."""
        self.holder = ""
        """The session that has the directory, while that is what it waits for."""
        self.claimed_now = ""
        self.give_up = ""
        """What the user is told when it is time to leave ..."""
        self.give_up_reason = ""
        """... and what stays in the status."""


class OwnerState:
    """Liveness and abilities of the owner. Looks at the claim only when something depends on it."""

    def __init__(
        self, submission: Submission, *, claim_timeout_s: float, worker_timeout_s: float, attachment: int = 0
    ) -> None:
        request = submission.request
        self.session = submission.session
        self.attachment = attachment
        self.input_acknowledged = (0, 0)
        self.keys_acknowledged = 0
        """Of control.jsonl."""
        """Bytes of stdin.jsonl, and of segments, that the command has taken."""
        self.is_claimed = False
        self.verdict: str | None = None
        self.namespace = submission.namespace
        self._route = request.route
        self._made_workers: Workers | None = None
        self._cwd = request.cwd
        self._locks = request.locks
        self._claim_timeout_s = claim_timeout_s
        self._worker_timeout_s = worker_timeout_s
        self._claim: Claim | None = None
        self._silence = Silence()
        self._next_look = 0.0
        self._made_telling: Telling | None = None
        self.finds_no_room = False
        """The share was full when the session had last been silent for long."""
        self.is_refused_room = False
        """The share takes nothing from this client, for want of room, and so perhaps nothing from the owner."""
        self.is_held_up = False
        """That has lasted, and the user has been told."""
        self.interrupted = 0
        """The signal by which the user wants to end the command, passed on and without an answer so far."""
        self._noticed = ""
        """Of which kind the last notice about a silent session was, as long as it is silent."""
        self._watch: Watchers | None = None
        """Of a session that is silent for longer than one that is well ever is."""
        self._watched_since: float | None = None
        self._is_watched = False
        self._taken_at: float | None = None
        """Since when somebody has the session; as long as nothing has come from it."""
        self.was_heard = False

    @property
    def _workers(self) -> Workers:
        """Made when the first second has passed without a start: most sessions never need it."""
        if self._made_workers is None:
            from pigeon.client.session.workers import Workers

            self._made_workers = Workers(self.namespace, self._route)
        return self._made_workers

    # Waiting for a worker

    def wait(self, now: float, age_s: float) -> WaitNews:
        """Look, once a second and not in the first, why nobody has started the session."""
        result = WaitNews()
        if age_s < LOOK_S or now < self._next_look:
            return result
        self._next_look = now + LOOK_S
        if not self.is_claimed and self._find_claim():
            self.is_claimed = True
            result.claimed_now = self._claim.shown if self._claim is not None else "?"
        if self.is_claimed:
            return result
        self._workers.look(now)
        reason = self._why(now)
        if reason is not None:
            result.notice = self._telling.notice(reason, now, age_s, self._left_s(reason.kind))
            result.progress = self._telling.progress(reason, age_s)
        result.holder = self._workers.holder
        if self._workers.absence.seconds >= self._claim_timeout_s:
            result.give_up = self._no_worker(now)
            result.give_up_reason = f"no worker took it within {self._claim_timeout_s:.0f} s"
        stuck_s, why = self._workers.stuck(now)
        if stuck_s >= self._claim_timeout_s:
            result.give_up = (
                f"pigeon: no worker could start the session within {self._claim_timeout_s:.0f} s: {why}; "
                "it is withdrawn\n"
                "pigeon: hint: `pigeon doctor` there tells what is wrong, or wait longer with `--claim-timeout`"
            )
            result.give_up_reason = f"no worker could start it: {why}"
        return result

    def _left_s(self, kind: str) -> float | None:
        """In how many seconds this client gives up; None where it waits as long as it takes."""
        return self._claim_timeout_s - self._workers.absence.seconds if kind in ("none", "silent") else None

    @property
    def _telling(self) -> Telling:
        """Made with `_workers`."""
        if self._made_telling is None:
            from pigeon.client.session.telling import Telling

            self._made_telling = Telling()
        return self._made_telling

    def _why(self, now: float) -> Reason | None:
        """For what the session waits; None until living workers can be told from what dead ones have left behind."""
        from pigeon.client.session.workers import WATCHED_S

        if self._watched_since is None:
            self._watched_since = now
        all_live = all(self._workers.lives(name, now) for name in self._workers.workers)
        # Once and for all: a worker that comes later must not make the client fall silent again.
        self._is_watched = self._is_watched or all_live or now - self._watched_since >= WATCHED_S
        if not self._is_watched:
            return None
        return self._workers.reason(self.session.session_id, self._cwd, self._locks, now)

    def _no_worker(self, now: float) -> str:
        """The last words of a client that gives up."""
        ending = "".join(
            f"; {worker.worker_id} takes no new sessions"
            for worker in self._workers.workers.values()
            if worker.is_draining
        )
        route = f" --route {self._route}" if self._route else ""
        meant = "" if self._workers.workers else _others(self.namespace) or _private(self.namespace.cache)
        return (
            f"pigeon: no worker has taken the session within {self._claim_timeout_s:.0f} s in namespace "
            f"`{self.namespace.name}`: {self._workers.summary(now)}{ending}; it is withdrawn\n"
            f"{meant}pigeon: hint: start `pigeon worker --namespace {self.namespace.name}{route}` on a machine with "
            "internet, or wait longer with `--claim-timeout`"
        )

    def _find_claim(self) -> bool:
        try:
            if CLAIM_NAME not in files.list_names(self.session.directory):
                return False
            self._claim = _read_claim(self.session)
            return True
        except OSError:
            return False

    # While it runs

    def features(self) -> frozenset[str]:
        """What the owner's claim announces; nothing for an older worker, or while the claim cannot be read."""
        if self._claim is None:
            try:
                self._claim = _read_claim(self.session)
            except OSError:
                return frozenset()
        return self._claim.features

    def acknowledges(self) -> bool:
        """Whether the runner says how much input the command has taken."""
        return ACK in self.features()

    def takes_bulk(self) -> bool:
        """Whether the runner reads input in segments."""
        return BULK in self.features()

    def input_taken(self, offset: int | None, bulk_bytes: int = 0, control: int | None = None) -> None:
        """The runner has acknowledged input up to this byte of stdin.jsonl, and so much of what is in segments."""
        lines, bulk = self.input_acknowledged
        self.input_acknowledged = (max(lines, offset or 0), max(bulk, bulk_bytes))
        self.keys_acknowledged = max(self.keys_acknowledged, control or 0)

    def looked(self, now: float, *, grew: bool) -> None:
        """The stream has been read."""
        if grew:
            self.was_heard = True
            self._noticed, self.finds_no_room, self._watch = "", False, None
            self.interrupted = 0
        self._silence.looked(now, grew=grew)

    def failed(self) -> None:
        """The stream could not be read: nothing is known about the peer."""
        self._silence.failed()
        self._watch = None

    def judge(self, now: float) -> str:
        """A notice when the session has been silent for too long; sets `verdict` when its owner must be given up."""
        silence = self._silence.seconds
        if silence > FULL_S and (self.is_refused_room or _is_full(self.session.directory)):
            self.failed()  # it says nothing of the owner, who cannot write
            self.finds_no_room = True
            return self._notice_once("full", NO_ROOM[errno.ENOSPC])
        if not self.was_heard:
            unheard = self._judge_unheard(now)
            if unheard:
                return unheard
        due = max(self._worker_timeout_s, 2 * HEARTBEAT_S)
        # A change takes two looks, so the watching begins before there is anything to say.
        if silence < max(FULL_S, due - WATCH_S) or now < self._next_look:
            return ""
        self._next_look = now + LOOK_S
        if HEARTBEAT in self.features():
            return self._judge_watchers(now, silence, due)
        if silence < due:
            return ""
        from pigeon.text import duration

        return self._notice_once(
            "older",
            f"nothing from the session for {duration(silence)}; its worker is an older one without "
            "heartbeats, so pigeon cannot tell whether it lives; Ctrl-C ends the session",
        )

    def _judge_unheard(self, now: float) -> str:
        if self._taken_at is None:
            self._taken_at = now
        if now - self._taken_at < UNHEARD_S:
            return ""
        self.was_heard = True  # from now on it is a silence like any other
        shown = self._claim.shown if self._claim is not None else "?"
        who = "somebody unknown" if shown == "?" else shown
        return f"{who} has taken the session {UNHEARD_S:.0f} s ago, and nothing has come from it yet"

    def _judge_watchers(self, now: float, silence: float, due: float) -> str:
        from pigeon.client.session.workers import LIVES_S, Watchers
        from pigeon.text import duration

        if self._watch is None:
            owner = self._claim.worker_id if self._claim is not None else ""
            self._watch = Watchers(self.namespace, self.session.session_id, owner)
        watch = self._watch
        watch.look(now)
        if silence < due or (watch.lives is None and watch.is_readable):
            return ""
        limit = due * (DEAD_PATIENCE if watch.lives is False else PATIENCE)
        if watch.lives is False:  # a worker that is started again meanwhile takes the session up
            limit = max(limit, silence + max(LIVES_S, self._worker_timeout_s) - watch.silence_s)
        if silence >= limit:
            state = _VERDICTS[watch.lives]
            self.verdict = (
                f"pigeon: worker lost: nothing from the session for {duration(silence)} and {state} "
                f"({watch.watcher}); the command may still run there\n"
                f"pigeon: hint: `pigeon inspect {self.session.session_id}` tells what is known"
            )
        state = _NOTICES[watch.lives]
        return self._notice_once(
            state,
            f"nothing from the session for {duration(silence)}; the heartbeat file of its worker "
            f"{watch.watcher} {state}; giving up after {duration(limit)}",
        )

    def _notice_once(self, kind: str, text: str) -> str:
        """Empty where the last notice of this silence said the same."""
        if self._noticed == kind:
            return ""
        self._noticed = kind
        return text


def _is_full(path: str) -> bool:
    """Whether the filesystem has no room for a few records; a quota shows only where one writes."""
    try:
        found = files.filesystem_at(path)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < FULL_BYTES or (found.f_files > 0 and found.f_favail == 0)


def _others(namespace: Namespace) -> str:
    """A hint for who has another name on the worker's host: the namespace is the user's name where nothing sets it."""
    from pigeon.wire.worker_file import other_namespaces

    found = other_namespaces(namespace)
    if not found:
        return ""
    listed = ", ".join(f"`{name}`" for name in found)
    return f"pigeon: hint: there are worker files in {listed}: is `--namespace {found[0]}` meant?\n"


def _private(cache: str) -> str:
    """A hint for a cache that is this machine's alone: a worker elsewhere has another directory of that name."""
    from pigeon.mountinfo import filesystem_of, is_private

    mount = filesystem_of(cache)
    if not is_private(mount):
        return ""
    return (
        f"pigeon: hint: `{cache}` lies on a filesystem of this machine ({mount.fstype} on {mount.mount_point}), and "
        "a directory of that name elsewhere is another one; `pigeon doctor` tells more\n"
    )


def _read_claim(session: SessionFiles) -> Claim:
    from pigeon.wire.claim import read_claim

    return read_claim(session)
