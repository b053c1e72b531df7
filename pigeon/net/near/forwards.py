"""The words of `-L`, `-R` and `-D`, as in ssh(1). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pigeon.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Forward:
    """Listen on (bind, port), connect to (host, to). `host` is "" for `-D`, where each connection says where."""

    flag: str
    bind: str
    port: int
    host: str = ""
    to: int = 0

    def __str__(self) -> str:
        """As it may be typed."""
        place = f"{_bracketed(self.bind)}:{self.port}"
        return (
            f"{self.flag} {place}:{_bracketed(self.host)}:{self.to}" if self.host else f"{self.flag} {place}"
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _fields(text: str) -> list[str]:
    """`text` at its colons, those within brackets excepted."""
    fields, inside, current = [], False, ""
    for character in text:
        if character in "[]":
            inside = character == "["
        elif character == ":" and not inside:
            fields.append(current)
            current = ""
        else:
            current += character
    return [*fields, current]


def parse(flag: str, text: str, *, to_all: bool) -> Forward:
    """`[BIND:]PORT:HOST:HOSTPORT`, and for `-D` `[BIND:]PORT`. `to_all`: `-g`.

    Raises:
        UsageError: it is not of that form, or would listen for other hosts without `-g`.
    """
    fields = _fields(text)
    wanted = 1 if flag == "-D" else 3
    usage = "[BIND:]PORT" if flag == "-D" else "[BIND:]PORT:HOST:HOSTPORT"
    if len(fields) not in (wanted, wanted + 1):
        raise UsageError(f"`{flag} {text}`: not of the form {usage}")
    bind = fields.pop(0) if len(fields) > wanted else ("0.0.0.0" if to_all and flag != "-D" else LOOPBACK)
    bind = {"*": "0.0.0.0", "": "0.0.0.0", "localhost": LOOPBACK}.get(bind, bind)
    if not to_all and not (bind.startswith("127.") or bind == "::1"):
        raise UsageError(
            f"`{flag} {text}` would listen for other machines, too", hint="if that is meant, add `-g`"
        )
    ports = [_port(flag, text, field) for field in (fields if flag == "-D" else fields[::2])]
    if flag == "-D":
        return Forward(flag, bind, ports[0])
    if not fields[1] or not ports[1]:
        raise UsageError(f"`{flag} {text}`: not of the form {usage}")
    return Forward(flag, bind, ports[0], fields[1], ports[1])


def _port(flag: str, text: str, field: str) -> int:
    if not field.isdecimal() or int(field) > 65535:
        raise UsageError(f"`{flag} {text}`: `{field}` is no port")
    return int(field)
