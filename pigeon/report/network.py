"""How lent networks look: those that run here (`pigeon net --status`), and the journal's destinations. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pigeon.journal.destinations import Destination
from pigeon.report.history_table import size, visible

UNANSWERED_S = 5.0
"""A host that has not answered for so long is worth a word."""


def _age(seconds: float) -> str:
    for limit, unit, per in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / per:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def place(host: str, port: int) -> str:
    """As it is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def status_lines(fronts: Sequence[Mapping[str, object]]) -> list[str]:
    """What Front.describe says of each, as lines."""
    lines: list[str] = []
    for front in fronts:
        ports = ", ".join(str(port) for port in _list(front, "ports"))
        ended = _mapping(front, "ended")
        lines.append(
            f"{front.get('title')}, pid {front.get('pid')}, since {_age(_number(front, 'age_s'))}, port {ports}: "
            f"{len(_list(front, 'open'))} connections open, {_number(ended, 'connections'):.0f} ended "
            f"({size(int(_number(ended, 'sent')))} sent, {size(int(_number(ended, 'received')))} received)"
        )
        for session in _list(front, "sessions"):
            assert isinstance(session, Mapping)
            lines.append(
                f"  session: {session.get('state')}, {session.get('connections')} connections, "
                f"{size(int(_number(session, 'bytes')))} carried"
            )
        if front.get("trouble"):
            lines.append(f"  no session: {visible(str(front['trouble']))}")
        for one in _list(front, "open"):
            assert isinstance(one, Mapping)
            where = visible(place(str(one.get("host")), int(_number(one, "port"))))
            state = "" if one.get("leads_to") is not None else ", waits for an answer"
            lines.append(
                f"  {where} by {one.get('how')}, {_age(_number(one, 'age_s'))}, "
                f"{size(int(_number(one, 'sent')))} sent, {size(int(_number(one, 'received')))} received{state}"
            )
    return lines


def _list(one: Mapping[str, object], key: str) -> list[object]:
    value = one.get(key)
    return value if isinstance(value, list) else []


def _mapping(one: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = one.get(key)
    return value if isinstance(value, dict) else {}


def _number(one: Mapping[str, object], key: str) -> float:
    value = one.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def destination_line(one: Destination, now: float) -> str:
    """One line of `pigeon history`."""
    parts = [f"{one.connections} connection{'' if one.connections == 1 else 's'}"]
    if one.refused:
        parts.append(f"{one.refused} refused")
    if one.open:
        parts.append(f"{one.open} open")
    parts.append(f"{size(one.sent)} sent, {size(one.received)} received")
    if one.waiting_since is not None and now - one.waiting_since > UNANSWERED_S:
        parts.append(f"no answer for {_age(now - one.waiting_since)}")
    return f"{visible(place(one.host, one.port))}: {', '.join(parts)}"
