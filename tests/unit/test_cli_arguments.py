"""Where pigeon's own options end and the user's words begin."""

from __future__ import annotations

import pytest

from pigeon.cli_arguments import VERBS, parse
from pigeon.errors import UsageError


def test_the_users_words_are_untouched() -> None:
    invocation = parse(["-v", "--namespace", "lab", "curl", "-v", "--config", "x", "--", "-t"])
    assert invocation.words == ["curl", "-v", "--config", "x", "--", "-t"]
    assert invocation.verbose and invocation.flags == {"namespace": "lab"} and invocation.verb is None


def test_two_dashes_settle_every_doubt() -> None:
    assert parse(["--", "history"]).verb is None
    assert parse(["--", "history"]).words == ["history"]
    assert parse(["-T", "--", "-x"]).words == ["-x"]


@pytest.mark.parametrize("verb", VERBS)
def test_verbs(verb: str) -> None:
    invocation = parse(["--cache=/s", verb, "--help"])
    assert (invocation.verb, invocation.words, invocation.help) == (verb, ["--help"], False)


def test_short_switches_combine() -> None:
    invocation = parse(["-vT", "true"])
    assert invocation.verbose and invocation.pty is False


@pytest.mark.parametrize(
    "argv", [["--nonsense", "x"], ["-x", "true"], ["-vx", "true"], ["--config"], ["--verbose=1", "x"]]
)
def test_unknown_options_are_errors_and_never_commands(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(argv)


def test_a_value_may_look_like_an_option() -> None:
    assert parse(["--route", "-x", "true"]).flags == {"route": "-x"}


@pytest.mark.parametrize("argv", [[], ["-v"], ["--"]])
def test_no_words_at_all(argv: list[str]) -> None:
    assert parse(argv).words == [] and parse(argv).verb is None
