"""`tools/nfs-lab`: the lab for people and shell scripts."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from typing import Any

from .caller import EXIT_LAB, ask, run_here, terminal_size
from .errors import LabError
from .kernel import missing_packages, prepare_kernel
from .lab import Lab

ALIASES = {"client": "a", "worker": "b"}
EPILOGUE = """\
machines: `server` exports /share; `a` (or `client`) and `b` (or `worker`) mount it at /share, and have a /local of
their own. Their root is the host's own filesystem, as it was when they first looked, under a layer in memory: what they
write there, nobody else sees. They have no network but the wires between them.

examples:
  tools/nfs-lab start --nfs 3 --options noac          boot and mount; Ctrl-C ends everything
  tools/nfs-lab run client -- ls -l /share            in another terminal
  tools/nfs-lab run -t worker -- bash                 a shell in there
  tools/nfs-lab start --detach; tools/nfs-lab stop    without keeping a terminal
  tools/nfs-lab with --lease 15 -- ./my-test          the lab for one command, which finds its name in NFS_LAB
  tools/nfs-lab cut a; tools/nfs-lab mend a           a client's wire
  tools/nfs-lab restart-server --crash                power cut of the server

exit codes: the command's own, 128 + n after signal n, 255 when the lab itself failed, 2 for wrong usage
"""


def build_parser() -> argparse.ArgumentParser:
    """All verbs and options."""
    parser = argparse.ArgumentParser(
        prog="nfs-lab",
        description="Two virtual machines that mount one kernel NFS export.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        default = os.environ.get("NFS_LAB", "default")
        sub.add_argument(
            "--lab", default=default, metavar="NAME", help="which lab (default: $NFS_LAB or `default`)"
        )
        return sub

    start = verb("start", "boot, export, mount, and stay until Ctrl-C")
    start.add_argument("--detach", action="store_true", help="go to the background when all is mounted")
    within = verb("with", "run one host command while a lab is up, then end the lab")
    for sub in (start, within):
        add_lab_options(sub)
    within.add_argument("command", nargs="+", metavar="COMMAND")
    run = verb("run", "run a command in a machine: streams, signals and exit code as if here")
    run.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    run.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="add to its environment"
    )
    run.add_argument("--cwd", default="/", metavar="DIR", help="where it runs (default: /)")
    run.add_argument("--user", type=int, default=0, metavar="UID", help="as whom it runs (default: 0)")
    run.add_argument("machine", choices=[*ALIASES, "a", "b", "server"], metavar="MACHINE")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    mount = verb("mount", "mount again with other options")
    add_mount_options(mount)
    status = verb("status", "what runs and what is mounted how")
    status.add_argument("--json", action="store_true", help="for programs")
    verb("stop", "end a lab")
    restart = verb("restart-server", "restart the NFS service")
    restart.add_argument("--crash", action="store_true", help="pull the server's plug instead, and boot it")
    for name, text in {
        "cut": "unplug a client's wire",
        "mend": "plug it in again",
        "freeze": "stop a machine where it stands",
        "thaw": "let it go on",
        "power-off": "pull a machine's plug",
        "rejoin": "boot a client that was powered off and mount as before",
        "console": "what a machine's kernel printed",
    }.items():
        verb(name, text).add_argument("machine", choices=[*ALIASES, "a", "b", "server"], metavar="MACHINE")
    measured = verb("measure", "how soon the other host sees what one did, as a table; changes the mount")
    measured.add_argument("--json", action="store_true", help="for programs")
    measured.add_argument("--write", action="store_true", help="put the table into tests/mounts/README.md")
    measured.add_argument(
        "mounts", nargs="*", metavar="MOUNT", help="such as 4.2 or 3,nolock; default: as it is"
    )
    verb("setup", "install the Debian packages that are missing (as root), and fetch the kernel")
    return parser


def add_mount_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--nfs", choices=["3", "4.0", "4.1", "4.2"], default="4.2", help="version (default: 4.2)"
    )
    sub.add_argument(
        "--options", default="", metavar="LIST", help="mount options, such as `noac,nolock,soft`"
    )


def add_lab_options(sub: argparse.ArgumentParser) -> None:
    add_mount_options(sub)
    sub.add_argument(
        "--lease", type=int, default=90, metavar="S", help="lease and grace period (default: 90 s)"
    )
    sub.add_argument(
        "--accel", choices=["auto", "kvm", "tcg"], default="auto", help="default: kvm where it works"
    )
    sub.add_argument("--memory", type=int, default=1536, metavar="MB", help="of a client (default: 1536 MB)")
    sub.add_argument("--hours", type=float, default=8.0, help="ends by itself after so many (default: 8)")


def split_options(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def start_lab(options: argparse.Namespace, detach: bool) -> Lab:
    if not 10 <= options.lease <= 3600:
        raise LabError(f"a lease of {options.lease} s is out of range", "the kernel takes 10 to 3600 s")
    # Ends like Ctrl-C, so that `with` also ends its command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("nfs-lab: booting three machines", file=sys.stderr)
    return Lab.start(
        options.lab,
        nfs=options.nfs,
        options=split_options(options.options),
        lease_s=options.lease,
        accel=options.accel,
        memory_mb=options.memory,
        hours=options.hours,
        detach=detach,
    )


def describe(status: dict[str, Any]) -> str:
    """Machines and mounts for people."""
    lines = []
    for name, machine in status["machines"].items():
        boot = "" if machine["boot_s"] is None else f", up {machine['boot_s']:.1f} s after power-on"
        lines.append(
            f"{name:7} {machine['state']} ({machine['accel']}, kernel {machine.get('release', '?')}"
            f"{boot}, {machine['resident_mb'] or 0} MB resident)"
        )
    note = status["note"]
    for name, line in note.get("mounted", {}).items():
        lines.append(f"{name:7} mounted with -o {note['asked'][name]}: {line}")
    if "lease_s" in note:
        lines.append(f"lease and grace period: {note['lease_s']} s")
    return "\n".join(lines)


def do_start(options: argparse.Namespace) -> int:
    lab = start_lab(options, options.detach)
    print(describe(lab.status()), flush=True)
    if options.detach:
        lab.let_go()
        print(f"nfs-lab: end it with `tools/nfs-lab stop --lab {lab.name}`", file=sys.stderr)
        return 0
    with lab:
        print(f"nfs-lab: Ctrl-C ends it; `tools/nfs-lab run --lab {lab.name} client -- …`", file=sys.stderr)
        try:
            lab.wait()
        except KeyboardInterrupt:
            pass
    return 0


def do_with(options: argparse.Namespace) -> int:
    with start_lab(options, False) as lab:
        print(describe(lab.status()), file=sys.stderr)
        code = subprocess.call(options.command, env=os.environ | {"NFS_LAB": lab.name})
    return code if code >= 0 else 128 - code


def do_run(options: argparse.Namespace) -> int:
    environment = {"HOME": "/root", "LANG": "C.UTF-8", "USER": "root", "TERM": os.environ.get("TERM", "dumb")}
    environment["PATH"] = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    environment |= dict(pair.partition("=")[::2] for pair in options.env)
    request = {
        "argv": options.command,
        "env": environment,
        "cwd": options.cwd,
        "uid": options.user,
        "pty": terminal_size() if options.tty else None,
    }
    return run_here(options.lab, options.machine, request)


def do_setup() -> int:
    if missing := missing_packages():
        words = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        code = subprocess.call(words, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
        if code:
            return code
    kernel = prepare_kernel(may_update=True)
    print(f"nfs-lab: everything is installed; the machines run Linux {kernel.release}")
    return 0


def do_measure(options: argparse.Namespace) -> int:
    from .measure import describe as describe_reports
    from .measure import measure, write_down

    lab = Lab(options.lab)
    lab.lease_s = lab.status()["note"]["lease_s"]
    reports = []
    for words in options.mounts or [None]:
        if words is not None:
            version, *rest = split_options(words)
            lab.mount(version, rest)
        reports.append(measure(lab))
        print(f"nfs-lab: measured {reports[-1]['asked']['a']}", file=sys.stderr)
    print(json.dumps(reports, indent=2) if options.json else describe_reports(reports))
    if options.write:
        write_down(reports)
    return 0


def do_small(options: argparse.Namespace) -> int:
    """The verbs that are one call."""
    lab = Lab(options.lab)
    if options.verb == "status":
        status = lab.status()
        print(json.dumps(status, indent=2) if options.json else describe(status))
        return 0
    lab.lease_s = lab.status()["note"].get("lease_s", lab.lease_s)
    if options.verb == "mount":
        lab.mount(options.nfs, split_options(options.options))
        print(describe(lab.status()))
    elif options.verb == "restart-server":
        lab.restart_server(crash=options.crash)
    elif options.verb == "console":
        print(lab.console(options.machine))
    else:
        getattr(lab, options.verb.replace("-", "_"))(options.machine)
    return 0


def main(argv: list[str]) -> int:
    """`nfs-lab` with these words; returns the exit code."""
    options = build_parser().parse_args(argv)
    if "machine" in options:
        options.machine = ALIASES.get(options.machine, options.machine)
    try:
        match options.verb:
            case "start":
                return do_start(options)
            case "with":
                return do_with(options)
            case "run":
                return do_run(options)
            case "stop":
                ask(options.lab, do="stop")
                return 0
            case "measure":
                return do_measure(options)
            case "setup":
                return do_setup()
            case _:
                return do_small(options)
    except LabError as error:
        print(f"nfs-lab: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"nfs-lab: hint: {error.hint}", file=sys.stderr)
        return EXIT_LAB
    except KeyboardInterrupt:
        return 130
