"""Opus (RFC 6716, RTP: RFC 7587) by `ctypes` on libopus: the one in PyAV's wheel, else the system's.

libopus takes and gives 8, 12, 16, 24 and 48 kHz whatever is on the wire, so nothing is resampled here, and it mixes
a stereo stream down for a mono decoder.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from typing import Final

from ..errors import ConfigError
from .codecs import DecodeError
from .libopus import Request, created, find_libopus, load_libopus, message_of
from .opus_packet import has_fec, packet_samples

__all__ = ["CLOCK_RATE", "SAMPLE_RATES", "OpusDecoder", "OpusEncoder", "find_libopus"]

CLOCK_RATE: Final = 48_000
"""Of the RTP timestamps, whatever the sample rate (RFC 7587 section 4.1), Hz."""
SAMPLE_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What libopus takes and gives, Hz."""

_APPLICATION_VOIP: Final = 2048
_MAX_PAYLOAD: Final = 1275
"""Bytes of the largest frame (RFC 6716 section 3.2.1)."""
_MAX_FRAME_MS: Final = 120
_DTX_PAYLOAD: Final = 2
"""A payload of up to two bytes holds no audio: discontinuous transmission (libopus, `opus_encode`)."""
_FEC_FROM_LOSS: Final = 0.005
_SWAP: Final = sys.byteorder == "big"


class OpusEncoder:
    """Mono speech to Opus, 20 ms a payload (2.5 to 60 ms can be given).

    Costs 5 to 9 ms of CPU per second of speech, half as much again with `fec`.

    Args:
        rate: of the PCM given, Hz, one of `SAMPLE_RATES`.
        bitrate: bit/s on average; 6 000 to 510 000.
        complexity: 0 to 10, CPU against quality.
        fec: begin with in-band forward error correction, also where no loss is expected: each payload carries a
            coarse copy of the one before.
        expected_loss: share of packets lost, 0..1, for which the encoder prepares itself.
        dtx: give out payloads of one or two bytes while nobody speaks, which need not be sent.

    Raises:
        ConfigError: if a setting is out of its range.
        MissingExtraError: if there is no libopus.
    """

    def __init__(
        self,
        rate: int = 24_000,
        *,
        bitrate: int = 32_000,
        complexity: int = 5,
        fec: bool = False,
        expected_loss: float = 0.0,
        dtx: bool = False,
    ) -> None:
        self.sample_rate = _checked_rate(rate)
        self.clock_rate = CLOCK_RATE
        self._lib = load_libopus()
        self._state: int | None = created(self._lib.opus_encoder_create, rate, 1, _APPLICATION_VOIP)
        self._out = ctypes.create_string_buffer(_MAX_PAYLOAD)
        self._encode = self._lib.opus_encode
        self._fec = False
        try:
            for request, value in (
                (Request.SET_BITRATE, bitrate),
                (Request.SET_COMPLEXITY, complexity),
                (Request.SET_SIGNAL, Request.SIGNAL_VOICE),
                (Request.SET_DTX, int(dtx)),
            ):
                self._set(request, value)
            self.set_expected_loss(expected_loss, fec=fec or None)
        except ConfigError:
            self.close()
            raise

    @property
    def fec(self) -> bool:
        """Whether payloads carry a copy of the one before."""
        return self._fec

    def encode(self, pcm: bytes, /) -> bytes:
        """The payload of one frame of mono PCM16.

        Raises:
            ConfigError: if its length is not 2.5, 5, 10, 20, 40 or 60 ms.
        """
        if self._state is None:
            raise ConfigError("this Opus encoder has been closed")
        frame = _native(pcm) if _SWAP else pcm
        size = self._encode(self._state, frame, len(pcm) // 2, self._out, _MAX_PAYLOAD)
        if size < 0:
            raise ConfigError(
                f"libopus cannot encode {len(pcm)} bytes of PCM16 at {self.sample_rate} Hz "
                f"({message_of(self._lib, size)}); give it 20 ms, {self.sample_rate // 25} bytes"
            )
        return ctypes.string_at(self._out, size)

    def set_complexity(self, complexity: int) -> None:
        """Spend more or less CPU on quality, from the next frame on.

        Raises:
            ConfigError: if it is not 0 to 10.
        """
        if self._state is not None:
            self._set(Request.SET_COMPLEXITY, complexity)

    def set_expected_loss(self, share: float, *, fec: bool | None = None) -> None:
        """Prepare for a share of the packets being lost, as the peer reports it (RTCP receiver report).

        Forward error correction costs CPU and bits of the audio itself: it is on from half a percent of loss.

        Args:
            share: 0..1.
            fec: on or off whatever the loss is; None goes by `share`.

        Raises:
            ConfigError: if it is no share.
        """
        if not 0 <= share <= 1:
            raise ConfigError(f"the expected loss is a share from 0 to 1, not {share!r}")
        if self._state is None:
            return
        self._fec = share >= _FEC_FROM_LOSS if fec is None else fec
        # libopus writes no copy at 0 % loss even where forward error correction is on.
        percent = max(round(share * 100), 5 if self._fec else 0)
        self._set(Request.SET_INBAND_FEC, int(self._fec))
        self._set(Request.SET_PACKET_LOSS_PERC, percent)

    def close(self) -> None:
        """Free the encoder; idempotent."""
        state, self._state = self._state, None
        if state is not None:
            self._lib.opus_encoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()

    def _set(self, request: int, value: int) -> None:
        code = self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int32(value))
        if code < 0:
            raise ConfigError(
                f"libopus refuses {value!r} for {Request.NAMES[request]}: {message_of(self._lib, code)}"
            )


