"""Who owns a session: making the claim, reading it, withdrawing (FORMAT.md, "The claim")."""

from __future__ import annotations

from pigeon.wire import files
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, WORKER_FEATURES, claim_text, parse_claim
from pigeon.wire.names import SessionFiles


def worker_claim(host: str, pid: int, worker_id: str, token: str) -> bytes:
    """The text of a worker's claim. The same arguments give the same bytes, so a repeated attempt knows its own."""
    return claim_text(
        {
            "worker_host": host,
            "worker_pid": str(pid),
            "worker_id": worker_id,
            "claim_token": token,
            "features": ",".join(WORKER_FEATURES),
        }
    )


def withdrawal(host: str, pid: int, token: str) -> bytes:
    """The text by which a client claims its own session in order to give it up."""
    return claim_text(
        {"withdrawn_by": "client", "client_host": host, "client_pid": str(pid), "claim_token": token}
    )


def try_claim(session: SessionFiles, token: str, text: bytes) -> bool:
    """Whether the session is ours after this call. Raises OSError when that cannot be said yet: repeat the call."""
    return files.try_link(session, session.claim, token, text)


def try_takeover(session: SessionFiles, token: str, text: bytes) -> bool:
    """Whether the right to end a session of a silent owner is ours. Raises OSError like `try_claim`."""
    return files.try_link(session, session.takeover, token, text)


def read_claim(session: SessionFiles) -> dict[str, str]:
    """The fields of the claim; empty if its maker has not filled it (or never will).

    Raises:
        FileNotFoundError: nobody has claimed the session, as far as a fresh open shows.
        OSError: it could not be read now.
    """
    return parse_claim(files.read(session.claim, MAX_DOCUMENT_BYTES))


def features_of(claim: dict[str, str]) -> frozenset[str]:
    """What the claiming worker can do; nothing for an older one."""
    return frozenset(claim.get("features", "").split(",")) - {""}
