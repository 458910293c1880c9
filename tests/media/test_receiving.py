"""From packets to PCM, with real codecs and real speech, in virtual time."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from voxwire.errors import ConfigError
from voxwire.media.g711_codec import COMFORT_TYPE, G711Decoder, G711Encoder
from voxwire.media.levels import rms_dbfs
from voxwire.media.opus import OpusDecoder, OpusEncoder
from voxwire.media.receiving import MediaReceiver
from voxwire.media.rtp import RtpPacket, parse_rtp

Speech = Callable[[int], bytes]


def intelligibility(heard: bytes, said: bytes, rate: int) -> float:
    """STOI of a second at a time, each where it fits best: a delay that moved is not held against the sound."""
    import numpy as np
    from pystoi import stoi

    wanted, got = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (said, heard))
    reach = int(0.3 * rate)
    pairs = []
    for start in range(0, len(wanted) - rate, rate):
        piece, around = wanted[start : start + rate], got[start : start + rate + reach]
        if np.sqrt(np.mean(piece**2)) < 50 or len(around) < rate:
            continue
        size = 1 << 17
        match = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(piece, size)))
        lag = int(np.argmax(match[: len(around) - rate + 1]))
        pairs.append((piece, around[lag : lag + rate]))
    return float(stoi(*(np.concatenate(side) for side in zip(*pairs, strict=True)), rate))


@pytest.fixture(scope="module")
def opus_call(call: type[Any], speech: Speech) -> Callable[..., Any]:
    calls: dict[float, Any] = {}

    def make(expected_loss: float = 0.0) -> Any:
        if expected_loss not in calls:
            calls[expected_loss] = call(speech(24_000), OpusEncoder(expected_loss=expected_loss))
        return calls[expected_loss]

    return make


def clean(index: int) -> float:
    return 0.03


def randomly(loss: float, seed: int = 1) -> Callable[[int], float | None]:
    rng = random.Random(seed)
    return lambda index: None if rng.random() < loss else 0.03


@pytest.mark.needs_module("av")
def test_a_clean_path_gives_what_the_decoder_gives(opus_call: Callable[..., Any]):
    talk = opus_call()
    heard = talk.over(clean, OpusDecoder())
    decoder = OpusDecoder()
    straight = b"".join(decoder.decode(parse_rtp(packet).payload) for packet in talk.packets)
    assert heard.pcm == bytes(2 * 960) + straight[: -2 * 960]
    assert max(heard.delays) < 22
    receiver = heard.receiver
    assert (receiver.concealed_ms, receiver.recovered_ms, receiver.undecodable) == (0, 0, 0)
    assert receiver.target_ms == 2
    assert receiver.jitter_ms == pytest.approx(0, abs=0.1)
    assert receiver.reception.packets == len(talk.packets) - 2


@pytest.mark.needs_module("av", "pystoi")
@pytest.mark.parametrize(("loss", "least"), [(0.05, 0.95), (0.15, 0.85)])
@pytest.mark.parametrize("seed", [1, 2])
def test_speech_stays_intelligible(loss: float, least: float, seed: int, opus_call: Callable[..., Any]):
    talk = opus_call(loss)
    said = talk.over(clean, OpusDecoder()).pcm
    heard = talk.over(randomly(loss, seed), OpusDecoder())
    assert intelligibility(heard.pcm, said, 24_000) >= least
    assert heard.receiver.recovered_ms > heard.receiver.concealed_ms
    assert max(heard.delays) < 60


@pytest.mark.needs_module("av", "pystoi")
def test_uneven_arrival_costs_delay_and_no_speech(opus_call: Callable[..., Any]):
    talk, rng = opus_call(), random.Random(1)
    said = talk.over(clean, OpusDecoder()).pcm
    heard = talk.over(lambda index: 0.03 + 0.06 * rng.random(), OpusDecoder())
    assert intelligibility(heard.pcm, said, 24_000) > 0.97
    assert max(heard.delays) < 100
    assert heard.receiver.jitter_ms > 10


@pytest.mark.needs_module("av")
@pytest.mark.parametrize("held_up", [False, True])
def test_an_outage_leaves_no_delay(held_up: bool, opus_call: Callable[..., Any]):
    talk = opus_call()
    heard = talk.over(
        lambda index: 0.03 if not 150 <= index < 300 else (300 - index) * 0.02 + 0.03 if held_up else None,
        OpusDecoder(),
    )
    assert max(heard.delays[-100:]) < 40
    assert heard.receiver.concealed_ms == 200, "and then it is quiet"
    quiet = heard.pcm[170 * 960 : 290 * 960]
    assert rms_dbfs(quiet) < -50


@pytest.mark.needs_module("av")
def test_what_is_too_much_is_squeezed_out_of_speech(opus_call: Callable[..., Any]):
    talk = opus_call()
    heard = talk.over(
        lambda index: 0.03 if not 250 <= index < 265 else (265 - index) * 0.02 + 0.03, OpusDecoder()
    )
    assert 200 < max(heard.delays) < 340
    assert max(heard.delays[-50:]) < 40
    assert heard.receiver.jitter_buffer.dropped == heard.receiver.jitter_buffer.late == 0


def test_g711_over_a_bad_path(call: type[Any], speech: Speech):
    talk = call(speech(8_000), G711Encoder())
    said = talk.over(clean, G711Decoder()).pcm
    heard = talk.over(randomly(0.05), G711Decoder())
    assert heard.receiver.concealed_ms > 400
    assert rms_dbfs(heard.pcm) == pytest.approx(rms_dbfs(said), abs=1)
    assert max(heard.delays) < 25


@pytest.mark.needs_module("pystoi")
def test_g711_stays_intelligible(call: type[Any], speech: Speech):
    talk = call(speech(8_000), G711Encoder())
    said = talk.over(clean, G711Decoder()).pcm
    heard = talk.over(randomly(0.05), G711Decoder()).pcm
    holes = bytearray(said)
    lost = randomly(0.05)
    for index in range(len(said) // 320):
        if lost(index) is None:
            holes[(index + 2) * 320 : (index + 3) * 320] = bytes(320)
    concealed, silenced = (intelligibility(bytes(pcm), said, 8_000) for pcm in (heard, holes[: len(said)]))
    assert concealed > 0.92
    assert concealed > silenced


def test_comfort_noise_is_at_the_level_that_the_peer_says():
    receiver = MediaReceiver(G711Decoder(), payload_types=[0], comfort_type=COMFORT_TYPE)
    loud = G711Encoder().encode(array("h", [8000, -8000] * 80).tobytes())
    for index in range(10):
        receiver.push(RtpPacket(0, index, 160 * index, 1, loud), index * 0.02)
        receiver.pull(index * 0.02 + 0.01)
    assert receiver.push(RtpPacket(COMFORT_TYPE, 10, 1600, 1, bytes([50])), 0.2)
    assert not receiver.push(RtpPacket(COMFORT_TYPE, 11, 1760, 1, b""), 0.22), (
        "without a level it says nothing"
    )
    for index in range(10, 30):
        pcm = receiver.pull(index * 0.02 + 0.01)
    assert pcm is not None
    assert rms_dbfs(pcm) == pytest.approx(-50, abs=1.5)
    assert receiver.level == rms_dbfs(pcm)
    assert receiver.concealed_ms == 0


def test_before_the_first_packet_there_is_nothing():
    receiver = MediaReceiver(G711Decoder(), payload_types=[0])
    assert receiver.pull(1.0) is None
    assert receiver.level == -96
    assert (receiver.buffer_ms, receiver.delay_ms(1.0)) == (0, 0)


def test_packets_of_other_types_are_ignored():
    receiver = MediaReceiver(G711Decoder(), payload_types=[0, 8])
    assert not receiver.push(RtpPacket(101, 1, 160, 1, b"\1\0\0\0"), 1.0)
    assert receiver.ignored == 1
    assert receiver.pull(1.0) is None


@pytest.mark.needs_module("av")
def test_what_cannot_be_decoded_is_concealed():
    receiver = MediaReceiver(OpusDecoder(), payload_types=[96])
    encoder = OpusEncoder()
    good = encoder.encode(bytes(960))
    bad = good[:1].replace(good[:1], bytes((good[0] | 3, 0x41, 255)))  # a length that is not there
    for index, payload in enumerate([good, bad, good]):
        receiver.push(RtpPacket(96, index, 960 * index, 1, payload), index * 0.02)
        pcm = receiver.pull(index * 0.02 + 0.01)
        assert pcm is not None
        assert len(pcm) == 960
    assert receiver.undecodable == 1
    assert receiver.concealed_ms == 20


@pytest.mark.needs_module("av")
def test_a_copy_that_cannot_be_decoded_is_concealed():
    class Broken(OpusDecoder):
        def has_fec(self, payload: bytes, /) -> bool:
            return len(payload) == 3

        def samples(self, payload: bytes, /) -> int:
            return 480

    receiver = MediaReceiver(Broken(), payload_types=[96], min_ms=30)
    good = OpusEncoder().encode(bytes(960))
    broken = bytes((good[0] | 3, 0x41, 255))
    for index, payload in [(0, good), (1, good), (3, broken)]:
        receiver.push(RtpPacket(96, index, 960 * index, 1, payload), index * 0.02)
    for tick in range(6):
        receiver.pull(0.04 + tick * 0.02)
    assert receiver.recovered_ms == 0
    assert receiver.concealed_ms >= 40


def test_packets_of_30_ms_come_out_in_frames_of_20(speech: Speech):
    receiver = MediaReceiver(G711Decoder("alaw"), payload_types=[8])
    payload = G711Encoder("alaw").encode(speech(8_000)[:40_000])
    heard = b""
    for tick in range(100):
        if tick % 3 != 2:
            index = tick // 3 * 2 + tick % 3
            at = index * 0.03
            packet = RtpPacket(8, index, 240 * index, 1, payload[240 * index : 240 * index + 240])
            receiver.push(packet, at)
        pcm = receiver.pull(tick * 0.02 + 0.011)
        assert pcm is not None
        assert len(pcm) == 320
        heard += pcm
    straight = G711Decoder("alaw").decode(payload[:800])
    assert straight in heard or receiver.concealed_ms > 0


def test_a_clock_that_does_not_fit():
    with pytest.raises(ConfigError, match="no multiple"):
        MediaReceiver(G711Decoder(), payload_types=[0], clock_rate=44_100)
