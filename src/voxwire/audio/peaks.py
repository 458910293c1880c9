"""The outline of a waveform, in bounded memory however long it is."""

from __future__ import annotations

from array import array
from typing import Final

__all__ = ["Envelope", "Outline"]

_MAX_BUCKETS: Final = 16_384
_FIRST_BUCKET: Final = 256

Outline = list[tuple[float, float]]
"""Lowest and highest sample of each stretch, -1 to 1."""


class Envelope:
    """Lowest and highest sample per stretch of a growing recording.

    Stretches are 256 samples at first; when 16 384 of them are full, neighbours are joined.
    """

    def __init__(self) -> None:
        self._bucket = _FIRST_BUCKET
        self._lows = array("h")
        self._highs = array("h")
        self._pending = array("h")

    def add(self, samples: array[int]) -> None:
        """Append samples of 16 bits."""
        self._pending.extend(samples)
        at = 0
        while len(self._pending) - at >= self._bucket:
            part = self._pending[at : at + self._bucket]
            at += self._bucket
            self._lows.append(min(part))
            self._highs.append(max(part))
            if len(self._lows) >= _MAX_BUCKETS:
                self._halve()
        del self._pending[:at]

    def outline(self, count: int) -> Outline:
        """All of it as `count` stretches of equal length; nothing recorded is flat."""
        lows, highs = array("h", self._lows), array("h", self._highs)
        if self._pending:
            lows.append(min(self._pending))
            highs.append(max(self._pending))
        # In samples, so that an incomplete last bucket does not stretch the picture.
        total = len(self._lows) * self._bucket + len(self._pending)
        outline: Outline = []
        for index in range(count):
            begin = index * total // count // self._bucket
            end = max(begin + 1, -(-(index + 1) * total // count // self._bucket))
            low, high = min(lows[begin:end], default=0), max(highs[begin:end], default=0)
            outline.append((low / 32768, high / 32768))
        return outline

    def _halve(self) -> None:
        self._lows = array("h", map(min, self._lows[0::2], self._lows[1::2]))
        self._highs = array("h", map(max, self._highs[0::2], self._highs[1::2]))
        self._bucket *= 2
