"""What programs say before they are connected, whom they may reach, and the words of `-L`, `-R`, `-D`. All pure."""

from __future__ import annotations

import base64
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.errors import PigeonError, UsageError
from pigeon.net import frames
from pigeon.net.dial import interleaved
from pigeon.net.far.ledger import MAX_DESTINATIONS, Ledger
from pigeon.net.far.rules import Rules, from_text
from pigeon.net.near.environment import variables
from pigeon.net.near.forwards import Forward, parse
from pigeon.net.near.http import Http, refusal
from pigeon.net.near.socks import Socks4, Socks5
from pigeon.net.near.wish import MAX_HEAD_BYTES, Greeter
from pigeon.net.policy import Policy, Rule, is_own
from pigeon.net.resolve import Found

DENIED = ["loopback", "link-local", "metadata"]


def feed(greeter: Greeter, data: bytes, sizes: list[int] | None = None) -> bytes:
    """All replies to `data`, given in pieces of these sizes (then byte by byte)."""
    said = b""
    for size in [*(sizes or ()), *[1] * len(data)]:
        if not data or greeter.wish or greeter.is_over:
            break
        greeter.feed(data[:size])
        data = data[size:]
        said += greeter.reply
    return said


SPLITS = st.lists(st.integers(1, 40), max_size=8)


@given(SPLITS)
def test_connect(sizes: list[int]) -> None:
    greeter = Http(None, tells_status=False)
    feed(greeter, b"CONNECT Example.org:443 HTTP/1.1\r\nHost: example.org\r\nX: y\r\n\r\n", sizes)
    assert greeter.wish is not None
    assert (greeter.wish.host, greeter.wish.port, greeter.wish.first) == ("Example.org", 443, b"")
    assert greeter.wish.yes.startswith(b"HTTP/1.1 200 ")


def test_what_follows_a_connect_goes_along() -> None:
    greeter = Http(None, tells_status=False)
    greeter.feed(b"CONNECT [2001:db8::1]:22 HTTP/1.0\r\n\r\nSSH-2.0-x\r\n")
    assert greeter.wish is not None
    assert (greeter.wish.host, greeter.wish.port, greeter.wish.first) == ("2001:db8::1", 22, b"SSH-2.0-x\r\n")


@pytest.mark.parametrize(
    ("target", "place", "line"),
    [
        (b"http://a.example/b?c", ("a.example", 80), b"GET /b?c HTTP/1.1"),
        (b"http://a.example", ("a.example", 80), b"GET / HTTP/1.1"),
        (b"HTTP://a.example:8080/", ("a.example", 8080), b"GET / HTTP/1.1"),
        (b"http://[::1]:81/x", ("::1", 81), b"GET /x HTTP/1.1"),
        (b"http://a.example?q=1/2", ("a.example", 80), b"GET /?q=1/2 HTTP/1.1"),
        (b"http://user:secret@a.example/", ("a.example", 80), b"GET / HTTP/1.1"),
        (b"ws://a.example/socket", ("a.example", 80), b"GET /socket HTTP/1.1"),
    ],
)
def test_a_plain_request_is_passed_on(target: bytes, place: tuple[str, int], line: bytes) -> None:
    greeter = Http(None, tells_status=False)
    fields = b"Host: a.example\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nAccept: */*\r\n"
    greeter.feed(b"GET " + target + b" HTTP/1.1\r\n" + fields + b"\r\nbody")
    assert greeter.wish is not None
    assert (greeter.wish.host, greeter.wish.port, greeter.wish.yes) == (*place, b"")
    head, _, rest = greeter.wish.first.partition(b"\r\n\r\n")
    assert rest == b"body"
    assert head.split(b"\r\n") == [line, b"Host: a.example", b"Accept: */*", b"Connection: close"]


