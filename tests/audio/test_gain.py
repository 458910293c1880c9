from __future__ import annotations

import math
from array import array

import pytest

from voxwire.audio.gain import apply_gain, checked_gain
from voxwire.audio.samples import to_pcm
from voxwire.errors import ConfigError


def pcm(*samples: int) -> bytes:
    return to_pcm(array("h", samples))


def test_gain() -> None:
    audio = pcm(100, -100, 20_000, -20_000)
    assert apply_gain(audio, 1.0) is audio
    assert apply_gain(audio, 0.5) == pcm(50, -50, 10_000, -10_000)
    assert apply_gain(audio, 2.0) == pcm(200, -200, 32_767, -32_768)
    assert apply_gain(audio, 0) == bytes(8)


@pytest.mark.parametrize("gain", [-0.1, math.inf, math.nan])
def test_no_gain(gain: float) -> None:
    with pytest.raises(ConfigError, match="factor of 0 or more"):
        checked_gain(gain)
