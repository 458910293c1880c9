"""Comfort noise: the soft hiss that tells a listener that the line is not dead (RFC 3389)."""

from __future__ import annotations

from array import array
from functools import cache
from typing import Final

from .samples import to_pcm

__all__ = ["DEFAULT_DBFS", "ComfortNoise"]

DEFAULT_DBFS: Final = -65.0
"""Level where the peer has not said one."""
_LENGTH: Final = 4801
"""Samples after which the noise repeats; a prime number, so that it falls in step with no frame."""
_RMS: Final = 9459
"""Of the noise as made: uniform within a quarter of the range on both sides, 16384 / sqrt(3)."""


class ComfortNoise:
    """White noise at the level that the peer's comfort noise packets have, the same on every run."""

    def __init__(self) -> None:
        self._gain = _gain(DEFAULT_DBFS)
        self._at = 0

    def learn(self, payload: bytes) -> None:
        """Take the level of a comfort noise packet: -dBov in its first byte (RFC 3389 section 3.1)."""
        if payload:
            # 0 dBov is a square wave at full scale, the same as 0 dBFS here.
            self._gain = _gain(-float(payload[0] & 0x7F))

    def make(self, samples: int) -> bytes:
        """So many samples of mono PCM16."""
        noise, gain = _noise(), self._gain
        start, self._at = self._at, (self._at + samples) % _LENGTH
        return to_pcm(array("h", [noise[at % _LENGTH] * gain >> 16 for at in range(start, start + samples)]))


def _gain(dbfs: float) -> int:
    # Noise as loud as a packet may ask for does not fit into 16 bits; -5 dBFS does.
    return min(round(10 ** (dbfs / 20) * 32768 / _RMS * 65536), 2 * 65536 - 1)


@cache
def _noise() -> array[int]:
    state, samples = 1, array("h")
    for _ in range(
        _LENGTH
    ):  # a linear congruential generator (Numerical Recipes); nothing here needs a better one
        state = state * 1664525 + 1013904223 & 0xFFFF_FFFF
        samples.append((state >> 17) - 16384)
    return samples
