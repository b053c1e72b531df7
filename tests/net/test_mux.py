"""The frames, the channels and the mux: what goes in at one side comes out at the other, however the bytes are cut."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.net import channel as steps
from pigeon.net import frames
from pigeon.net.channel import BadStep, Channel, Window
from pigeon.net.mux import FIRST_WINDOW_BYTES, MAX_WINDOW_BYTES, QUEUE_BYTES, WINDOW_BYTES, Mux


@given(
    st.lists(st.tuples(st.integers(1, 15), st.integers(0, 2**32 - 1), st.binary(max_size=200)), max_size=30),
    st.integers(0, 2**32),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[tuple[int, int, bytes]], seed: int
) -> None:
    cut = random.Random(seed)
    data = b"".join(frames.encode(*one) for one in sent)
    decoder = frames.Decoder(300_000)
    found = []
    while data:
        room = decoder.room()
        piece = data[: cut.randint(1, 60)]
        room[: len(piece)] = piece
        decoder.took(len(piece))
        found += [(kind, number, bytes(payload)) for kind, number, payload in decoder.frames()]
        data = data[len(piece) :]
    assert found == sent


def test_what_is_no_frame_is_refused() -> None:
    decoder = frames.Decoder()
    text = b"bash: pigeon: command not found\n"
    decoder.room()[: len(text)] = text
    decoder.took(len(text))
    with pytest.raises(frames.BadFrame):
        list(decoder.frames())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"version": 1}',
        b'{"version": "x", "window": 1}',
        b'{"version": 1e999, "window": 1}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_greeting_is_refused(payload: bytes) -> None:
    with pytest.raises(frames.BadFrame):
        frames.parse_hello(payload)


def test_a_greeting_with_more_in_it_is_understood() -> None:
    said = b'{"version": 1, "pigeon": "9", "features": ["x"], "window": 5, "other": {}}'
    assert frames.parse_hello(said) == (1, "9", 5)


@pytest.mark.parametrize(
    "state", [steps.OPENING, steps.OPENING_SENT, steps.OPENING_GOT, steps.OPEN, steps.SENT, steps.GOT]
)
@pytest.mark.parametrize("event", [steps.OPENED, steps.REFUSED, steps.END_SENT, steps.END_GOT, steps.RESET])
def test_each_step_is_in_the_table_or_refused(state: str, event: str) -> None:
    channel = Channel(1, 10, 10)
    channel.state = state
    if (state, event) in steps.STEPS:
        channel.step(event)
        assert channel.state == steps.STEPS[state, event]
    else:
        with pytest.raises(BadStep):
            channel.step(event)
        assert channel.state == state


def test_no_end_and_no_answer_comes_twice() -> None:
    for state, event in steps.STEPS:
        after = steps.STEPS[state, event]
        if event in (steps.END_SENT, steps.END_GOT, steps.OPENED):
            assert (after, event) not in steps.STEPS
    assert not any(state == steps.CLOSED for state, _ in steps.STEPS)


@given(st.lists(st.integers(1, 300_000), max_size=60), st.integers(0, 8 * 1024 * 1024))
def test_a_window_never_holds_more_than_its_size(pieces: list[int], most: int) -> None:
    window = Window(FIRST_WINDOW_BYTES)
    credit = FIRST_WINDOW_BYTES
    for piece in pieces:
        sent = min(piece, credit)
        assert window.came(sent)
        credit -= sent
        assert window.held <= window.size <= max(most, FIRST_WINDOW_BYTES)
        credit += window.took(sent, most)
        assert window.held >= 0
        assert credit <= window.size
    assert not window.came(credit + 1)


def test_a_reader_that_reads_never_waits_for_ever() -> None:
    """Whatever is held back below half a window is not needed for the sender to go on."""
    window = Window(FIRST_WINDOW_BYTES)
    credit = FIRST_WINDOW_BYTES
    for _ in range(1000):
        assert credit > 0
        assert window.came(1000 if credit >= 1000 else credit)
        count = min(1000, credit)
        credit += window.took(count, MAX_WINDOW_BYTES) - count


class End:
    """One side's end of a channel: a program that sends what it has, and reads at most what it is told to."""

    def __init__(self, mux: Mux) -> None:
        self.mux = mux
        self.channel: Channel
        self.to_send = b""
        self.ends = False
        self.got = bytearray()
        self.unread = 0
        self.reads = True
        self.events: list[str] = []

    def opened(self, text: str) -> None:
        self.events.append("opened")

    def refused(self, code: int, text: str) -> None:
        self.events.append(f"refused {code} {text}")

    def deliver(self, data: memoryview) -> None:
        self.got += data
        self.unread += len(data)
        self.read()

    def read(self) -> None:
        if self.reads and self.unread:
            count, self.unread = self.unread, 0
            self.mux.took(self.channel, count)

    def ended(self) -> None:
        self.events.append("ended")

    def was_reset(self) -> None:
        self.events.append("reset")

    def has_credit(self) -> None:
        self.turn()

    def turn(self) -> None:
        """Send one piece."""
        if self.to_send and self.channel.may_send:
            size = min(frames.MAX_DATA_BYTES, self.channel.credit)
            piece, self.to_send = self.to_send[:size], self.to_send[size:]
            self.mux.send(self.channel, piece)
        elif not self.to_send and self.ends and self.channel.state in steps.MAY_SEND:
            self.ends = False
            self.mux.send_end(self.channel)

    def work(self) -> None:
        while (self.to_send and self.channel.may_send) or (self.ends and not self.to_send):
            if not self.mux.has_room(self.channel, self):
                return
            before = len(self.to_send), self.ends
            self.turn()
            if before == (len(self.to_send), self.ends):
                return


