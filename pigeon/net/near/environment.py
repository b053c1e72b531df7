"""The variables by which programs find a proxy. Pure.

All of them say `http://`: programs that obey them speak that, and several break on `socks5h://`, which serves nobody
whom `http://` does not serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

PROXY_VARIABLE = "PIGEON_PROXY"
"""Set for a command that is lent a network: one within it is lent the same one."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def url(port: int, password: str | None) -> str:
    """The address of the proxy."""
    who = f"pigeon:{quote(password, safe='')}@" if password else ""
    return f"http://{who}127.0.0.1:{port}"


def variables(
    port: int,
    password: str | None,
    socket_path: str,
    *,
    environ: Mapping[str, str],
    hosts: Iterable[str],
    direct: Iterable[str],
    connect: str | None,
) -> dict[str, str]:
    """What a command gets beside its environment `environ`.

    `hosts`: names of this host. `direct`: what is reached from here. `connect`: the words of `pigeon connect`, for
    programs that ignore proxies; None where the catch serves them.
    """
    address = url(port, password)
    made = {name: address for lower in _PROXIES for name in (lower, lower.upper())}
    known = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = dict.fromkeys(
        [
            *filter(None, (n.strip() for n in known.split(","))),
            "localhost",
            "127.0.0.1",
            "::1",
            *hosts,
            *direct,
        ]
    )
    made["no_proxy"] = made["NO_PROXY"] = ",".join(names)
    made["NODE_USE_ENV_PROXY"] = "1"
    made[PROXY_VARIABLE] = f"unix:{socket_path}"
    if connect is not None:
        if "GIT_SSH_COMMAND" not in environ and "GIT_SSH" not in environ:
            made["GIT_SSH_COMMAND"] = f"ssh -o ProxyCommand='{connect} %h %p'"
        made["RSYNC_PROXY"] = f"127.0.0.1:{port}"
    return made