def test_an_upgrade_is_passed_on() -> None:
    greeter = Http(None, tells_status=False)
    greeter.feed(b"GET http://a/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    assert greeter.wish is not None
    assert b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" in greeter.wish.first


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\n\r\n",
        b"CONNECT a HTTP/1.1\r\n\r\n",
        b"CONNECT a:0 HTTP/1.1\r\n\r\n",
        b"CONNECT a:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT a:http HTTP/1.1\r\n\r\n",
        b"CONNECT :80 HTTP/1.1\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET http://a/ SPDY/3\r\n\r\n",
        b"GET /pigeon/status HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_to_a_proxy_is_told_so(data: bytes) -> None:
    greeter = Http(None, tells_status=False)
    greeter.feed(data)
    assert greeter.is_over
    assert greeter.reply.startswith(b"HTTP/1.1 400 ")
    assert greeter.wish is None and not greeter.asks_status


@pytest.mark.parametrize("greeter", [Http(None, tells_status=True), Socks4(None)])
def test_who_never_comes_to_an_end_is_sent_away(greeter: Greeter) -> None:
    greeter.feed(b"G" * (MAX_HEAD_BYTES + 1))
    assert greeter.is_over


def test_a_refusal_is_one_status_line_whatever_the_reason_holds() -> None:
    said = refusal(frames.NOT_ALLOWED, "no\r\nSet-Cookie: x\x1b[2J é")
    head = said.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"HTTP/1.1 403 pigeon: no??Set-Cookie: x?[2J ?"
    assert not any(line.startswith(b"Set-Cookie") for line in head)


def credentials(text: bytes) -> bytes:
    return b"Proxy-Authorization: Basic " + base64.b64encode(text) + b"\r\n"


@pytest.mark.parametrize(
    ("field", "is_let_in"),
    [
        (b"", False),
        (credentials(b"pigeon:no"), False),
        (b"Proxy-Authorization: x\r\n", False),
        (credentials(b"pigeon:pw"), True),
    ],
)
def test_a_password_is_asked_for(field: bytes, is_let_in: bool) -> None:
    greeter = Http("pw", tells_status=False)
    greeter.feed(b"CONNECT a:1 HTTP/1.1\r\n" + field + b"\r\n")
    assert (greeter.wish is not None) == is_let_in
    assert is_let_in or greeter.reply.startswith(b"HTTP/1.1 407 ")


SOCKS5_REQUESTS = {
    b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50": ("127.0.0.1", 80),
    b"\x05\x01\x00\x03\x09a.example\x01\xbb": ("a.example", 443),
    b"\x05\x01\x00\x04" + ipaddress.ip_address("2001:db8::1").packed + b"\x00\x16": ("2001:db8::1", 22),
}


@given(st.sampled_from(sorted(SOCKS5_REQUESTS)), SPLITS)
def test_socks_5(request: bytes, sizes: list[int]) -> None:
    greeter = Socks5(None)
    said = feed(greeter, b"\x05\x02\x00\x01" + request, sizes)
    assert said == b"\x05\x00"
    assert greeter.wish is not None
    assert (greeter.wish.host, greeter.wish.port) == SOCKS5_REQUESTS[request]
    assert greeter.wish.yes[:2] == b"\x05\x00" and len(greeter.wish.yes) == 10
    assert greeter.wish.no(frames.CONNECTION_REFUSED, "x")[:2] == b"\x05\x05"


@given(st.sampled_from(["pw", "no"]), SPLITS)
def test_socks_5_with_a_password(given_: str, sizes: list[int]) -> None:
    greeter = Socks5("pw")
    request = b"\x05\x01\x00\x03\x01a\x00\x50"
    said = feed(greeter, b"\x05\x02\x00\x02\x01\x06pigeon\x02" + given_.encode() + request, sizes)
    assert said == (b"\x05\x02\x01\x00" if given_ == "pw" else b"\x05\x02\x01\x01")
    assert (greeter.wish is not None) == (given_ == "pw")
    assert greeter.is_over == (given_ != "pw")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x05\x01\x02", b"\x05\xff"),  # only with a password, of which there is none
        (b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x07"),  # BIND
        (b"\x05\x01\x00\x05\x01\x00\x09\x7f\0\0\x01\0\x50", b"\x05\x00\x05\x08"),
        (b"\x05\x00", b"\x05\xff"),
    ],
)
def test_socks_5_that_cannot_be_served(data: bytes, said: bytes) -> None:
    greeter = Socks5(None)
    greeter.feed(data)
    assert greeter.is_over and greeter.reply.startswith(said)


@given(
    st.sampled_from([(b"\x5d\xb8\xd8\x22u\0", "93.184.216.34"), (b"\0\0\0\x07\0a.example\0", "a.example")]),
    SPLITS,
)
def test_socks_4(request: tuple[bytes, str], sizes: list[int]) -> None:
    greeter = Socks4(None)
    feed(greeter, b"\x04\x01\x00\x50" + request[0], sizes)
    assert greeter.wish is not None
    assert (greeter.wish.host, greeter.wish.port) == (request[1], 80)


def test_socks_4_has_no_password_and_only_connects() -> None:
    for password, command in (("pw", 1), (None, 2)):
        greeter = Socks4(password)
        greeter.feed(bytes((4, command)) + b"\0\x50\x7f\0\0\x01u\0")
        assert greeter.is_over and greeter.reply[:2] == b"\0\x5b"


