"""The checks of `pigeon doctor`: each looks at one thing and says PASS, WARN or FAIL with a remedy."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import statistics
from contextlib import suppress
from dataclasses import dataclass

from pigeon import __version__, clock, mountinfo
from pigeon.config import Config
from pigeon.journal import place
from pigeon.report import session_view
from pigeon.wire import directories, files, share, way
from pigeon.wire.files import Appender
from pigeon.wire.names import Namespace
from pigeon.wire.records import heartbeat_line
from pigeon.worker import profile
from pigeon.worker.locks import kinds

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"

FREE_BYTES = 1024**3

FILELESS = frozenset("proc sysfs cgroup cgroup2 devpts securityfs debugfs tracefs bpf mqueue".split())
"""Kinds that show what the kernel knows, and in which nobody makes files of his own."""

MAKE_ROOM = "make room: `pigeon clean` removes finished sessions"


@dataclass
class Finding:
    """What one check found."""

    level: str
    text: str
    remedy: str = ""


@dataclass
class Patient:
    """What is examined."""

    cache: str
    namespace: str
    route: str | None
    trust: str

    @property
    def place(self) -> Namespace:
        """The namespace, as it is. Raises ShareError: the way to it is not safe."""
        return share.enter(self.cache, self.namespace, self.trust)

    @property
    def room_name(self) -> str:
        """The directory in which the checks work, one for each doctor (each check is a child of his)."""
        return f"doctor-{socket.gethostname()}-{os.getppid()}"

    @property
    def room(self) -> str:
        """Its path on this machine; the namespace is made, where it is not there yet."""
        return f"{share.enter(self.cache, self.namespace, self.trust, make=True).root}/{self.room_name}"


def check_cache(patient: Patient, _: Config) -> list[Finding]:
    """Is it there, whose is it, and who can write it?"""
    if not os.path.isdir(patient.cache):
        return [
            Finding(
                FAIL, f"`{patient.cache}` is no directory on this machine", "mount it, or `mkdir -m 700` it"
            )
        ]
    found = os.stat(patient.cache)
    if found.st_mode & stat.S_ISVTX and found.st_mode & 0o002:
        return _check_common(patient, found)
    if found.st_uid != os.geteuid():
        text = f"`{patient.cache}` belongs to uid {found.st_uid}, not to you"
        return [
            Finding(WARN, text, "take a directory of your own, or let the administrator make one for all")
        ]
    if found.st_mode & 0o022:
        return [Finding(WARN, f"`{patient.cache}` can be written by others", f"`chmod go-w {patient.cache}`")]
    return [Finding(PASS, f"`{patient.cache}` is yours")]


def _check_common(patient: Patient, found: os.stat_result) -> list[Finding]:
    """A cache that many users share, each with a namespace of his own."""
    namespaces = f"{patient.cache}/namespaces"
    remedy = f"its administrator makes it so: `mkdir -p -m 1777 {namespaces}`, as root"
    try:
        inner = os.lstat(namespaces)
    except FileNotFoundError:
        text = f"`{patient.cache}` is open to many users, but has no `namespaces` for them yet"
        return [Finding(WARN, f"{text}: who comes first has it to himself", remedy)]
    is_open = stat.S_ISDIR(inner.st_mode) and inner.st_mode & stat.S_ISVTX and inner.st_mode & 0o002
    if not is_open or 0 not in (inner.st_uid, found.st_uid):
        text = f"`{patient.cache}` is open to many users, but `namespaces` in it is not"
        return [Finding(WARN, f"{text} (uid {inner.st_uid}, mode {stat.S_IMODE(inner.st_mode):04o})", remedy)]
    return [Finding(PASS, f"`{patient.cache}` is one for many users, each with a namespace of his own")]


def check_way(patient: Patient, _: Config) -> list[Finding]:
    """Whoever can replace a directory on the way to the sessions can run commands as their user."""
    faults = way.faults(patient.cache, patient.namespace, patient.trust)
    if faults:
        return [Finding(FAIL, f"`{fault.filename}` {fault.strerror}", fault.remedy) for fault in faults]
    note = ", or what you trust your groups with" if patient.trust == way.TRUST_GROUP else ""
    return [Finding(PASS, f"every directory from `/` to the sessions is yours or root's{note}")]


def check_filesystem(patient: Patient, config: Config) -> list[Finding]:
    """Type and options, and the lock that follows."""
    mount = mountinfo.filesystem_of(patient.cache)
    if mount.fstype in FILELESS:
        text = f"`{patient.cache}` shows the kernel's own data ({mount.fstype}) and takes no files"
        return [Finding(FAIL, text, "take a directory on the shared filesystem: `--cache DIR`")]
    choice = kinds.choose(config.worker.lock, mount)
    text = f"{mount.fstype} on {mount.mount_point}; lock `{choice.mode}`: {choice.reason}"
    if choice.warning:
        return [Finding(WARN, choice.warning, choice.remedy)]
    return [Finding(PASS, text)]


def check_space(patient: Patient, _: Config) -> list[Finding]:
    """Room for output."""
    usage = shutil.disk_usage(patient.cache)
    is_little = usage.free < FREE_BYTES
    free = f"{usage.free / 1024**2:.1f} MiB free" if is_little else f"{usage.free / 1024**3:.1f} GiB free"
    inodes = os.statvfs(patient.cache)
    if inodes.f_files and inodes.f_favail == 0:
        return [Finding(FAIL, f"{free}, but no inode is left", "remove files, or ask for more")]
    if is_little:
        return [Finding(FAIL if usage.free < 1024**2 else WARN, free, MAKE_ROOM)]
    return [Finding(PASS, free)]


def check_operations(patient: Patient, _: Config) -> list[Finding]:
    """Exclusive create, hard link, replace, append and read anew: what the format is made of."""
    directories.make_directories(patient.room)
    base = f"{patient.room}/{os.urandom(4).hex()}"
    findings = []
    files.create(base, b"")
    try:
        files.create(base, b"")
        findings.append(
            Finding(FAIL, "exclusive create does not exclude", "this filesystem cannot carry pigeon")
        )
    except FileExistsError:
        pass
    files.replace(base, b"one")
    files.replace(base, b"two")
    if files.read(base, 10) != b"two":
        findings.append(
            Finding(FAIL, "a replaced file shows its old content", "mount without caching of data")
        )
    files.create(f"{base}.jsonl")
    appender = Appender(f"{base}.jsonl")
    for _number in range(20):
        appender.put(heartbeat_line())
        appender.flush()
    if files.size(f"{base}.jsonl") != appender.offset:
        findings.append(
            Finding(FAIL, "what was appended is not there", "this filesystem cannot carry pigeon")
        )
    try:
        files.link(base, f"{base}.link")
    except OSError as error:
        text = f"no hard links ({error.strerror}): claims are made by exclusive create instead"
        findings.append(Finding(WARN, text, kinds.without_links()))
    return findings or [Finding(PASS, "create, replace, append and link do what they should")]


def check_speed(patient: Patient, _: Config) -> list[Finding]:
    """What one visit costs."""
    directories.make_directories(patient.room)
    path = f"{patient.room}/{os.urandom(4).hex()}.jsonl"
    files.create(path)
    appender = Appender(path)
    took = []
    for _number in range(20):
        began = clock.monotonic()
        appender.put(heartbeat_line())
        appender.flush()
        files.size(path)
        took.append(clock.monotonic() - began)
    median = statistics.median(took) * 1000
    text = f"append and read anew: {median:.2f} ms (median of 20)"
    return [
        Finding(
            WARN if median > 100 else PASS, text, "the file server is slow or far" if median > 100 else ""
        )
    ]


def check_journal(_: Patient, config: Config) -> list[Finding]:
    """Where a worker on this machine would keep its journal."""
    explicit = config.worker.journal is not None
    path = config.worker.journal or place.default_path()
    place.check(path, explicit)
    return [Finding(PASS, f"a worker here would keep it in `{path}`")]


def check_lingering(_: Patient, __: Config) -> list[Finding]:
    """A worker that was started in a login session may die with it."""
    user = os.environ.get("USER", "")
    if not os.path.isdir("/run/systemd/system") or not user:
        return [Finding(PASS, "no login manager ends processes at logout here")]
    if os.path.exists(f"/var/lib/systemd/linger/{user}"):
        return [Finding(PASS, "lingering is on")]
    return [
        Finding(
            WARN, "a worker may be killed when you log out", "`loginctl enable-linger`, or run it in tmux"
        )
    ]


def check_workers(patient: Patient, _: Config) -> list[Finding]:
    """Who serves the namespace."""
    workers, live = session_view.live_workers(patient.place)
    fitting = session_view.fitting(workers, live, patient.route)
    if fitting:
        told = ", ".join(
            f"{name} (pigeon {fitting[name].version or 'of unknown version'})" for name in sorted(fitting)
        )
        text = f"alive and of this route: {told}; this is pigeon {__version__}"
        if all(worker.version == __version__ for worker in fitting.values()):
            return [Finding(PASS, text)]
        return [Finding(WARN, text, "it works; what is new needs the newer version on both sides")]
    ending = sorted(name for name in live if workers[name].route == patient.route)
    if ending:
        text = f"all workers of this route are ending, and take no new commands: {', '.join(ending)}"
    else:
        others = f"; {len(workers)} other worker files" if workers else ""
        text = f"no worker of this route lives in `{patient.namespace}`{others}"
    return [
        Finding(WARN, text, f"`pigeon worker --namespace {patient.namespace}` on the machine with internet")
    ]


def tidy(patient: Patient) -> list[Finding]:
    """Remove what the checks have made."""
    with suppress(OSError):  # it was never made, or a file of it is still open somewhere
        directories.remove_directory(patient.room)
    return []


def check_profile(_: Patient, config: Config) -> list[Finding]:
    """Does a login shell of this machine come to the command at all?"""
    culprit = profile.fault_of([*config.client.shell, ""], os.environ)
    if culprit is not None:
        return [Finding(FAIL, profile.said_of(culprit), profile.REMEDY)]
    return [Finding(PASS, "your login shell's profile lets commands run")]
