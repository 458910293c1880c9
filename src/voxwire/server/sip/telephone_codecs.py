"""The codecs of a call, all of them with 24 kHz PCM on the inside."""

from __future__ import annotations

from ...audio.resample import Resampler
from ...media.codecs import FRAME_MS, AudioDecoder, AudioEncoder
from ...media.g711_codec import RATE, G711Decoder, G711Encoder, Law
from .sdp import Codec

__all__ = ["SAMPLE_RATE", "Steady", "WideEncoder", "make_decoder", "make_encoder", "widener"]

SAMPLE_RATE = 24_000
"""Of a media plane, Hz."""


class Steady:
    """Frames of 20 ms from one rate to another, one for one.

    A resampler holds some audio back, and gives more for one frame than for another; here the little that is missing
    at the very beginning is silence, and later frames are whole.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._resampler = Resampler(rate_in, rate_out, backend="prompt")
        self._size = rate_out * FRAME_MS // 1000 * 2
        self._ready = bytearray()

    def feed(self, frame: bytes) -> bytes:
        """The frame that goes out for one that comes in."""
        self._ready += self._resampler.feed(frame)
        missing = self._size - len(self._ready)
        if missing > 0:
            self._ready[:0] = bytes(missing)
        out = bytes(self._ready[: self._size])
        del self._ready[: self._size]
        return out


class WideEncoder:
    """An encoder of 8 kHz that takes 24 kHz."""

    def __init__(self, inner: AudioEncoder) -> None:
        self.sample_rate = SAMPLE_RATE
        self.clock_rate = inner.clock_rate
        self._inner = inner
        self._down = Steady(SAMPLE_RATE, inner.sample_rate)

    def encode(self, pcm: bytes, /) -> bytes:
        """The payload of one frame."""
        return self._inner.encode(self._down.feed(pcm))

    def close(self) -> None:
        """Free what it holds."""
        self._inner.close()


def _law(codec: Codec) -> Law:
    return "alaw" if codec.name.upper() == "PCMA" else "ulaw"


def make_encoder(codec: Codec) -> AudioEncoder:
    """An encoder that takes 24 kHz.

    Raises:
        MissingExtraError: Opus without a libopus.
    """
    if codec.name.lower() == "opus":
        from ...media.opus import OpusEncoder

        return OpusEncoder(SAMPLE_RATE, dtx=codec.param("usedtx") == "1")
    return WideEncoder(G711Encoder(_law(codec)))


def make_decoder(codec: Codec) -> AudioDecoder:
    """A decoder; what it gives goes through `widener`.

    Raises:
        MissingExtraError: Opus without a libopus.
    """
    if codec.name.lower() == "opus":
        from ...media.opus import OpusDecoder

        return OpusDecoder(SAMPLE_RATE)
    return G711Decoder(_law(codec))


def widener(decoder: AudioDecoder) -> Steady | None:
    """From the decoder's rate to 24 kHz; None where there is nothing to do."""
    return Steady(decoder.sample_rate, SAMPLE_RATE) if decoder.sample_rate == RATE else None
