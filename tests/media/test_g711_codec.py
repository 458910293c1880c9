from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.media.codecs import AudioDecoder, AudioEncoder, DecodeError
from voxwire.media.comfort import DEFAULT_DBFS, ComfortNoise
from voxwire.media.concealment import Concealment
from voxwire.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw
from voxwire.media.g711_codec import PAYLOAD_TYPES, G711Decoder, G711Encoder, Law
from voxwire.media.levels import rms_dbfs

FRAME = 320


def hum(samples: int, hertz: float = 125, start: int = 0) -> bytes:
    return array(
        "h",
        [
            int(
                6000 * math.sin(2 * math.pi * hertz * at / 8000)
                + 3000 * math.sin(6 * math.pi * hertz * at / 8000)
            )
            for at in range(start, start + samples)
        ],
    ).tobytes()


@pytest.mark.parametrize(
    ("law", "encode", "decode"), [("ulaw", encode_ulaw, decode_ulaw), ("alaw", encode_alaw, decode_alaw)]
)
def test_both_laws(law: Law, encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes]):
    encoder, decoder = G711Encoder(law), G711Decoder(law)
    payload = encoder.encode(hum(160))
    assert payload == encode(hum(160))
    assert decoder.decode(payload) == decode(payload)
    assert decoder.samples(payload) == 160
    assert (encoder.sample_rate, decoder.clock_rate) == (8000, 8000)
    encoder.close()
    decoder.close()


def test_it_is_what_senders_and_receivers_take():
    assert isinstance(G711Encoder(), AudioEncoder)
    assert isinstance(G711Decoder(), AudioDecoder)
    assert PAYLOAD_TYPES == {"ulaw": 0, "alaw": 8}


def test_what_g711_does_not_have():
    decoder = G711Decoder()
    payload = bytes(160)
    assert not decoder.has_fec(payload)
    assert not decoder.is_dtx(payload)
    assert decoder.samples(b"") == 0
    assert decoder.samples(bytes(961)) == 0
    assert len(decoder.decode_fec(payload, 160)) == FRAME
    with pytest.raises(DecodeError):
        decoder.decode(b"")


def decoded(decoder: G711Decoder, frames: int) -> None:
    encoder = G711Encoder()
    for index in range(frames):
        decoder.decode(encoder.encode(hum(160, start=160 * index)))


def test_a_gap_in_a_hum_is_hardly_heard():
    decoder = G711Decoder()
    decoded(decoder, 20)
    made = array("h", decoder.conceal(80))
    wanted = array("h", hum(80, start=3200))
    error = max(abs(a - b) for a, b in zip(made, wanted, strict=True))
    assert error < 1500, "in phase with what would have come"


def test_what_is_made_up_fades_to_comfort_noise():
    decoder = G711Decoder()
    decoded(decoder, 20)
    levels = [rms_dbfs(decoder.conceal(80)) for _ in range(10)]
    assert levels[0] == pytest.approx(rms_dbfs(hum(800)), abs=1)
    assert levels[:6] == sorted(levels[:6], reverse=True)
    assert levels[7:] == pytest.approx([DEFAULT_DBFS] * 3, abs=2)


def test_it_is_the_same_in_pieces_of_any_length():
    def made(*lengths: int) -> bytes:
        decoder = G711Decoder()
        decoded(decoder, 20)
        return b"".join(map(decoder.conceal, lengths))

    whole = made(480)
    assert made(*[20] * 24) == whole
    assert made(160, 160, 160) == whole
    assert made(37, 100, 343) == whole


def test_real_audio_is_faded_in():
    decoder, encoder = G711Decoder(), G711Encoder()
    decoded(decoder, 20)
    before = array("h", decoder.conceal(160))
    after = array("h", decoder.decode(encoder.encode(hum(160, start=160 * 21 + 30))))  # out of phase
    steps = [abs(b - a) for a, b in itertools.pairwise(after)]
    assert abs(after[0] - before[-1]) < 2500
    assert max(steps) < 2500, "no click"
    assert after[80:].tobytes() == decode_ulaw(encoder.encode(hum(160, start=160 * 21 + 30)))[160:]


def test_before_anything_was_heard_there_is_only_noise():
    decoder = G711Decoder()
    assert rms_dbfs(decoder.conceal(800)) == pytest.approx(DEFAULT_DBFS, abs=1)
    assert len(decoder.decode(bytes(160))) == FRAME


def test_after_a_long_gap_audio_rises_from_the_noise():
    decoder, encoder = G711Decoder(), G711Encoder()
    decoded(decoder, 20)
    decoder.comfort(8000)
    after = decoder.decode(encoder.encode(hum(160)))
    assert rms_dbfs(after[:40]) < rms_dbfs(hum(160)) - 10


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=20))
def test_any_order_of_heard_and_made_up(script: list[tuple[bool, int]]):
    concealment = Concealment(8000)
    at = 0
    for heard, samples in script:
        if heard:
            pcm = concealment.heard(hum(samples, start=at))
        else:
            pcm = concealment.made_up(samples, bytes(2 * samples))
        at += samples
        assert len(pcm) == 2 * samples


@pytest.mark.parametrize("level", [30, 50, 70])
def test_comfort_noise_has_the_level_it_was_told(level: int):
    noise = ComfortNoise()
    noise.learn(bytes((level, 99)))
    noise.learn(b"")
    assert rms_dbfs(noise.make(8000)) == pytest.approx(-level, abs=0.7)


def test_comfort_noise_is_the_same_on_every_run_and_has_no_seams():
    first, second = ComfortNoise(), ComfortNoise()
    whole = first.make(6000)
    assert b"".join(second.make(size) for size in (1, 999, 4000, 1000)) == whole


@pytest.mark.parametrize("level", [0, 1, 5, 0x80])
def test_the_loudest_comfort_noise_fits_into_16_bits(level: int) -> None:
    noise = ComfortNoise()
    noise.learn(bytes([level]))
    assert -6 < rms_dbfs(noise.make(4801)) < -4
