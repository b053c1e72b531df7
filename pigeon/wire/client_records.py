"""What the records of a client's control.jsonl say, as the worker side reads them (FORMAT.md, "Records")."""

from __future__ import annotations

from pigeon.wire.records import BESIDE, CLIENT, Record, integer, text


def client_event_of(record: Record) -> str:
    """What a client says in it; "" for any other record."""
    return text(record, "event") if record.get("type") == CLIENT else ""


def companion_of(record: Record) -> str:
    """The session beside which a BESIDE record asks to be run; "" for any other record."""
    return text(record, "session") if client_event_of(record) == BESIDE else ""


def features_in(record: Record) -> tuple[str, ...]:
    """What an attacher says, in its first record, that it can do."""
    features = record.get("features")
    return tuple(f for f in features if isinstance(f, str)) if isinstance(features, list) else ()


def signal_of(record: Record) -> int | None:
    """The number of a SIGNAL, 1 to 64; None if it has none that is a signal's."""
    number = integer(record, "signal")
    return number if number is not None and 0 < number < 65 else None
