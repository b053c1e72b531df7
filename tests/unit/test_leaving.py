"""When a client leaves though its other process has not ended. Seconds are arguments."""

from __future__ import annotations

from pigeon.client.terminal.escapes import Escapes
from pigeon.client.terminal.leaving import UNTOLD, Leaving


def test_an_order_is_over_within_two_seconds() -> None:
    leaving = Leaving()
    leaving.ordered(10.0, 15)
    leaving.ordered(10.5, 1)  # a second one puts nothing off
    assert leaving.is_near and not leaving.has_begun
    assert not leaving.is_goodbye_due(10.8) and leaving.is_goodbye_due(11.0)
    assert leaving.begin(11.0, 143, b"")
    assert not leaving.is_goodbye_due(11.1)
    assert not leaving.is_over(11.6) and leaving.is_over(11.8)
    assert (leaving.signal, leaving.last_words(b"")) == (15, UNTOLD)
    leaving.is_told = True
    assert leaving.last_words(b"said") == b"said"


def test_a_user_who_leaves_gives_it_more_time() -> None:
    leaving = Leaving()
    assert leaving.begin(0.0, 255, b"hung up\n")
    assert not leaving.begin(1.0, 0, b"again\n")
    assert not leaving.is_over(1.4) and leaving.is_over(1.6)
    assert (leaving.code, leaving.last_words(b"other")) == (255, b"hung up\n")


PASTE = b"\x1b[200~a\r~.\r~d~~\x1b[201~"


def test_a_paste_is_text_however_it_is_cut() -> None:
    for size in range(1, len(PASTE) + 1):
        one = Escapes("~")
        passed, actions = one.feed(b"\r")
        for at in range(0, len(PASTE), size):
            more, asked = one.feed(PASTE[at : at + size])
            passed, actions = passed + more, actions + asked
        assert (passed, actions) == (b"\r" + PASTE, []), size
        assert one.feed(b"\r~.") == (b"\r", ["hang up"])


def test_what_follows_a_paste_is_typed() -> None:
    one = Escapes("~")
    assert one.feed(PASTE + b"\r~d") == (PASTE + b"\r", ["detach"])
    assert one.feed(b"~.") == (b"", ["hang up"])  # an escape leaves the line at its start