class Wire:
    """Two muxes and the bytes between them."""

    def __init__(self, accepts: Callable[[Wire, int, bytes], None] | None = None) -> None:
        self.accepts = accepts or Wire.take
        self.near = Mux(is_client=True, on_frame=lambda *_: None, wake=lambda: None)
        self.far = Mux(is_client=False, on_frame=self._far_frame, wake=lambda: None)
        self.decoders = {id(self.near): frames.Decoder(), id(self.far): frames.Decoder()}
        self.taken: dict[int, End] = {}

    def _far_frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.OPEN:
            self.accepts(self, number, payload)

    def take(self, number: int, _payload: bytes) -> None:
        end = End(self.far)
        end.channel = self.far.accept(number, end)
        self.taken[number] = end
        self.far.confirm(end.channel, "here")

    def open(self) -> End:
        end = End(self.near)
        end.channel = self.near.open(frames.BY_PROGRAM, "host", 80, end)
        return end

    def carry(self, source: Mux, target: Mux, batches: int = 1) -> bool:
        """Pass batches on. False: there was nothing."""
        moved = False
        for _ in range(batches):
            for part in source.batch():
                moved = True
                decoder = self.decoders[id(target)]
                for start in range(0, len(part), 50_000):
                    piece = part[start : start + 50_000]
                    decoder.room()[: len(piece)] = piece
                    decoder.took(len(piece))
                    for kind, number, payload in decoder.frames():
                        target.received(kind, number, payload)
        return moved

    def settle(self, ends: list[End] | None = None) -> None:
        """Until nothing moves any more."""
        quiet = 0
        while quiet < 2:
            for end in [*(ends or ()), *self.taken.values()]:
                end.work()
            moved = self.carry(self.near, self.far) | self.carry(self.far, self.near)
            quiet = 0 if moved else quiet + 1


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=50),
            st.integers(0, 40_000),
            st.integers(0, 40_000),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 2**32),
)
def test_every_byte_and_every_end_arrives(plans: list[tuple[bytes, int, int, bool, bool]], seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire()
    ends = []
    for first, up, _, closes, _ in plans:
        end = wire.open()
        end.to_send = first + chance.randbytes(up * 20)
        end.ends = closes
        ends.append((end, end.to_send))
    wire.settle([end for end, _ in ends])
    answers = []
    for (_, _, down, _, closes), (end, _) in zip(plans, ends, strict=True):
        other = wire.taken[end.channel.number]
        other.to_send = chance.randbytes(down * 20)
        other.ends = closes
        answers.append((other, other.to_send))
    wire.settle([end for end, _ in ends])
    for plan, (end, sent), (other, answered) in zip(plans, ends, answers, strict=True):
        assert bytes(other.got) == sent
        assert bytes(end.got) == answered
        assert other.events == (["ended"] if plan[3] else [])
        assert end.events == ["opened"] + (["ended"] if plan[4] else [])
        assert (end.channel.number in wire.near.channels) == (not (plan[3] and plan[4]))
    assert wire.near.channels.keys() == wire.far.channels.keys()


def test_a_reset_comes_behind_what_was_sent_before_it() -> None:
    wire = Wire()
    end = wire.open()
    wire.settle()
    other = wire.taken[1]
    other.to_send = b"413 too large"
    other.work()
    wire.far.reset(other.channel)
    wire.settle()
    assert bytes(end.got) == b"413 too large"
    assert end.events == ["opened", "reset"]
    assert not wire.near.channels and not wire.far.channels


def test_a_refusal_says_why() -> None:
    def refuse(wire: Wire, number: int, payload: bytes) -> None:
        assert frames.parse_target(payload) == (frames.BY_PROGRAM, "host", 80)
        end = End(wire.far)
        channel = wire.far.accept(number, end)
        wire.far.refuse(channel, frames.CONNECTION_REFUSED, "nobody there")

    wire = Wire(refuse)
    end = wire.open()
    end.to_send = b"early"
    wire.settle([end])
    assert end.events == ["refused 5 nobody there"]
    assert not wire.near.channels and not wire.far.channels


def test_readers_that_do_not_read_cost_a_window_each_and_hold_up_nobody() -> None:
    wire = Wire()
    stuck = [wire.open() for _ in range(4)]
    lively = wire.open()
    wire.settle()
    for end in stuck:
        wire.taken[end.channel.number].reads = False
        end.to_send = bytes(3 * FIRST_WINDOW_BYTES)
    lively.to_send = bytes(range(256)) * 40_000
    wire.settle([*stuck, lively])
    assert bytes(wire.taken[lively.channel.number].got) == bytes(range(256)) * 40_000
    for end in stuck:
        assert wire.taken[end.channel.number].unread == FIRST_WINDOW_BYTES
    for end in stuck:
        other = wire.taken[end.channel.number]
        other.reads = True
        other.read()
    wire.settle([*stuck, lively])
    assert all(len(wire.taken[end.channel.number].got) == 3 * FIRST_WINDOW_BYTES for end in stuck)


def test_who_waits_for_the_stream_gets_one_piece_in_turn() -> None:
    wire = Wire()
    ends = [wire.open() for _ in range(12)]
    wire.settle()
    for end in ends:
        end.to_send = bytes(FIRST_WINDOW_BYTES)

    def each_is_ready() -> None:
        """As sockets are that all have something: each sends a piece if there is room, or waits for its turn."""
        for end in ends:
            if end.to_send and wire.near.has_room(end.channel, end):
                end.turn()
            assert wire.near.queued <= QUEUE_BYTES + frames.MAX_DATA_BYTES

    order: list[int] = []
    each_is_ready()
    while wire.near.has_output:
        heads = [part for part in wire.near.batch() if len(part) == frames.HEADER.size]
        order += [frames.HEADER.unpack(head)[1] for head in heads if head[0] == frames.DATA]
        each_is_ready()
    assert len(order) == 12 * FIRST_WINDOW_BYTES // frames.MAX_DATA_BYTES
    for start in range(0, len(order), len(ends)):
        served = order[start : start + len(ends)]
        assert max(map(served.count, served)) <= 2, order


def test_control_overtakes_data() -> None:
    wire = Wire()
    end = wire.open()
    wire.settle()
    end.to_send = bytes(FIRST_WINDOW_BYTES)
    end.work()
    wire.near.control(frames.PING, 7)
    assert wire.near.batch()[0] == frames.encode(frames.PING, 7)


def test_a_peer_that_sends_more_than_it_may_is_reset() -> None:
    wire = Wire()
    end = wire.open()
    wire.settle()
    wire.taken[1].reads = False
    end.channel.credit = 10 * FIRST_WINDOW_BYTES
    end.to_send = bytes(2 * FIRST_WINDOW_BYTES)
    wire.settle([end])
    assert wire.taken[1].events == ["reset"]
    assert wire.taken[1].unread <= FIRST_WINDOW_BYTES
    assert end.events == ["opened", "reset"]


def test_a_frame_out_of_turn_breaks_its_connection_only() -> None:
    wire = Wire()
    first, second = wire.open(), wire.open()
    wire.settle()
    wire.far.control(frames.END, first.channel.number)
    wire.far.control(frames.END, first.channel.number)
    wire.settle()
    assert first.events == ["opened", "ended", "reset"]
    second.to_send = b"well"
    wire.settle([second])
    assert bytes(wire.taken[second.channel.number].got) == b"well"


def test_frames_of_nobody_and_of_the_future_are_passed_over() -> None:
    wire = Wire()
    for kind in (frames.DATA, frames.END, frames.RESET, frames.WINDOW, frames.OPENED, 200):
        wire.near.control(kind, 999, b"\0\0\0\1")
    wire.settle()
    assert not wire.far.channels


def test_a_lost_stream_resets_what_was_open() -> None:
    wire = Wire()
    ends = [wire.open() for _ in range(3)]
    wire.settle()
    ends[0].to_send = bytes(100_000)
    ends[0].work()
    wire.near.lost()
    assert all(end.events[-1] == "reset" for end in ends)
    assert not wire.near.has_output and not wire.near.channels


def test_where_answers_take_longer_windows_grow_more() -> None:
    sizes = []
    for delay_s in (0.0, 0.08):
        wire = Wire()
        end = wire.open()
        wire.settle()
        wire.far.round_trip_s = delay_s
        end.to_send = bytes(12 * 1024 * 1024)
        wire.settle([end])
        sizes.append(wire.taken[1].channel.window.size)
    assert sizes == [WINDOW_BYTES, MAX_WINDOW_BYTES]
