"""The numbers of one kind of machine: system calls and the architecture's name for seccomp. A table, no more.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (aarch64) of Linux, and
include/uapi/linux/audit.h.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Numbers of system calls; `audit` is AUDIT_ARCH_*. Both machines are little-endian with 64 bits."""

    audit: int
    connect: int
    sendto: int
    sendmsg: int
    sendmmsg: int
    seccomp: int
    io_uring_setup: int = 425
    pidfd_open: int = 434
    pidfd_getfd: int = 438


MACHINES = {
    "x86_64": Machine(audit=0xC000003E, connect=42, sendto=44, sendmsg=46, sendmmsg=307, seccomp=317),
    "aarch64": Machine(audit=0xC00000B7, connect=203, sendto=206, sendmsg=211, sendmmsg=269, seccomp=277),
}
"""By what uname(2) calls the machine."""
