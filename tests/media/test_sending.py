from __future__ import annotations

import math
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


def test_live_audio_does_not_wait_for_the_tick():
    sender = Sender()
    assert sender.early() is None
    sender.write(pcm(20))
    assert sender.early() is None, "not before the first tick, which sets the clock"
    assert sender.step() is not None
    stamps = []
    for value in range(2, 6):
        sender.write(pcm(10, value))
        assert sender.early() is None
        sender.write(pcm(10, value))
        packet = parse_rtp(sender.early() or b"")
        assert packet.payload == pcm(20, value)
        assert not packet.marker
        stamps.append(packet.timestamp)
        assert sender.step() is None, "its packet is out already"
    assert [stamp - stamps[0] for stamp in stamps] == [0, STEP, 2 * STEP, 3 * STEP]
    assert sender.sent_ms == 100
    assert sender.step() is None, "a frame that is late is left out, not replaced by silence"
    sender.write(pcm(20, 9))
    late = parse_rtp(sender.early() or b"")
    assert late.marker
    assert late.timestamp - stamps[-1] == 2 * STEP


def test_only_one_packet_goes_early_and_a_backlog_keeps_the_pace_of_the_ticks():
    sender = Sender()
    sender.step()
    sender.write(pcm(20, 1))
    first = parse_rtp(sender.early() or b"")
    sender.write(pcm(20, 2))
    assert sender.early() is None
    assert sender.step() is None
    sender.write(pcm(20, 3))
    assert sender.early() is None, "two frames are waiting"
    rest = sender.steps(2)
    assert [p and (p.payload, p.timestamp - first.timestamp) for p in rest] == [
        (pcm(20, 2), STEP),
        (pcm(20, 3), 2 * STEP),
    ]
    sender.write(pcm(500, 4))
    assert sender.early() is None
    assert all(sender.steps(25))


def test_nothing_goes_early_while_muted():
    sender = Sender()
    sender.step()
    sender.muted = True
    sender.write(pcm(20))
    assert sender.early() is None
