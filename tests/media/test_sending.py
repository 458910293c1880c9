from __future__ import annotations

import itertools
import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import ConfigError
from voxwire.media.rtp import RtpPacket, parse_rtp
from voxwire.media.sending import MediaSender

FRAME = 960
STEP = 960  # of an RTP clock of 48 kHz


class Plain:
    """A codec whose payload is the PCM."""

    sample_rate = 24_000
    clock_rate = 48_000

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, pcm: bytes, /) -> bytes:
        self.calls += 1
        assert len(pcm) == FRAME
        return pcm

    def close(self) -> None:
        return


class Sender(MediaSender):
    def __init__(self, **options: object) -> None:
        self.codec = Plain()
        values = {"ssrc": 7, "payload_type": 111, "sequence": 65_535, "timestamp": 2**32 - STEP, **options}
        super().__init__(self.codec, **values)  # type: ignore[arg-type]
        self.at = 10.0

    def step(self) -> RtpPacket | None:
        data = self.tick(self.at)
        self.at += 0.02
        return None if data is None else parse_rtp(data)

    def steps(self, count: int) -> list[RtpPacket | None]:
        return [self.step() for _ in range(count)]


def pcm(ms: float, value: int = 1) -> bytes:
    return array("h", [value] * math.floor(24 * ms)).tobytes()


def test_one_packet_for_each_tick():
    sender = Sender()
    sender.write(pcm(60))
    packets = sender.steps(3)
    assert [p and (p.sequence, p.timestamp, p.marker) for p in packets] == [
        (65_535, 2**32 - STEP, True),
        (0, 0, False),
        (1, STEP, False),
    ]
    assert all(p and (p.ssrc, p.payload_type, p.payload) == (7, 111, pcm(20)) for p in packets)
    assert (sender.packets, sender.octets, sender.timestamp) == (3, 3 * FRAME, 2 * STEP)
    assert (sender.sent_ms, sender.queued_ms) == (60, 0)


def test_silence_follows_one_tick_after_the_audio_and_has_the_marker():
    sender = Sender()
    sender.write(pcm(20))
    first, gap, silence, more = sender.steps(4)
    assert first
    assert gap is None
    assert silence
    assert more
    assert silence.payload == bytes(FRAME)
    assert (silence.sequence, silence.timestamp, silence.marker) == (0, STEP, True)
    assert not more.marker
    assert sender.sent_ms == 20


def test_silence_is_sent_from_the_beginning():
    sender = Sender()
    packet = sender.step()
    assert packet
    assert packet.payload == bytes(FRAME)


def test_long_silence_costs_no_encoding():
    sender = Sender()
    packets = sender.steps(500)
    assert all(packets)
    assert sender.codec.calls < 15


def test_with_dtx_next_to_nothing_is_sent_in_silence():
    sender = Sender(dtx=True)
    sender.steps(100)
    assert sum(packet is not None for packet in sender.steps(500)) == 25
    sender.write(pcm(20))
    packet = sender.step()
    assert packet
    assert packet.marker
    assert packet.timestamp == (2**32 - STEP + 600 * STEP) % 2**32


def test_a_partial_frame_waits_for_one_tick():
    sender = Sender()
    sender.write(pcm(30))
    sender.step()
    assert sender.step() is None
    sender.write(pcm(10))
    packet = sender.step()
    assert packet
    assert packet.payload == pcm(20)


def test_a_partial_frame_that_nothing_follows_is_filled_up():
    sender = Sender()
    sender.write(pcm(25))
    _, gap, last = sender.steps(3)
    assert gap is None
    assert last
    assert last.payload == pcm(5) + bytes(FRAME - 240)
    assert sender.sent_ms == 25
    assert sender.queued_ms == 0


def test_dribble_is_sent_when_it_makes_a_frame():
    sender = Sender()
    sent = b""
    for index in range(40):
        sender.write(pcm(5, index))
        packet = sender.step()
        if packet and packet.payload != bytes(FRAME):
            sent += packet.payload
    assert sent == b"".join(pcm(5, index) for index in range(40))


def test_clear_is_followed_by_silence_at_once():
    sender = Sender()
    sender.write(pcm(1000))
    sender.steps(2)
    sender.clear()
    assert sender.queued_ms == 0
    packet = sender.step()
    assert packet
    assert packet.payload == bytes(FRAME)
    assert sender.sent_ms == 40


def test_the_oldest_gives_way():
    sender = Sender(max_queue_ms=100)
    sender.write(pcm(60, 1))
    sender.write(pcm(60, 2))
    assert sender.queued_ms == 100
    assert sender.dropped_ms == 20
    assert [p and p.payload for p in sender.steps(5)] == [pcm(20, 1)] * 2 + [pcm(20, 2)] * 3
    sender.write(pcm(10_000, 3))
    assert sender.queued_ms == 100
    assert len(sender._queue) < 3 * 100 * 48


