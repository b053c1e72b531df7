"""What is done about a launched session: one table. Pure."""

from __future__ import annotations

from enum import Enum


class Standing(Enum):
    """Whose the session is, by what the share says."""

    OPEN = "nobody's: its worker is still to come"
    OURS = "of the worker that was launched for it"
    ANOTHERS = "somebody else's, withdrawn by its client, or gone"


class News(Enum):
    """What has happened. Where several are true, the first counts."""

    STOP = "this process is to end what it does"
    CLIENT_GONE = "its client has shown no sign of life for too long"
    ENDED = "the launcher has ended, or there is none"
    NOTHING = "nothing of all that"


class Step(Enum):
    """What is done."""

    WAIT = "go on waiting"
    LAUNCH = "start a launcher (again), or give it up after too many"
    GIVE_BACK = "end the launcher; the session goes on waiting for any worker"
    REFUSE = "end the launcher, then claim the session to end it"
    LEAVE = "end the launcher, and forget the session"
    WATCH = "wait for its end, and write that down"
    HANG_UP = "order it to end, and then as WATCH"


LAUNCH_STEPS: dict[Standing, dict[News, Step]] = {
    Standing.OPEN: {
        News.STOP: Step.GIVE_BACK,
        News.CLIENT_GONE: Step.REFUSE,
        News.ENDED: Step.LAUNCH,
        News.NOTHING: Step.WAIT,
    },
    Standing.OURS: {
        News.STOP: Step.HANG_UP,
        News.CLIENT_GONE: Step.WATCH,
        News.ENDED: Step.WATCH,
        News.NOTHING: Step.WATCH,
    },
    Standing.ANOTHERS: {
        News.STOP: Step.LEAVE,
        News.CLIENT_GONE: Step.LEAVE,
        News.ENDED: Step.LEAVE,
        News.NOTHING: Step.LEAVE,
    },
}
"""Whose it is -> what has happened -> what is done."""
