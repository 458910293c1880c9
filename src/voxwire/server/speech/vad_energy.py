"""Voice activity by loudness against an adapting noise floor: pure Python, always there."""

from __future__ import annotations

import math
import sys
from array import array

from ...errors import ConfigError
from .base import INPUT_RATE

__all__ = ["EnergyDetector"]

_QUIETEST_DB = -70.0
_FALL = 0.5
_RISE_DB_PER_SECOND = 6.0
_SLOPE_DB = 2.0
_HANGOVER_FRAMES = 2


class EnergyDetector:
    """Takes as speech what is clearly louder than the background.

    The noise floor follows a quieter signal at once and a louder one by 6 dB per second, so
    that a fan that is switched on is background after a few seconds and a sentence is not.
    Loud noise of changing level still counts as speech: where Silero runs, prefer it.

    Args:
        margin_db: how far above the noise floor a frame scores 0.5.
        minimum_db: frames below this level (dB of full scale) never score 0.5.

    Raises:
        ConfigError: `margin_db` is not positive.
    """

    frame_ms: int = 20

    def __init__(self, *, margin_db: float = 12.0, minimum_db: float = -50.0) -> None:
        if margin_db <= 0:
            raise ConfigError(f"margin_db must be more than 0 dB, not {margin_db!r}.")
        self._margin = margin_db
        self._minimum = minimum_db
        self._rest = b""
        self._floor = _QUIETEST_DB
        self._hang = 0

    def probabilities(self, pcm: bytes, /) -> list[float]:
        """See `VoiceActivityDetector`; a rest shorter than a frame waits for the next call."""
        data = self._rest + pcm
        size = INPUT_RATE * self.frame_ms // 1000 * 2
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        return [self._score(data[i : i + size]) for i in range(0, whole, size)]

    def reset(self) -> None:
        """Forget the stream so far."""
        self._rest = b""
        self._floor = _QUIETEST_DB
        self._hang = 0

    def _score(self, frame: bytes) -> float:
        level = _level_db(frame)
        probability = self._probability(level)
        self._follow(level)
        if probability >= 0.5:
            self._hang = _HANGOVER_FRAMES
        elif self._hang:
            # Stops inside words are shorter than two frames.
            self._hang -= 1
            return 0.5
        return probability

    def _probability(self, level: float) -> float:
        above = min(level - self._floor - self._margin, level - self._minimum)
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, above)) / _SLOPE_DB))

    def _follow(self, level: float) -> None:
        if level < self._floor:
            self._floor += (level - self._floor) * _FALL
        else:
            self._floor = min(level, self._floor + _RISE_DB_PER_SECOND * self.frame_ms / 1000)
        self._floor = max(self._floor, _QUIETEST_DB)


def _level_db(frame: bytes) -> float:
    samples = array("h", frame)
    if sys.byteorder == "big":
        samples.byteswap()
    mean_square = sum(sample * sample for sample in samples) / len(samples)
    return 10 * math.log10(mean_square / 32768**2) if mean_square >= 1 else -90.0
