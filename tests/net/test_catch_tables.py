"""The catch without a kernel: its filter run by an interpreter for both machines, its decisions, its name server."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.net.catch import dns
from pigeon.net.catch.decide import (
    GO_ON,
    INVENTED,
    LEND,
    NAMES,
    REFUSE,
    Place,
    decide,
    on_link_networks,
    packed,
    parse,
)
from pigeon.net.catch.machine import MACHINES, Machine
from pigeon.net.catch.name_server import own_servers
from pigeon.net.catch.program import ALLOW, ASK, FAIL, NAME_SERVICES, program
from pigeon.net.policy import Rule

X86_64, AARCH64 = MACHINES["x86_64"], MACHINES["aarch64"]
BOTH = pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=["x86_64", "aarch64"])


def run_filter(text: bytes, number: int, audit: int, *arguments: int) -> int:
    """What the kernel's interpreter of classic BPF returns (the instructions that occur)."""
    data = struct.pack("=iIQ6Q", number, audit, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    at, value = 0, 0
    for _ in range(len(text) // 8):
        code, if_true, if_false, k = struct.unpack_from("=HBBI", text, at * 8)
        at += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (value,) = struct.unpack_from("=I", data, k)
        elif code == 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
            at += if_true if value == k else if_false
        elif code == 0x35:  # BPF_JMP | BPF_JGE | BPF_K
            at += if_true if value >= k else if_false
        elif code == 0x45:  # BPF_JMP | BPF_JSET | BPF_K
            at += if_true if value & k else if_false
        else:
            assert code == 0x06  # BPF_RET | BPF_K
            return int(k)
    raise AssertionError("it runs off its end")


@BOTH
@pytest.mark.parametrize(
    ("length", "verdict"),
    [
        (16, ASK),
        (28, ASK),
        (110, ASK),
        (128, ASK),
        (4096, ASK),
        (0, ALLOW),
        (2, ALLOW),
        (15, ALLOW),
        (20, ALLOW),
        (109, ALLOW),
    ],
)
def test_the_length_of_the_address_decides_who_is_asked_about(
    machine: Machine, length: int, verdict: int
) -> None:
    assert run_filter(program(machine), machine.connect, machine.audit, 3, 0x7F0000000000, length) == verdict


@BOTH
def test_local_name_services_are_asked_about_however_they_are_measured(machine: Machine) -> None:
    text = program(machine)
    for extra in (2, 3):
        length = len(NAME_SERVICES[0]) + extra
        assert run_filter(text, machine.connect, machine.audit, 3, 0, length) == ASK


@BOTH
def test_io_uring_is_not_there_and_all_else_passes(machine: Machine) -> None:
    text = program(machine)
    assert run_filter(text, machine.io_uring_setup, machine.audit, 16) == FAIL | errno.ENOSYS
    for number in set(range(500)) - {machine.connect, machine.io_uring_setup}:
        assert run_filter(text, number, machine.audit, 3, 0, 16) == ALLOW


@BOTH
def test_sending_does_not_connect(machine: Machine) -> None:
    """A connection by MSG_FASTOPEN would pass unseen: it is answered as by a kernel that has none."""
    text, flags = program(machine), socket.MSG_FASTOPEN | socket.MSG_DONTWAIT
    refused = FAIL | errno.EOPNOTSUPP
    assert run_filter(text, machine.sendto, machine.audit, 3, 0, 5, flags, 0, 16) == refused
    assert run_filter(text, machine.sendmmsg, machine.audit, 3, 0, 5, flags) == refused
    assert run_filter(text, machine.sendmsg, machine.audit, 3, 0, flags) == refused
    for number in (machine.sendto, machine.sendmsg, machine.sendmmsg):
        assert run_filter(text, number, machine.audit, 3, 0, 16, socket.MSG_DONTWAIT, 0, 16) == ALLOW
        assert run_filter(text, number, 0x40000003, 3, 0, flags, flags) == ALLOW


@BOTH
def test_only_what_is_sent_as_musl_asks_a_name_server_is_asked_about(machine: Machine) -> None:
    text, quiet = program(machine), socket.MSG_NOSIGNAL

    def verdict(size: int, flags: int, length: int, audit: int = machine.audit) -> int:
        return run_filter(text, machine.sendto, audit, 3, 0x7F00, size, flags, 0x7FFF, length)

    assert verdict(29, quiet, 16) == verdict(512, quiet, 28) == ASK
    for passing in (
        verdict(513, quiet, 16),
        verdict(29, 0, 16),
        verdict(29, quiet | socket.MSG_DONTWAIT, 16),
        verdict(29, quiet, 0),  # on a connected socket, or to a Unix socket
        verdict(29, quiet, 110),
        verdict(29, quiet, 16, 0x40000003),
    ):
        assert passing == ALLOW
    for number in (machine.sendmsg, machine.sendmmsg):
        assert run_filter(text, number, machine.audit, 3, 0, 29, quiet, 0, 16) == ALLOW


@BOTH
def test_programs_for_another_machine_pass(machine: Machine) -> None:
    for audit in (0x40000003, 0x40000028, 0):  # i386, arm
        assert run_filter(program(machine), machine.connect, audit, 3, 0, 16) == ALLOW


def test_the_tables_are_those_of_the_kernel() -> None:
    # asm/unistd_64.h and asm-generic/unistd.h: what has a number above 424 has the same one everywhere.
    assert (X86_64.connect, X86_64.seccomp, X86_64.audit) == (42, 317, 0xC000003E)
    assert (X86_64.sendto, X86_64.sendmsg, X86_64.sendmmsg) == (44, 46, 307)
    assert (AARCH64.sendto, AARCH64.sendmsg, AARCH64.sendmmsg) == (206, 211, 269)
    assert (AARCH64.connect, AARCH64.seccomp, AARCH64.audit) == (203, 277, 0xC00000B7)
    for machine in MACHINES.values():
        assert (machine.io_uring_setup, machine.pidfd_open, machine.pidfd_getfd) == (425, 434, 438)


# Decisions


def sockaddr(host: str, port: int) -> bytes:
    if ":" in host:
        return (
            struct.pack("=H", 10)
            + struct.pack("!HI", port, 0)
            + socket.inet_pton(socket.AF_INET6, host)
            + bytes(4)
        )
    return struct.pack("=H", 2) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)


STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


@pytest.mark.parametrize(
    ("host", "port", "kind", "verdict"),
    [
        ("93.184.216.34", 443, STREAM, LEND),
        ("2001:db8::1", 443, STREAM, LEND),
        ("::ffff:93.184.216.34", 443, STREAM, LEND),
        ("198.18.0.1", 443, STREAM, LEND),
        ("::ffff:198.18.0.1", 443, STREAM, LEND),
        ("127.0.0.1", 443, STREAM, GO_ON),
        ("0.0.0.0", 443, STREAM, GO_ON),
        ("::1", 443, STREAM, GO_ON),
        ("10.0.0.1", 443, STREAM, GO_ON),
        ("192.168.7.7", 22, STREAM, GO_ON),
        ("fe80::1", 443, STREAM, GO_ON),
        ("fd00::1", 443, STREAM, GO_ON),
        ("130.60.1.7", 443, STREAM, GO_ON),  # on-link
        ("93.184.217.9", 443, STREAM, GO_ON),  # named as direct
        ("127.0.0.53", 53, DGRAM, NAMES),
        ("10.0.0.53", 53, DGRAM, NAMES),
        ("8.8.8.8", 53, DGRAM, NAMES),
        ("8.8.8.8", 53, STREAM, LEND),
        ("8.8.8.8", 443, DGRAM, GO_ON),
        ("8.8.8.8", 443, socket.SOCK_RAW, GO_ON),
    ],
)
def test_decisions(host: str, port: int, kind: int, verdict: str) -> None:
    on_link = on_link_networks("h\neth0 003C8237 00000000 0001 0 0 0 00FFFFFF\n", "")
    on_link += on_link_networks("h\neth0 00013C82 00000000 0001 0 0 0 00FFFFFF\n", "")
    assert decide(parse(sockaddr(host, port)), kind, on_link, [Rule("93.184.217.0/24")]) == verdict


def test_name_services_of_the_host_are_refused_and_other_sockets_are_not() -> None:
    for path in NAME_SERVICES:
        assert decide(parse(struct.pack("=H", 1) + path + b"\0"), STREAM, (), ()) == REFUSE
    for path in (b"/tmp/.X11-unix/X0", b"\0abstract", b""):
        assert decide(parse(struct.pack("=H", 1) + path), STREAM, (), ()) == GO_ON


@given(st.binary(max_size=140), st.sampled_from([STREAM, DGRAM]))
def test_no_address_is_an_error_of_ours(data: bytes, kind: int) -> None:
    assert decide(parse(data), kind, (), ()) in (GO_ON, LEND, NAMES, REFUSE)


def test_networks_of_this_host_are_read_from_the_kernels_tables() -> None:
    route = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    zero = "00000000000000000000000000000000"
    route6 = (
        f"20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001 eth0\n"
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
        f"00000000000000000000000000000001 80 {zero} 00 {zero} 00000000 00000005 00000000 80200001 lo\n"
    )
    assert [str(net) for net in on_link_networks(route, route6)] == ["192.168.2.0/24", "2001:db8::/64"]
    assert on_link_networks("", "") == []


# Names


def question(name: str, kind: int = dns.A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack("!HHHHHH", 0xABCD, 0x0100, 1, 0, 0, 1)
        + labels
        + b"\0"
        + struct.pack("!HH", kind, 1)
        + b"opt"
    )


def test_a_query_and_its_answers() -> None:
    query = dns.parse_query(question("WWW.Example.org"))
    assert query is not None
    assert (query.name, query.kind) == ("www.example.org", dns.A)
    answer = dns.reply(query, dns.NO_ERROR, "198.18.0.7")
    assert answer[:4] == b"\xab\xcd\x81\x80"
    assert dns.addresses(answer) == ["198.18.0.7"]
    assert dns.reply(query, dns.NO_SUCH_NAME)[3] & 15 == 3
    assert dns.addresses(dns.reply(query, dns.NO_ERROR)) == []


@given(st.binary(max_size=80))
def test_nothing_that_comes_to_the_name_server_is_an_error_of_ours(data: bytes) -> None:
    for text in (data, question("a")[:12] + data):
        dns.parse_query(text)
        dns.addresses(text)


def test_an_invented_address_stands_for_its_name_until_there_are_no_more() -> None:
    inventions = dns.Inventions(size=3)
    first = [inventions.address_of(name) for name in ("a", "b", "c")]
    assert len(set(first)) == 3
    assert inventions.address_of("a") == first[0]
    assert inventions.name_of(first[1]) == "b" == inventions.name_of(f"::ffff:{first[1]}")
    again = inventions.address_of("d")
    assert again == first[0] and inventions.name_of(again) == "d"
    assert inventions.name_of("93.184.216.34") is None
    everything = dns.Inventions()
    assert everything.address_of("x") == str(INVENTED[1])


def test_name_servers_of_the_host() -> None:
    text = (
        "# x\nsearch a.example\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver\nnameserver name\n"
    )
    assert own_servers(text) == ["10.0.0.1", "fe80::1%eth0"]


def test_places() -> None:
    assert parse(sockaddr("93.184.216.34", 80)) == Place(2, "93.184.216.34", 80)
    assert parse(sockaddr("2001:db8::1", 80)) == Place(10, "2001:db8::1", 80)
    for host in ("93.184.216.34", "2001:db8::1"):
        text = sockaddr(host, 80)
        assert text.startswith(packed(Place(10 if ":" in host else 2, host, 80)))
    assert (
        parse(b"") is None
        and parse(b"\x02\x00\x00") is None
        and parse(struct.pack("=H", 16) + bytes(10)) is None
    )