@given(st.binary(max_size=300), st.booleans())
def test_nothing_that_a_program_sends_is_an_error_of_ours(data: bytes, has_password: bool) -> None:
    password = "pw" if has_password else None
    for greeter in (Socks4(password), Socks5(password), Http(password, tells_status=True)):
        feed(greeter, data + b"\r\n\r\n")


# Who may be reached


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "169.254.169.254",
        "169.254.0.9", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0",
        "fd00:ec2::254",        "168.63.129.16", "100.100.100.200",
        "::ffff:a9fe:a9fe", "224.0.0.1", "255.255.255.255", "ff02::1",
    ],
)  # fmt: skip
def test_these_are_never_lent_by_default(address: str) -> None:
    assert Policy(["*:*"], DENIED).refusal("rebind.example", address, 80, named=False)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "10.1.2.3", "192.168.1.1", "2001:db8::1", "fd12::1", "::ffff:8.8.8.8"]
)
def test_these_are(address: str) -> None:
    assert Policy(["*:*"], DENIED).refusal("a.example", address, 80, named=False) is None


def test_the_workers_loopback_is_lent_to_who_names_it_himself() -> None:
    policy = Policy(["*:*"], DENIED)
    assert policy.refusal("localhost", "127.0.0.1", 8888, named=True) is None
    assert policy.refusal("x", "169.254.169.254", 80, named=True)


@pytest.mark.parametrize(
    ("rule", "name", "address", "port", "matches"),
    [
        ("*:*", "a", "1.2.3.4", 1, True),
        ("*.example.org:443", "www.Example.ORG.", "1.2.3.4", 443, True),
        ("*.example.org:443", "www.example.org", "1.2.3.4", 80, False),
        ("*.example.org:443", "example.org", "1.2.3.4", 443, False),
        ("10.0.0.0/8", "a", "10.9.9.9", 5, True),
        ("10.0.0.0/8:22", "a", "10.9.9.9", 5, False),
        ("10.0.0.0/8", "a", "::ffff:10.9.9.9", 5, True),
        ("[2001:db8::]/32:*", "a", "2001:db8::5", 5, True),
        ("2001:db8::1", "a", "2001:db8::1", 5, True),
        ("[2001:db8::1]:80-90", "a", "2001:db8::1", 85, True),
        ("[2001:db8::1]:80-90", "a", "2001:db8::1", 91, False),
        ("private:*", "a", "172.16.0.1", 5, True),
        ("metadata", "a", "169.254.169.254", 80, True),
        ("evil.example", "evil.example", "1.2.3.4", 5, True),
    ],
)
def test_rules(rule: str, name: str, address: str, port: int, matches: bool) -> None:
    assert Rule(rule).matches(name, ipaddress.ip_address(address), port) == matches


@pytest.mark.parametrize("rule", ["a:b", "a:1-x", "10.0.0.0/99", "1.2.3.4/8/9"])
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(ValueError):
        Rule(rule)
    with pytest.raises(PigeonError, match="no rule"):
        Rules(True, [rule], [], True).check()


def test_a_refusal_names_the_rule() -> None:
    said = Policy(["*.org:443"], ["private"]).refusal("git.corp", "10.0.0.5", 22, named=False)
    assert said == "the worker does not lend git.corp (10.0.0.5:22) (`net_deny` has `private`)"
    said = Policy(["*.org:443"], []).refusal("a.com", "1.2.3.4", 22, named=False)
    assert said is not None and "not in `net_permit`" in said


def test_rules_travel_as_text_and_nobody_else_has_any() -> None:
    rules = Rules(True, ["*:*"], ["a", "b"], False)
    assert from_text(rules.to_text()) == rules
    for text in ("", "{}", "[1]", "null"):
        with pytest.raises(PigeonError):
            from_text(text)


def test_what_a_node_reaches_by_itself() -> None:
    assert all(
        map(
            is_own,
            ("127.0.0.1", "10.0.0.1", "192.168.0.1", "fe80::1", "fd00::1", "169.254.1.1", "100.64.0.1"),
        )
    )
    assert not any(map(is_own, ("8.8.8.8", "2001:db8::1", "198.18.0.1", "name")))


# -L, -R, -D


