"""How loud 16 bit PCM is, in dBFS: 0 is the largest sample value (32768)."""

from __future__ import annotations

import math
from operator import mul
from typing import Final

from .samples import from_pcm

__all__ = ["SILENCE_DBFS", "dbfs", "peak_dbfs", "rms_dbfs"]

SILENCE_DBFS: Final = -96.0
"""What digital silence reads, and the lowest value returned: 16 bits hold no less."""

_FULL_SCALE: Final = 32768.0


def dbfs(amplitude: float) -> float:
    """`amplitude` as a share of full scale (1.0) in dB, at least `SILENCE_DBFS`."""
    if amplitude <= 0:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 20 * math.log10(amplitude))


def rms_dbfs(pcm: bytes | bytearray | memoryview) -> float:
    """Root mean square of mono s16le `pcm`; a sine at full scale reads -3.01, no audio `SILENCE_DBFS`."""
    samples = from_pcm(pcm)
    if not samples:
        return SILENCE_DBFS
    mean_square = sum(map(mul, samples, samples)) / len(samples)
    return dbfs(math.sqrt(mean_square) / _FULL_SCALE)


def peak_dbfs(pcm: bytes | bytearray | memoryview) -> float:
    """Largest magnitude of mono s16le `pcm`; no audio reads `SILENCE_DBFS`."""
    samples = from_pcm(pcm)
    if not samples:
        return SILENCE_DBFS
    largest, smallest = max(samples), min(samples)
    return dbfs(max(largest, -smallest) / _FULL_SCALE)
