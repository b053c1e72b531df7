"""Who owns a session: making the claim, reading it, withdrawing, taking over (FORMAT.md, "The claim").

Owns the fields of `worker.claim` and `takeover.claim`. A claim may be seen empty, and an older worker's says little:
what is not there reads as "" and as no feature.
"""

from __future__ import annotations

from pigeon.wire import exclusive, files
from pigeon.wire.documents import ATTACH, MAX_DOCUMENT_BYTES, WORKER_FEATURES
from pigeon.wire.names import SessionFiles


class Claim:
    """The content of `worker.claim`. `pairs`: all that stands there, for who shows it to a person.

    `launch`: the token of the launch that has brought the worker about; "" for one that nobody has launched. `job`:
    what the cluster's engine calls the allocation in which the worker runs.
    """

    __slots__ = (
        "pairs",
        "token",
        "worker_id",
        "worker_host",
        "worker_pid",
        "withdrawn_by",
        "features",
        "launch",
        "job",
    )

    def __init__(self, pairs: dict[str, str]) -> None:
        self.pairs = pairs
        self.token = pairs.get("claim_token", "")
        self.worker_id = pairs.get("worker_id", "")
        self.worker_host = pairs.get("worker_host", "")
        self.worker_pid = pairs.get("worker_pid", "")
        self.withdrawn_by = pairs.get("withdrawn_by", "")
        self.launch = pairs.get("launch", "")
        self.job = pairs.get("job", "")
        self.features = frozenset(pairs.get("features", "").split(",")) - {""}

    @property
    def owner(self) -> str:
        """The id of the worker that has the session, as its file is named; "" where no worker has said who it is."""
        if self.worker_id or not self.worker_host:
            return self.worker_id
        return f"{self.worker_host}-{self.worker_pid}"

    @property
    def shown(self) -> str:
        """Who made it, for people."""
        return self.worker_id or self.worker_host or self.withdrawn_by or "?"

    @property
    def is_withdrawal(self) -> bool:
        """A client made it, in order to give its session up."""
        return bool(self.withdrawn_by)

    @property
    def takes_attachers(self) -> bool:
        """Whether others than the session's own client can reach the runner."""
        return ATTACH in self.features


def worker_claim(
    host: str, pid: int, worker_id: str, token: str, *, launch: str = "", job: str = ""
) -> bytes:
    """The text of a worker's claim. The same arguments give the same bytes, so a repeated attempt knows its own."""
    beside = {"launch": launch, "job": job}
    return _encode(
        {
            "worker_host": host,
            "worker_pid": str(pid),
            "worker_id": worker_id,
            "claim_token": token,
            "features": ",".join(WORKER_FEATURES),
            **{key: value for key, value in beside.items() if value},
        }
    )


def withdrawal(host: str, pid: int, token: str) -> bytes:
    """The text by which a client claims its own session in order to give it up."""
    return _encode(
        {"withdrawn_by": "client", "client_host": host, "client_pid": str(pid), "claim_token": token}
    )


def takeover(by: str, token: str) -> bytes:
    """The text of `takeover.claim`. `by`: who ends the session, for people."""
    return _encode({"taken_over_by": by, "takeover_token": token})


def _encode(pairs: dict[str, str]) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in pairs.items()).encode("utf-8", "surrogateescape")


def parse_claim(data: bytes) -> Claim:
    """The `key=value` lines; whatever else stands there is passed over."""
    pairs = (line.partition("=") for line in data.decode("utf-8", "surrogateescape").splitlines())
    return Claim({key.strip(): value.strip() for key, equals, value in pairs if equals})


def try_claim(session: SessionFiles, token: str, text: bytes) -> bool:
    """Whether the session is ours after this call. Raises OSError when that cannot be said yet: repeat the call."""
    return exclusive.try_make(session, session.claim, token, text)


def try_takeover(session: SessionFiles, token: str, text: bytes) -> bool:
    """Whether the right to end a session of a silent owner is ours. Raises OSError like `try_claim`."""
    return exclusive.try_make(session, session.takeover, token, text)


def read_claim(session: SessionFiles) -> Claim:
    """The claim; an empty one if its maker has not filled it (or never will).

    Raises:
        FileNotFoundError: nobody has claimed the session, as far as a fresh open shows.
        OSError: it could not be read now.
    """
    return parse_claim(files.read(session.claim, MAX_DOCUMENT_BYTES))
