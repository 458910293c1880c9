"""48 kHz to 24 kHz, for what libwebrtc plays: a half-band filter without a delay worth mentioning."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError, MissingExtraError

__all__ = ["Halver"]

_TAPS = 31
"""Of the filter: 0.3 ms of delay, -60 dB from 15.5 kHz on."""


class Halver:
    """Converts blocks of PCM16, keeping its state from one to the next.

    Raises:
        MissingExtraError: without numpy.
    """

    def __init__(self) -> None:
        try:
            import numpy as np
        except ImportError:
            raise MissingExtraError("WebRTC with libwebrtc", "libwebrtc", "numpy") from None
        self._np: Any = np
        self._taps: Any = np.array(_half_band(), dtype=np.float32)
        self._before: Any = np.zeros(_TAPS - 1, dtype=np.float32)

    def convert(self, pcm: bytes | bytearray, rate: int, channels: int) -> bytes:
        """Interleaved PCM16 at 48 kHz to mono at 24 kHz; 24 kHz mono passes unchanged.

        Raises:
            ConfigError: at any other rate.
        """
        if rate == 24_000 and channels == 1:
            return bytes(pcm)
        if rate != 48_000:
            raise ConfigError(f"libwebrtc gave audio at {rate} Hz; 48000 or 24000 can be used")
        np = self._np
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        if channels > 1:
            samples = samples.reshape(-1, channels).mean(axis=1)
        whole = np.concatenate((self._before, samples))
        self._before = whole[-(_TAPS - 1) :]
        halved = np.convolve(whole, self._taps, mode="valid")[::2]
        return bytes(np.clip(np.rint(halved), -32768, 32767).astype("<i2").tobytes())


def _half_band() -> list[float]:
    """A windowed sinc that lets half the band through (Blackman); every other tap but the middle is zero."""
    middle = (_TAPS - 1) // 2
    taps: list[float] = []
    for n in range(_TAPS):
        x = (n - middle) / 2
        sinc = 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)
        phase = 2 * math.pi * n / (_TAPS - 1)
        taps.append(sinc * (0.42 - 0.5 * math.cos(phase) + 0.08 * math.cos(2 * phase)))
    total = sum(taps)
    return [tap / total for tap in taps]
