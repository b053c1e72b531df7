"""What can go wrong with the lab itself, in words for people: what, why, what to do."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked. `hint` says what to do about it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message} (hint: {hint})")
        self.message = message
        self.hint = hint