def test_a_limit_below_a_frame():
    with pytest.raises(ConfigError, match="20 ms"):
        Sender(max_queue_ms=10)


def test_an_odd_byte_is_ignored():
    sender = Sender()
    sender.write(pcm(20) + b"x")
    sender.write(pcm(20))
    assert [p and p.payload for p in sender.steps(2)] == [pcm(20)] * 2


def test_muted_audio_passes_in_silence():
    sender = Sender()
    sender.write(pcm(80))
    sender.step()
    sender.muted = True
    assert [p and p.payload for p in sender.steps(2)] == [bytes(FRAME)] * 2
    sender.muted = False
    packet = sender.step()
    assert packet
    assert packet.payload == pcm(20)
    assert sender.sent_ms == 80


def test_ticks_that_were_left_out_are_stepped_over_in_the_timestamp():
    sender = Sender()
    sender.write(pcm(1000))
    sender.steps(2)
    sender.at += 3.0
    packet = sender.step()
    assert packet
    assert packet.timestamp == (2**32 - STEP + 152 * STEP) % 2**32
    assert packet.sequence == 1
    assert packet.marker
    following = sender.step()
    assert following
    assert following.timestamp == (packet.timestamp + STEP) % 2**32


def test_ticks_that_are_made_up_for_are_not():
    sender = Sender()
    sender.write(pcm(1000))
    sender.step()
    for _ in range(5):  # all at once, 90 ms late
        sender.at = 10.1
        packet = sender.step()
    assert packet
    assert packet.timestamp == 4 * STEP


@given(st.lists(st.one_of(st.integers(1, 5000), st.none()), max_size=60))
def test_nothing_is_lost_or_sent_twice(script: list[int | None]):
    """Any writes and ticks: what comes out is what went in, apart from silence."""
    sender = Sender()
    written, count = array("h"), 0
    out: list[int] = []
    for step in [*script, *[None] * 300]:
        if step is None:
            packet = sender.step()
            if packet:
                out += [sample for sample in array("h", packet.payload) if sample]
        else:
            samples = array("h", [1 + (count + at) % 30_000 for at in range(step)])
            count += step
            written += samples
            sender.write(samples.tobytes())
    assert out == list(written)
    assert sender.queued_ms == 0
    assert sender.sent_ms == pytest.approx(len(written) / 24)