@pytest.mark.parametrize(
    ("flag", "text", "to_all", "wanted"),
    [
        ("-L", "8080:a.example:80", False, Forward("-L", "127.0.0.1", 8080, "a.example", 80)),
        ("-L", "8080:a.example:80", True, Forward("-L", "0.0.0.0", 8080, "a.example", 80)),
        ("-L", "localhost:1:b:2", False, Forward("-L", "127.0.0.1", 1, "b", 2)),
        ("-L", "*:1:b:2", True, Forward("-L", "0.0.0.0", 1, "b", 2)),
        ("-L", "[::1]:1:[2001:db8::1]:2", False, Forward("-L", "::1", 1, "2001:db8::1", 2)),
        ("-R", "0:localhost:6006", False, Forward("-R", "127.0.0.1", 0, "localhost", 6006)),
        ("-D", "1080", False, Forward("-D", "127.0.0.1", 1080)),
        ("-D", "1080", True, Forward("-D", "127.0.0.1", 1080)),
        ("-D", "127.0.0.9:1080", False, Forward("-D", "127.0.0.9", 1080)),
    ],
)
def test_forwards(flag: str, text: str, to_all: bool, wanted: Forward) -> None:
    assert parse(flag, text, to_all=to_all) == wanted
    assert parse(flag, str(wanted).removeprefix(f"{flag} "), to_all=to_all) == wanted


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("-L", "80"), ("-L", "1:2"), ("-L", "x:a:1"), ("-L", "1:a:99999"), ("-L", "1::2"), ("-L", "1:a:0"),
        ("-L", "0.0.0.0:1:a:2"),        ("-L", ":1:a:2"), ("-D", "a"),
        ("-D", "1:2:3"), ("-D", "0.0.0.0:1"), ("-R", "10.0.0.1:1:a:2"),
    ],
)  # fmt: skip
def test_what_is_no_forward(flag: str, text: str) -> None:
    with pytest.raises(UsageError):
        parse(flag, text, to_all=False)


# The rest


def test_all_variables_say_http_and_what_is_own_stays() -> None:
    made = variables(
        1234,
        None,
        "/run/x.sock",
        environ={"NO_PROXY": "corp.example, 10.0.0.0/8"},
        hosts=["node1"],
        direct=["files.example"],
        connect="pigeon connect",
    )
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        assert made[name] == made[name.upper()] == "http://127.0.0.1:1234"
    assert made["no_proxy"] == "corp.example,10.0.0.0/8,localhost,127.0.0.1,::1,node1,files.example"
    assert made["GIT_SSH_COMMAND"] == "ssh -o ProxyCommand='pigeon connect %h %p'"
    assert made["PIGEON_PROXY"] == "unix:/run/x.sock"


def test_what_the_user_has_set_for_git_stays_and_the_catch_needs_less() -> None:
    ours = {"environ": {"GIT_SSH_COMMAND": "x"}, "hosts": [], "direct": [], "connect": "c"}
    assert "GIT_SSH_COMMAND" not in variables(1, None, "", **ours)  # type: ignore[arg-type]  # keywords of three types
    caught = variables(1, "p/w", "", environ={}, hosts=[], direct=[], connect=None)
    assert not {"GIT_SSH_COMMAND", "RSYNC_PROXY"} & caught.keys()
    assert caught["https_proxy"] == "http://pigeon:p%2Fw@127.0.0.1:1"


def test_families_alternate() -> None:
    found = [Found(10, (f"::{n}", 1)) for n in range(3)] + [Found(2, ("1.1.1.1", 1))]
    assert [one.family for one in interleaved(found)] == [10, 2, 10, 10]
    assert interleaved([]) == []


def test_a_ledger_counts() -> None:
    ledger = Ledger()
    for at in (1.0, 2.0):
        ledger.asked("a", 80, at)
    one = ledger.changed()[0]
    assert (one.connections, one.waiting_since) == (0, 1.0)
    ledger.opened("a", 80, 3.0)
    ledger.refused("a", 80, 4.0)
    ledger.closed("a", 80, 10, 20, 5.0)
    (one,) = ledger.changed()
    assert (one.connections, one.refused, one.open, one.sent, one.received) == (1, 1, 0, 10, 20)
    assert (one.first_at, one.last_at, one.waiting_since) == (1.0, 5.0, None)
    assert ledger.changed() == []


def test_a_scan_of_a_network_does_not_fill_the_journal() -> None:
    ledger = Ledger()
    for port in range(MAX_DESTINATIONS + 50):
        ledger.asked("a", port, 1.0)
        ledger.refused("a", port, 1.0)
    changed = ledger.changed()
    assert len(changed) == MAX_DESTINATIONS + 1
    assert next(one for one in changed if one.host == "(others)").refused == 50
