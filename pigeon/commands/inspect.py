"""`pigeon inspect SESSION`: everything known of one session, and a verdict in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

from pigeon import clock
from pigeon.commands.arguments import (
    Parser,
    add_common,
    add_session,
    add_settings,
    current_directory,
    load_config,
)
from pigeon.config import Config
from pigeon.errors import JournalError, PigeonError, UsageError
from pigeon.journal import destinations, place, queries
from pigeon.journal.rows import Event, Row, Wait
from pigeon.journal.store import Journal
from pigeon.printing import say
from pigeon.report import newest, processes, session_view
from pigeon.report.network import UNANSWERED_S, destination_line
from pigeon.report.network import place as place_of
from pigeon.report.overview import collect
from pigeon.report.session_choice import choose
from pigeon.report.session_view import View
from pigeon.report.text import clean, terminal_columns
from pigeon.report.verdict import Facts, verdict
from pigeon.text import duration, fold
from pigeon.wire import states
from pigeon.wire.names import STREAM_NAME, Namespace, input_stem
from pigeon.wire.worker_file import WorkerFile

_LABEL = "  command    "


class Known:
    """What one look at a session has found; `row` and `events` only where its journal is."""

    def __init__(self, view: View, workers: dict[str, WorkerFile], live: set[str]) -> None:
        self.view = view
        self.workers = workers
        self.live = live
        self.watcher = session_view.watcher_of(view, workers, live)
        self.row: Row | None = None
        self.events: list[Event] = []
        self.waits: list[Wait] = []
        self.processes: list[processes.Process] = []
        self.destinations: list[destinations.Destination] = []
        self.runner_state: str | None = None
        self.attachment = newest.present_attachment(view)
        self.read_bytes = newest.read_bytes(view, self.attachment)
        self.taken_bytes = newest.taken_bytes(view, self.attachment)

    @property
    def input_bytes(self) -> int:
        """Bytes of the present client's input, in lines and segments."""
        return newest.written_bytes(self.view, input_stem(self.attachment))


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Print what is known. Raises PigeonError."""
    parser = Parser(
        prog="pigeon inspect",
        description="Tell everything that is known of a session, from the share and from its worker's journal, "
        "and what is the matter with it. Elsewhere than on the worker's host, the worker is asked.",
    )
    add_session(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument(
        "-o", "--output", metavar="FIELDS", help="only these fields of --json, one a line, for scripts"
    )
    parser.add_argument("--here", action="store_true", help="only what can be seen from this machine")
    add_settings(parser, "worker.journal")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    session_id = choose(namespace, arguments.session, current_directory())
    known = look(namespace, session_id, config)
    facts = facts_of(known)
    if not arguments.here and _others_know_more(known, facts):
        from pigeon.client.ask import ask_worker

        words = ["inspect", session_id, "--here", *(["--json"] if arguments.json else [])]
        return ask_worker([*words, *(["--output", arguments.output] if arguments.output else [])], config)
    report = _report(known, facts)
    if arguments.output:
        _print_fields(report, arguments.output)
    elif arguments.json:
        say(json.dumps(report, indent=2), lines=True)
    else:
        _print(known, report)
    return 0


def _others_know_more(known: Known, facts: Facts) -> bool:
    """Whether a worker elsewhere has the journal of the session, or sees who holds its directory."""
    if known.view.owner is not None:
        return known.row is None and known.watcher is not None
    return verdict(facts)[0] in ("waits", "behind another")


def look(namespace: Namespace, session_id: str, config: Config) -> Known:
    """Gather what can be seen from this machine."""
    view = session_view.view(namespace, session_id)
    final = view.state in states.FINAL
    workers, live = session_view.live_workers(namespace, patience_s=0.0 if final else 2.5)
    known = Known(view, workers, live)
    _read_journal(known, config)
    if known.row is not None and known.row.boot_id is not None and not known.row.is_final:
        _look_at_processes(known, known.row)
    return known


def _read_journal(known: Known, config: Config) -> None:
    path = config.worker.journal or place.default_path()
    if not os.path.exists(path):
        return
    try:
        with Journal.open_readonly(path) as journal:
            rows = journal.read(lambda: queries.claims_of(journal.connection, known.view.session_id))
            known.events = journal.read(lambda: queries.events_of(journal.connection, known.view.session_id))
            known.waits = journal.read(lambda: queries.waits_of(journal.connection, known.view.session_id))
            known.destinations = journal.read(
                lambda: destinations.of_session(journal.connection, known.view.session_id)
            )
    except JournalError as error:
        say(f"pigeon: {clean(error.message)}", stderr=True)
        return
    token = known.view.claim.token if known.view.claim else None
    known.row = next((row for row in rows if row.claim_token == token), None)


def _look_at_processes(known: Known, row: Row) -> None:
    from pigeon.worker import identity

    if row.boot_id != identity.boot_id():
        return
    known.processes = processes.of_session(row.session_id, row.command_pid)
    if row.runner_pid is not None:
        known.runner_state = processes.state_of(row.runner_pid, row.runner_start)


def facts_of(known: Known) -> Facts:
    """What the verdict is made from."""
    view = known.view
    status, request = view.status, view.request
    facts = Facts(view.state, age_s=view.age_s(), command=view.command)
    facts.owner = view.owner
    ended = view.state in states.FINAL  # then nobody has watched whether its worker lives
    facts.owner_alive = None if ended or view.owner is None else known.watcher is not None
    facts.watcher = None if ended else known.watcher
    facts.client = newest.client_state(view)
    facts.stream_quiet_s = view.quiet_s(STREAM_NAME)
    facts.output_quiet_s = newest.output_quiet_s(view)
    if status is not None:
        facts.exit_code, facts.error, facts.ended_by = (
            status.exit_code,
            status.error,
            status.ended_by,
        )
    if request is not None:
        facts.cwd, facts.locks, facts.keeps = (
            request.cwd,
            request.locks,
            request.keeps,
        )
        facts.window_bytes = newest.window_bytes(view, known.attachment, known.read_bytes)
        if facts.window_bytes is not None:
            facts.unread_bytes = max(0, newest.written_bytes(view) - known.read_bytes)
        facts.untaken_bytes = max(0, known.input_bytes - known.taken_bytes)
        _add_wait(facts, known)
    if request is not None and request.is_net and not ended:
        _add_net(facts, known)
    facts.runner_state = known.runner_state
    facts.process_states = [(p.state, p.wait_channel) for p in known.processes]
    facts.cpu_is_used = any(p.is_busy for p in known.processes)
    for event in known.events:
        if event.event == "share_trouble":
            facts.trouble = str(event.detail.get("error", "?"))
        elif event.event == "share_recovered":
            facts.trouble = None
    return facts


def _add_net(facts: Facts, known: Known) -> None:
    facts.lends = sum(one.open for one in known.destinations)
    waiting = [(one.waiting_since, one) for one in known.destinations if one.waiting_since is not None]
    since, one = min(waiting, key=lambda pair: pair[0], default=(clock.wall(), None))
    if one is not None and clock.wall() - since > UNANSWERED_S:
        facts.unanswered, facts.unanswered_s = place_of(one.host, one.port), clock.wall() - since


def _add_wait(facts: Facts, known: Known) -> None:
    """For what it waits, and what is known of that."""
    if known.view.state != states.PENDING:
        return
    namespace = Namespace(*_place_of(known))
    first = session_view.first_waiting(collect(namespace, everything=False, cwd=facts.cwd))
    wait = session_view.wait_of(known.view, first, known.workers, known.live)
    if wait is None:
        return
    facts.waits_for = wait.kind
    facts.launcher = str(wait)
    facts.workers, facts.workers_full, facts.workers_ending = wait.workers, wait.full, wait.ending
    facts.behind = wait.behind or None
    if wait.holder is not None:
        facts.holder, facts.holder_since_s = wait.holder.session_id, wait.holder.since_s
        try:
            holder = session_view.view(namespace, wait.holder.session_id)
        except PigeonError:
            return  # it has just ended
        facts.holder_command, facts.holder_client = holder.command, newest.client_state(holder)
    elif facts.locks:
        facts.locked_by = processes.flock_holder(namespace.lock(facts.cwd))


def _place_of(known: Known) -> tuple[str, str]:
    root = os.path.dirname(os.path.dirname(known.view.files.directory))
    return os.path.dirname(os.path.dirname(root)), os.path.basename(root)


def _report(known: Known, facts: Facts) -> dict[str, object]:
    view = known.view
    name, sentence = verdict(facts)
    shown = asdict(facts)
    if view.state in states.FINAL:
        shown.update(dict.fromkeys(("workers", "workers_full", "workers_ending")))
    return {
        "session_id": view.session_id,
        "verdict": f"{view.session_id} {sentence}",
        "rule": name,
        "facts": shown,
        "requester": view.request.requester.document() if view.request else None,
        "claim": view.claim.pairs if view.claim else None,
        "files": view.sizes,
        "read_bytes": known.read_bytes,
        "taken_bytes": known.taken_bytes,
        "row": asdict(known.row) if known.row else None,
        "waits": [asdict(w) for w in known.waits],
        "events": [asdict(e) for e in known.events],
        "destinations": [asdict(one) for one in known.destinations],
        "processes": [asdict(p) for p in known.processes],
    }


def _print_fields(report: dict[str, object], fields: str) -> None:
    facts = report["facts"]
    assert isinstance(facts, dict)
    for field in fields.split(","):
        if field not in report and field not in facts:
            raise UsageError(
                f"there is no field `{field}`", hint=f"fields are {', '.join([*report, *facts])}"
            )
        value = report.get(field, facts.get(field))
        say(clean(value) if isinstance(value, str) else json.dumps(value))


def _print(known: Known, report: dict[str, object]) -> None:
    view, row = known.view, known.row
    _say(clean(str(report["verdict"])))
    _say(f"  command    {clean(view.command)}")
    if row is not None and row.wrapped:
        _say(f"  wrapped in {clean(row.wrapped)}")
    if view.request is not None:
        who = view.request.requester
        _say(f"  in         {clean(view.request.cwd)}")
        _say(f"  from       {clean(who.user or '?')} on {clean(who.host or '?')}, pid {who.pid or '?'}")
    _say(f"  state      {view.state}, {duration(view.age_s())} old")
    if view.owner is not None:
        alive = " (alive)" if view.owner in known.live else " (not seen to live)"
        if known.watcher not in (None, view.owner):
            alive = f" (gone; watched over by {clean(str(known.watcher))})"
        _say(f"  worker     {clean(view.owner)}{'' if view.state in states.FINAL else alive}")
    if row is not None:
        _say(
            f"  runner     pid {row.runner_pid}, state {known.runner_state or 'ended'}; journal says {row.state}"
        )
    _say(
        f"  stream     {newest.written_bytes(view)} bytes on the share, {known.read_bytes} read by the client"
    )
    _say(f"  input      {known.input_bytes} bytes written, {known.taken_bytes} taken by the command")
    for wait in known.waits:
        waited = "still waits" if wait.waited_s is None else duration(wait.waited_s)
        behind = f" behind {wait.held_by}" if wait.held_by else ""
        _say(f"  waited     for {wait.reason}{behind}: {waited}")
    for one in known.destinations:
        _say(f"  reached    {destination_line(one, clock.wall())}")
    for event in known.events:
        detail = " ".join(f"{key}={value}" for key, value in event.detail.items())
        _say(f"  {clock.local_text(event.at)}  {event.event} {clean(detail)}".rstrip())
    for line in processes.tree_lines(known.processes):
        _say(f"  process    {clean(line)}")
    if row is None and view.owner is not None:
        _say("  (its journal is not on this machine: what the worker knows is missing here)")


def _say(line: str) -> None:
    hang = len(_LABEL) if line.startswith("  ") else 0
    for part in fold(line, terminal_columns(), hang):
        say(part)