class Live:
    """A sender that is written to frame by frame, and moves its ticks (virtual time) as it asks for."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.sent: list[tuple[float, RtpPacket]] = []
        self.moves: list[float] = []

    def run(self, pushes: list[float], until: float, ms: float = 20) -> None:
        """Push 20 ms at each of these times."""
        sender, waiting = self.sender, list(pushes)
        number = len(self.sent)
        while min(sender.at, waiting[0] if waiting else until) < until:
            if waiting and waiting[0] < sender.at:
                now = waiting.pop(0)
                number += 1
                sender.write(pcm(ms, number))
                self.out(now, sender.early(now))
                shift = sender.retiming()
                if shift:
                    while sender.at + shift < now:
                        shift += 0.02
                    self.moves.append(shift)
                    sender.retimed(shift)
                    sender.at += shift
            else:
                now = sender.at
                sender.at += 0.02
                self.out(now, sender.tick(now))

    def out(self, now: float, data: bytes | None) -> None:
        if data is not None:
            self.sent.append((now, parse_rtp(data)))


def talk(sent: list[tuple[float, RtpPacket]]) -> list[tuple[float, RtpPacket]]:
    """Without silence."""
    return [(at, packet) for at, packet in sent if any(packet.payload)]


def test_live_audio_does_not_wait_for_the_tick():
    sender = Sender()
    assert sender.early(9.99) is None
    sender.write(pcm(20))
    assert sender.early(9.99) is None, "not before the first tick, which sets the clock"
    assert sender.retiming() == 0
    assert sender.step() is not None
    stamps = []
    for value in range(2, 6):
        sender.write(pcm(10, value))
        assert sender.early(sender.at - 0.015) is None
        sender.write(pcm(10, value))
        packet = parse_rtp(sender.early(sender.at - 0.005) or b"")
        assert packet.payload == pcm(20, value)
        assert not packet.marker
        stamps.append(packet.timestamp)
        assert sender.step() is None, "its packet is out already"
    assert [stamp - stamps[0] for stamp in stamps] == [0, STEP, 2 * STEP, 3 * STEP]
    assert sender.sent_ms == 100
    assert sender.retiming() == 0
    assert sender.step() is None, "a frame that is late is left out, not replaced by silence"
    sender.write(pcm(20, 9))
    late = parse_rtp(sender.early(sender.at - 0.019) or b"")
    assert not late.marker, "and it is still sent in its place"
    assert late.timestamp - stamps[-1] == STEP
    assert sender.retiming() == 0.005, "the tick before was 1 ms too early"
    sender.write(pcm(20, 10))
    following = sender.step()
    assert following, "it was not that of the coming tick"
    assert following.timestamp - late.timestamp == STEP


def test_only_one_packet_goes_early_and_a_backlog_keeps_the_pace_of_the_ticks():
    sender = Sender()
    sender.step()
    sender.write(pcm(20, 1))
    first = parse_rtp(sender.early(10.01) or b"")
    sender.write(pcm(20, 2))
    assert sender.early(10.011) is None
    sender.write(pcm(20, 3))
    assert sender.early(10.012) is None
    assert sender.step() is None, "two frames are waiting"
    rest = sender.steps(2)
    assert [p and (p.payload, p.timestamp - first.timestamp) for p in rest] == [
        (pcm(20, 2), STEP),
        (pcm(20, 3), 2 * STEP),
    ]
    sender.write(pcm(500, 4))
    assert sender.early(10.07) is None
    assert all(sender.steps(25))


def test_a_frame_on_the_heels_of_another_waits_for_the_tick():
    sender = Sender()
    sender.step()
    sender.write(pcm(20, 1))
    first = parse_rtp(sender.early(10.001) or b"")
    sender.write(pcm(20, 2))
    assert sender.early(10.01) is None, "the coming tick has its packet"
    second = sender.step()
    assert second
    assert (second.payload, second.timestamp - first.timestamp) == (pcm(20, 2), STEP)
    assert sender.step() is None
    assert sender.queued_ms == 0


def test_two_ticks_may_have_their_packets_already_and_no_third():
    sender = Sender()
    sender.step()
    out = []
    for value, now in enumerate([10.001, 10.0115, 10.019], 1):
        sender.write(pcm(20, value))
        out.append(sender.early(now))
    assert [data is not None for data in out] == [True, True, False]
    nothing, third, *more = sender.steps(4)
    assert nothing is None
    assert third
    assert third.payload == pcm(20, 3)
    assert more == [None, None]


def test_nothing_goes_early_while_muted():
    sender = Sender()
    sender.step()
    sender.muted = True
    sender.write(pcm(20))
    assert sender.early(10.01) is None


def test_the_first_live_packet_after_silence_has_the_marker():
    live = Live()
    live.run([11 + 0.02 * n for n in range(20)], 13)
    markers = [at for at, packet in live.sent if packet.marker]
    assert markers == pytest.approx([10, 11, live.sent[-1][0] - 0.02 * (len(live.sent) - 71)], abs=0.03)


@pytest.mark.parametrize("phase", range(0, 20, 2))
@pytest.mark.parametrize("uneven_ms", [0, 2, 6])
def test_live_audio_has_no_gaps_wherever_ticks_are(phase: int, uneven_ms: float):
    rng = random.Random(phase)
    pushes = [10.5 + phase / 1000 + 0.02 * n + rng.random() * uneven_ms / 1000 for n in range(500)]
    live = Live()
    live.run(pushes, 20.45)
    sent = talk(live.sent)
    stamps = [packet.timestamp for _, packet in sent]
    assert [b - a for a, b in itertools.pairwise(stamps)] == [STEP] * (len(stamps) - 1)
    waits = [at - pushed for (at, _), pushed in zip(sent, pushes, strict=False)]
    assert max(waits) < 0.021
    assert max(waits[100:]) == 0
    assert len(live.moves) < 5


@pytest.mark.parametrize("drift", [1e-3, -1e-3])
def test_a_source_with_a_clock_of_its_own(drift: float):
    """60 s at 1000 ppm: three frames more or less than there are ticks, and no gap and no wait."""
    pushes = [10.5 + 0.02 * (1 + drift) * n for n in range(3000)]
    live = Live()
    live.run(pushes, pushes[-1])
    sent = talk(live.sent)
    stamps = [packet.timestamp for _, packet in sent]
    assert {b - a for a, b in itertools.pairwise(stamps)} <= {STEP, STEP - 2**32}
    assert max(at - pushed for (at, _), pushed in zip(sent, pushes, strict=False)) < 0.021
    assert 8 < len(live.moves) < 20
    assert sum(live.moves) == pytest.approx(60 * drift, abs=0.02)


def test_ticks_that_were_held_up_themselves_do_not_move():
    sender = Sender()
    sender.step()
    sender.write(pcm(20, 1))
    assert sender.early(10.09)
    assert sender.retiming() == 0
