from __future__ import annotations

import itertools
import math
import struct
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.audio.resample import Converter, Resampler, convert
from voxwire.errors import ConfigError, MissingExtraError
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat

BACKENDS = ["soxr", "python"]
RATES = [(24000, 16000), (16000, 24000), (8000, 24000), (24000, 8000), (44100, 24000), (22050, 16000)]


def sine(hz: float, rate: int, ms: int = 300, amplitude: float = 10000) -> bytes:
    count = rate * ms // 1000
    return struct.pack(
        f"<{count}h", *(round(amplitude * math.sin(2 * math.pi * hz * n / rate)) for n in range(count))
    )


def samples(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def fit(pcm: bytes, hz: float, rate: int) -> tuple[float, float, float]:
    """Amplitude, phase (rad, relative to a sine from time zero) and rest in dB of a tone, ends left out."""
    values = samples(pcm)
    period = rate / math.gcd(rate, round(hz))
    margin = len(values) // 5
    length = int((len(values) - 2 * margin) // period * period)
    span = range(margin, margin + length)
    turn = 2 * math.pi * hz / rate
    in_phase = 2 * sum(values[n] * math.sin(turn * n) for n in span) / length
    quadrature = 2 * sum(values[n] * math.cos(turn * n) for n in span) / length
    rest = sum(
        (values[n] - in_phase * math.sin(turn * n) - quadrature * math.cos(turn * n)) ** 2 for n in span
    )
    amplitude = math.hypot(in_phase, quadrature)
    return (
        amplitude,
        math.atan2(quadrature, in_phase),
        10 * math.log10(rest / length / (amplitude**2 / 2) + 1e-12),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_keeps_level_and_place(rate_in, rate_out, backend):
    out = Resampler(rate_in, rate_out, backend=backend).feed(sine(1000, rate_in), last=True)
    assert abs(len(out) / 2 - 0.3 * rate_out) <= 1
    amplitude, phase, rest = fit(out, 1000, rate_out)
    assert amplitude == pytest.approx(10000, rel=0.005)
    # What goes in at a time comes out at that time; soxr's variable-rate mode is late by a few samples.
    assert abs(phase) / (2 * math.pi * 1000) < (0.000_003 if backend == "python" else 0.000_3)
    assert rest < -70


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("rate_in", "rate_out"), [(8000, 24000), (24000, 8000)])
def test_telephone_band_passes_whole(rate_in, rate_out, backend):
    out = Resampler(rate_in, rate_out, backend=backend).feed(sine(3300, rate_in), last=True)
    amplitude, _, rest = fit(out, 3300, rate_out)
    assert amplitude == pytest.approx(10000, rel=0.012)  # 0.1 dB
    assert rest < -65


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_fit_is_removed(backend):
    out = samples(Resampler(24000, 8000, backend=backend).feed(sine(4300, 24000), last=True))
    inner = out[len(out) // 5 : -len(out) // 5]
    assert max(map(abs, inner)) < 10000 * 10 ** (-58 / 20)


@pytest.mark.parametrize("backend", BACKENDS)
def test_loud_noise_is_clipped_not_wrapped(backend):
    square = struct.pack("<480h", *([32767] * 24 + [-32768] * 24) * 10)
    out = samples(Resampler(16000, 24000, backend=backend).feed(square, last=True))
    assert max(out) == 32767
    assert min(out) == -32768
    assert all((value > 0) == (n // 36 % 2 == 0) for n, value in enumerate(out) if 4 < n % 36 < 32)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    pcm=st.binary(min_size=0, max_size=4000),
    cuts=st.lists(st.integers(0, 4000), max_size=8),
    rates=st.sampled_from([*RATES, (16000, 16000), (8001, 16000)]),
)
@settings(max_examples=40, deadline=None)
def test_cutting_changes_nothing(backend, pcm, cuts, rates):
    stream = Resampler(*rates, backend=backend)
    whole = stream.feed(pcm, last=True)
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    pieces = [stream.feed(pcm[a:b]) for a, b in itertools.pairwise(edges)]
    pieces.append(stream.feed(b"", last=True))
    assert b"".join(pieces) == whole


@given(data=st.binary(max_size=1200), cut=st.integers(0, 1200))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize(
    ("source", "target"),
    [(PCMU, PCM16), (PCM16, PCMA), (PCMU, PCMA), (PCMU, PCMU), (PCM16, AudioFormat(rate=16000))],
)
def test_converter_has_no_seams(source, target, data, cut):
    whole = convert(data, source, target)
    stream = Converter(source, target)
    assert stream.feed(data[:cut]) + stream.feed(data[cut:]) + stream.feed(b"", last=True) == whole


@pytest.mark.parametrize("rate_in", [24000, 16000])
def test_python_holds_back_little(rate_in):
    rate_out = 40000 - rate_in
    out = Resampler(rate_in, rate_out, backend="python").feed(bytes(rate_in // 50 * 2))
    assert 0 < 20 - len(out) / 2 / rate_out * 1000 <= 2.1


def test_soxr_holds_back_little():
    stream = Resampler(24000, 16000, backend="soxr")
    out = sum(len(stream.feed(bytes(960))) for _ in range(50))
    assert 1000 - out / 2 / 16 <= 15


def test_python_length_is_exact():
    for count in (0, 1, 7, 100):
        out = Resampler(24000, 16000, backend="python").feed(bytes(2 * count), last=True)
        assert len(out) // 2 == math.ceil(count * 2 / 3)


def test_a_constant_stays_that_constant():
    out = samples(Resampler(44100, 16000, backend="python").feed(struct.pack("<h", 12345) * 4410, last=True))
    assert set(out[100:-100]) == {12345}


def test_rates_without_a_small_ratio_use_the_nearest_phase():
    out = Resampler(8001, 16000, backend="python").feed(sine(1000, 8001), last=True)
    amplitude, _, rest = fit(out, 1000, 16000)
    assert amplitude == pytest.approx(10000, rel=0.005)
    assert rest < -55


def test_starts_anew_after_the_last_piece():
    stream = Resampler(16000, 24000)
    first = stream.feed(sine(440, 16000) + b"\x01", last=True)
    assert stream.feed(sine(440, 16000), last=True) == first


def test_codecs_at_one_rate():
    pcm = sine(440, 8000)
    wire = AudioFormat(rate=8000)
    ulaw = convert(pcm, wire, PCMU)
    assert len(ulaw) == len(pcm) // 2
    amplitude, _, rest = fit(convert(ulaw, PCMU, wire), 440, 8000)
    assert amplitude == pytest.approx(10000, rel=0.01)
    assert -45 < rest < -34  # the noise of G.711, no more and no less
    alaw = convert(ulaw, PCMU, PCMA)
    assert convert(alaw, PCMA, wire) != pcm
    assert len(alaw) == len(ulaw)


def test_same_pcm_is_only_aligned():
    stream = Converter(PCM16, PCM16)
    assert stream.feed(b"\x01\x02\x03") == b"\x01\x02"
    assert stream.feed(b"\x04") == b"\x03\x04"


@pytest.mark.parametrize("rates", [(0, 16000), (16000, -1)])
def test_refuses_impossible_rates(rates):
    with pytest.raises(ConfigError, match=r"must be positive"):
        Resampler(*rates)


def test_without_soxr(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(MissingExtraError, match="soxr"):
        Resampler(24000, 16000, backend="soxr")
    pcm = sine(440, 24000, ms=40)
    fallback = Resampler(24000, 16000).feed(pcm, last=True)
    assert fallback == Resampler(24000, 16000, backend="python").feed(pcm, last=True)


def test_older_soxr_without_variable_rate(monkeypatch):
    import soxr

    def old(rate_in, rate_out, channels, dtype="float32", quality="HQ"):
        return soxr.ResampleStream(rate_in, rate_out, channels, dtype=dtype, quality=quality)

    monkeypatch.setitem(sys.modules, "soxr", types.SimpleNamespace(ResampleStream=old))
    out = Resampler(24000, 16000, backend="soxr").feed(sine(1000, 24000), last=True)
    assert fit(out, 1000, 16000)[0] == pytest.approx(10000, rel=0.005)