class OpusDecoder:
    """Opus of any frame size (2.5 to 120 ms) and mono or stereo, to mono PCM16.

    Costs 1 to 2 ms of CPU per second of speech.

    Args:
        rate: of the PCM given out, Hz, one of `SAMPLE_RATES`.

    Raises:
        ConfigError: if libopus has no such rate.
        MissingExtraError: if there is no libopus.
    """

    def __init__(self, rate: int = 24_000) -> None:
        self.sample_rate = _checked_rate(rate)
        self.clock_rate = CLOCK_RATE
        self._lib = load_libopus()
        self._state: int | None = created(self._lib.opus_decoder_create, rate, 1)
        self._capacity = rate * _MAX_FRAME_MS // 1000
        self._unit = rate // 400
        self._out = ctypes.create_string_buffer(2 * self._capacity)
        self._decode = self._lib.opus_decode

    def samples(self, payload: bytes, /) -> int:
        """Length of a payload's audio, samples at `sample_rate`, read off its first bytes; 0 if it is malformed."""
        return packet_samples(payload, self.sample_rate)

    def has_fec(self, payload: bytes, /) -> bool:
        """Whether the payload carries a copy of the frame before it."""
        return has_fec(payload)

    def is_dtx(self, payload: bytes, /) -> bool:
        """Whether the sender falls silent with this payload."""
        return len(payload) <= _DTX_PAYLOAD

    def decode(self, payload: bytes, /) -> bytes:
        """The payload's audio, mono PCM16.

        Raises:
            DecodeError: if it is malformed.
        """
        if not payload:
            raise DecodeError("an Opus payload has at least one byte (RFC 6716 section 3.1)")
        return self._run(payload, self._capacity, 0)

    def decode_fec(self, payload: bytes, samples: int, /) -> bytes:
        """The lost audio before `payload`, from the copy in it; concealed where there is none.

        Raises:
            DecodeError: if the payload is malformed.
            ConfigError: if `samples` is not a multiple of 2.5 ms, up to 120 ms.
        """
        return self._run(payload, self._checked(samples), 1)

    def conceal(self, samples: int, /) -> bytes:
        """Audio in place of what was lost; libopus lets it fade.

        Raises:
            ConfigError: if `samples` is not a multiple of 2.5 ms, up to 120 ms.
        """
        return self._run(None, self._checked(samples), 0)

    def comfort(self, samples: int, /) -> bytes:
        """The background noise that the decoder has learnt, or silence.

        Raises:
            ConfigError: if `samples` is not a multiple of 2.5 ms, up to 120 ms.
        """
        return self.conceal(samples)

    def learn_comfort(self, payload: bytes, /) -> None:
        """Nothing: Opus learns the noise from the audio, and RFC 3389 is not used with it (RFC 7587 section 4.2)."""

    def close(self) -> None:
        """Free the decoder; idempotent."""
        state, self._state = self._state, None
        if state is not None:
            self._lib.opus_decoder_destroy(state)

    def __del__(self) -> None:
        if getattr(self, "_state", None) is not None:
            self.close()

    def _run(self, payload: bytes | None, samples: int, fec: int) -> bytes:
        if self._state is None:
            raise ConfigError("this Opus decoder has been closed")
        count = self._decode(self._state, payload, len(payload) if payload else 0, self._out, samples, fec)
        if count < 0:
            raise DecodeError(
                f"libopus cannot decode {len(payload or b'')} bytes: {message_of(self._lib, count)}"
            )
        pcm = ctypes.string_at(self._out, 2 * count)
        return _native(pcm) if _SWAP else pcm

    def _checked(self, samples: int) -> int:
        if not 0 < samples <= self._capacity or samples % self._unit:
            raise ConfigError(
                f"libopus conceals multiples of {self._unit} samples up to {self._capacity}, not {samples!r}"
            )
        return samples


def _checked_rate(rate: int) -> int:
    if rate not in SAMPLE_RATES:
        raise ConfigError(
            f"libopus has no sample rate of {rate!r} Hz; it has {', '.join(map(str, SAMPLE_RATES))}"
        )
    return rate


def _native(pcm: bytes) -> bytes:
    """Little-endian samples in the machine's order, or back: the same swap."""
    samples = array("h", pcm)
    samples.byteswap()
    return samples.tobytes()
