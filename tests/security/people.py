"""Pigeons that run as other users of the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Share
from tests.helpers.surroundings import Extra
from tests.helpers.users import User


def directory_of(user: User, path: Path, mode: int = 0o700) -> Path:
    """A new directory of that user's."""
    path.mkdir()
    user.own(path, mode=mode)
    return path


class Person(Pigeon):
    """A pigeon that runs as a user, by default on a share in his own directory."""

    def __init__(self, user: User, share: Path | None = None) -> None:
        self.user = user
        base = directory_of(user, user.home / f"pigeon-{os.urandom(3).hex()}")
        if share is None:
            share = directory_of(user, base / "share")
        super().__init__(base, Share(share, share))
        user.own(*(path for path in base.rglob("*") if path != share))

    def command(self, *words: Any, options: tuple[Any, ...] = ()) -> list[Any]:
        """The argument list of a pigeon of his, for root to start."""
        user = self.user
        become = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", f"--groups={user.group}"]
        return [*become, user.interpreter, "-m", "pigeon", *options, *words]

    def env(self, extra: Extra | None = None, *, config: Path | None = None) -> dict[str, str]:
        """The environment of his processes."""
        mine: dict[str, str | None] = {"PYTHONPATH": str(self.user.library), "USER": self.user.name}
        return super().env({**mine, **(extra or {})}, config=config)

    def _config(self, name: str, *layers: Mapping[str, object]) -> Path:
        path = super()._config(name, *layers)
        self.user.own(path)
        return path

    def directory(self, name: str | bytes) -> Path:
        """A fresh directory of his to run a command in."""
        path = super().directory(name)
        self.user.own(path.parent, path)
        return path
