"""A worker's settings about its network, on their way from the worker to the process that lends it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pigeon.errors import ConfigError, PigeonError


@dataclass(frozen=True)
class Rules:
    """`[worker] net`, `net_permit`, `net_deny`, `net_history`."""

    lends: bool
    permit: list[str]
    deny: list[str]
    history: bool

    def check(self) -> None:
        """Raises ConfigError: a rule that is none."""
        from pigeon.net.policy import Rule

        for key, texts in (("net_permit", self.permit), ("net_deny", self.deny)):
            for text in texts:
                try:
                    Rule(text)
                except ValueError:
                    raise ConfigError(
                        f"`worker.{key}`: `{text}` is no rule",
                        hint="write `HOST:PORTS`, such as `*.example.org:443`, `10.0.0.0/8` or `metadata`",
                    ) from None

    def to_text(self) -> str:
        """One line for the process's environment."""
        return json.dumps(asdict(self))


def from_text(text: str) -> Rules:
    """What `to_text` made. Raises PigeonError: no worker has said it, so nothing is lent."""
    try:
        said = json.loads(text)
        return Rules(bool(said["lends"]), list(said["permit"]), list(said["deny"]), bool(said["history"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PigeonError(
            "only a worker lends its network: `pigeon net` on the other machine asks it to"
        ) from None
