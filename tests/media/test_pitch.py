from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.media.levels import rms_dbfs
from voxwire.media.pitch import best_lag, blend, shorten


def hum(samples: int, period: int) -> array[int]:
    return array(
        "h",
        [
            int(6000 * math.sin(2 * math.pi * at / period) + 3000 * math.cos(6 * math.pi * at / period))
            for at in range(samples)
        ],
    )


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("hertz", [80, 125, 190])
def test_the_period_of_a_hum(rate: int, hertz: int):
    period = rate // hertz
    lag = best_lag(hum(rate // 10, period), rate, rate // 200, rate * 15 // 1000, rate // 50)
    assert min(lag % period, -lag % period) <= 1


def test_blending():
    assert blend([100] * 4, [0] * 4) == [100, 75, 50, 25]
    assert blend([], []) == []


def test_a_hum_is_shortened_by_whole_periods():
    rate, period = 24_000, 200
    pcm = hum(1920 // 2 * 2, period).tobytes()
    shorter = array("h", shorten(pcm, rate, 480))
    taken = len(pcm) // 2 - len(shorter)
    assert taken in {200, 400}
    step = max(abs(b - a) for a, b in zip(hum(480, period), hum(480, period)[1:], strict=False))
    assert max(abs(b - a) for a, b in itertools.pairwise(shorter)) < 1.3 * step, "no click"


def test_exactly():
    assert len(shorten(bytes(1920), 24_000, 333, exact=True)) == 1920 - 666


@pytest.mark.parametrize(("size", "most"), [(100, 480), (1920, 0), (1920, -5)])
def test_what_cannot_be_shortened_stays(size: int, most: int):
    assert shorten(bytes(size), 24_000, most) == bytes(size)


def test_speech_keeps_its_level(speech: Callable[[int], bytes]):
    pcm = speech(24_000)
    shorter = b"".join(shorten(pcm[at : at + 1920], 24_000, 480) for at in range(0, len(pcm), 1920))
    assert 0.5 <= len(shorter) / len(pcm) < 0.95
    assert rms_dbfs(shorter) == pytest.approx(rms_dbfs(pcm), abs=1.5)


@given(st.binary(max_size=4000), st.sampled_from([8_000, 24_000]), st.integers(0, 500), st.booleans())
def test_any_audio(pcm: bytes, rate: int, most: int, exact: bool):
    pcm = pcm[: len(pcm) & ~1]
    shorter = shorten(pcm, rate, most, exact=exact)
    assert 0 <= len(pcm) - len(shorter) <= 2 * most
    assert len(shorter) % 2 == 0
