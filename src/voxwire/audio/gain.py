"""Louder and softer."""

from __future__ import annotations

import math
from array import array

from ..errors import ConfigError
from .samples import from_pcm, to_pcm

__all__ = ["apply_gain", "checked_gain"]


def checked_gain(gain: float) -> float:
    """`gain` if it can be used: a factor from 0, which is silence; 1 leaves audio as it is, 2 is 6 dB more.

    Raises:
        ConfigError: if it is negative or not finite.
    """
    if not 0 <= gain < math.inf:
        raise ConfigError(f"gain is {gain!r}; it is a factor of 0 or more, 1 leaves the audio as it is")
    return gain


def apply_gain(pcm: bytes, gain: float) -> bytes:
    """Mono or interleaved s16le `pcm` times `gain`; what does not fit into 16 bits is clipped."""
    if gain == 1:
        return pcm
    samples = from_pcm(pcm)
    if gain < 1:  # cannot overflow
        return to_pcm(array("h", [round(sample * gain) for sample in samples]))
    return to_pcm(array("h", [max(-32768, min(32767, round(sample * gain))) for sample in samples]))
