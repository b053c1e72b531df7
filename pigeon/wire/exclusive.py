"""A file that one of several makes, whole, once and for ever: a claim, an attachment (FORMAT.md, "The claim")."""

from __future__ import annotations

import errno

from pigeon.wire import files
from pigeon.wire.names import CLAIM_PREFIX, SessionFiles

_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL))

_CLAIM_BYTES = 65536
"""No claim is as long."""


def try_make(session: SessionFiles, path: str, token: str, text: bytes) -> bool:
    """Make the file at `path`, whole, once and for ever. True if it holds our `text` afterwards.

    `.claim-<token>` is written first and hard-linked, so nobody sees a half-written one, and a repeated attempt with
    the same token and text (after a lost reply or a crash) finds its own. Exclusive create where there are no links.

    Raises:
        OSError: it cannot be said whether it was made; try again with the same token.
    """
    private = f"{session.directory}/{CLAIM_PREFIX}{token}"
    files.create_anew(private, text)  # nobody else knows the token
    try:
        files.link(private, path)
        won = True
    except FileExistsError:
        won = _holds(path, text)
    except OSError as error:
        if error.errno in _NO_LINKS:
            won = _try_create(path, text)
        elif _holds(path, text):
            won = True
        else:
            raise
    finally:
        files.remove(private)
    return won


def _try_create(path: str, text: bytes) -> bool:
    try:
        files.create(path, text)
        return True
    except FileExistsError:
        return _holds(path, text)


def _holds(path: str, text: bytes) -> bool:
    try:
        return files.read(path, _CLAIM_BYTES) == text
    except (FileNotFoundError, files.Refused):
        return False
    except OSError as error:
        if error.errno == errno.EFBIG:
            return False
        raise
