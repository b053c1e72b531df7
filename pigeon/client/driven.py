"""What a program that drives this client (`--driven-by FD`) and the client say to each other: one JSON object a line.

The program's first line is the request; `apply` says what may stand in it, and refuses what it does not know, since a
misspelt `lock` must not be a command without one. What comes back are `frames.line`s; pigeon/docs/python.md lists them.
"""

from __future__ import annotations

from pigeon.client import frames
from pigeon.errors import EXIT_PIGEON, UsageError
from pigeon.wire.jsontext import decode
from pigeon.wire.records import HANGUP, KILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.cli_arguments import Invocation
    from pigeon.client.outcome import Outcome

_SETTINGS = {
    "config": "config",
    "cache": "cache",
    "namespace": "namespace",
    "user": "user",
    "route": "route",
    "claim_timeout": "client.claim_timeout",
    "worker_timeout": "client.worker_timeout",
}
"""Field of the request -> key of the settings that it overrides."""

_SWITCHES = ("shell", "lock", "keep", "tty")

HINT = "the line is a JSON object; `command` is a list of words (pigeon/docs/python.md)"


def apply(request: bytes, invocation: Invocation) -> None:
    """Put what the program asks for into `invocation`.

    Raises:
        UsageError: it cannot be understood.
    """
    document = _document_in(request)
    words = document.get("command")
    if not isinstance(words, list) or not words or not all(_is_word(word) for word in words):
        raise _wrong("command", "a list of words without NUL bytes")
    invocation.words, invocation.exact = words, True
    env = document.get("env")
    if env is not None:
        if not isinstance(env, dict) or not all(_is_word(v) and _is_name(n) for n, v in env.items()):
            raise _wrong("env", "an object of texts")
        invocation.env = env
    for name in _SWITCHES:
        if not isinstance(document.get(name), bool | None):
            raise _wrong(name, "true or false")
    invocation.shell = document.get("shell") is True
    invocation.no_lock = document.get("lock") is False or invocation.no_lock
    invocation.keep = document.get("keep") is True or invocation.keep
    if document.get("tty") is not None:
        invocation.pty = document["tty"] is True
    for name, key in _SETTINGS.items():
        value = document.get(name)
        if value is not None:
            invocation.flags[key] = str(value)


def _document_in(request: bytes) -> dict[str, object]:
    try:
        document = decode(request)
    except ValueError as error:
        raise UsageError(f"the request of the driving program is no JSON: {error}", hint=HINT) from None
    if not isinstance(document, dict):
        raise UsageError("the request of the driving program is no JSON object", hint=HINT)
    known = {"command", "env", *_SWITCHES, *_SETTINGS}
    for name in document:
        if name not in known:
            raise UsageError(f"the request of the driving program has an unknown field `{name}`", hint=HINT)
    return document


def _is_word(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_name(name: str) -> bool:
    return bool(name) and "=" not in name and "\0" not in name


def _wrong(field: str, wanted: str) -> UsageError:
    return UsageError(f"`{field}` in the request of the driving program must be {wanted}", hint=HINT)


def order_of(text: bytes) -> tuple[int, str]:
    """(the signal for the command or 0, what else to tell its worker or "") of a later line; nothing if it is unknown.

    `{"signal": n}`; `{"kill": true}`: SIGKILL for everything that the command has started; `{"hangup": true}`: SIGHUP,
    and what follows it.
    """
    try:
        order = decode(text)
    except ValueError:
        return 0, ""
    if not isinstance(order, dict):
        return 0, ""
    number = order.get("signal")
    if order.get("kill") is True:
        return 9, KILL
    if order.get("hangup") is True:
        return 1, HANGUP
    return (number, "") if type(number) is int and 0 < number < 65 else (0, "")


def tell_end(guardian: frames.FramePipe, outcome: Outcome) -> int:
    """Tell the program, and the guardian, how it ended. Returns the exit code."""
    if outcome.kind:
        message, _, hint = outcome.message.removeprefix("pigeon: ").partition("\npigeon: hint: ")
        code = outcome.code if outcome.kind in ("not_started", "usage") else EXIT_PIGEON
        guardian.tell(
            "failed",
            kind=outcome.kind,
            message=message or outcome.kind.replace("_", " "),
            hint=hint or None,
            may_have_run=outcome.ran,
            code=code,
        )
    else:
        code = outcome.code
        raw = -outcome.signal if outcome.signal else code
        ran = None if outcome.ran else False
        guardian.tell("exit", code=code, raw=raw, started=ran, hung_up=outcome.hung_up)
        if outcome.signal:
            guardian.send(frames.DIE, b"%d" % outcome.signal)
    if outcome.abnormal:
        guardian.send(frames.ABNORMAL)
    return code
