"""Taking the agent's own voice, and noise, out of what a microphone hears."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, overload, runtime_checkable

from ..errors import ConfigError, MissingExtraError
from .echo_duplex import DuplexProcessor

__all__ = ["FRAME_MS", "EchoCanceller", "LivekitEchoCanceller", "make_echo_canceller"]

_log = logging.getLogger("voxwire.audio")

FRAME_MS: Final = 10
"""Length of the frames that a canceller takes, ms."""
_MAX_DELAY_MS: Final = 500


@runtime_checkable
class EchoCanceller(Protocol):
    """Works on mono s16le frames of exactly 10 ms, in the order in which they are played and recorded.

    Implement this to bring your own; `DuplexProcessor` does the rest.
    """

    rate: int
    """Samples per second, Hz; a multiple of 100."""

    def set_delay(self, ms: float, /) -> None:
        """A hint: from `render` of a frame to `capture` of its echo, ms, as far as the devices know."""

    def render(self, pcm: bytes, /) -> None:
        """The next 10 ms that the loudspeaker plays."""

    def capture(self, pcm: bytes, /) -> bytes:
        """The next 10 ms from the microphone: the same without echo."""
        ...


class LivekitEchoCanceller:
    """The audio processing of libwebrtc (AEC3), from the `livekit` package; some 12 ms of CPU per second.

    Not for several threads at once.

    Args:
        rate: 16000, 24000, 32000 or 48000 Hz are usual; at most 48000, a multiple of 100.
        echo: take echo out; False leaves noise suppression alone at work.
        noise_suppression: take steady noise out. Off, because it may take some of a voice that speaks while the
            loudspeaker does: in four trials with `bench/echo.py` a recogniser understood 36 of 70 such
            sentences with it, 47 without it, and 35 without any processing (the last trial was a tie).
        high_pass: take hum and rumble below 100 Hz or so out.
        auto_gain: bring the voice to a usual level; raises what is left of an echo by about 6 dB.

    Raises:
        MissingExtraError: `livekit` is not installed (extra `aec`).
        ConfigError: the rate cannot be used.
    """

    def __init__(
        self,
        rate: int = 24_000,
        *,
        echo: bool = True,
        noise_suppression: bool = False,
        high_pass: bool = True,
        auto_gain: bool = False,
    ) -> None:
        if not 8_000 <= rate <= 48_000 or rate % 100:
            raise ConfigError(f"rate is {rate!r} Hz; it must be a multiple of 100 between 8000 and 48000")
        self.rate = rate
        self._samples = rate * FRAME_MS // 1000
        self._frame, module = _livekit()
        self._module: Any = module(
            echo_cancellation=echo,
            noise_suppression=noise_suppression,
            high_pass_filter=high_pass,
            auto_gain_control=auto_gain,
        )
        self._echo = echo

    def set_delay(self, ms: float, /) -> None:
        """See `EchoCanceller`. AEC3 finds the delay by itself, up to half a second; this only helps it begin."""
        if self._echo:
            self._module.set_stream_delay_ms(round(min(max(0.0, ms), _MAX_DELAY_MS)))

    def render(self, pcm: bytes, /) -> None:
        """See `EchoCanceller`.

        Raises:
            ConfigError: the frame does not last 10 ms.
        """
        self._module.process_reverse_stream(self._framed(pcm))

    def capture(self, pcm: bytes, /) -> bytes:
        """See `EchoCanceller`.

        Raises:
            ConfigError: the frame does not last 10 ms.
        """
        frame = self._framed(pcm)
        self._module.process_stream(frame)
        return bytes(frame.data.cast("B"))

    def _framed(self, pcm: bytes) -> Any:
        if len(pcm) != self._samples * 2:
            raise ConfigError(
                f"a frame of {len(pcm)} bytes; 10 ms at {self.rate} Hz are {self._samples * 2} bytes"
            )
        return self._frame(bytearray(pcm), self.rate, 1, self._samples)


@overload
def make_echo_canceller(*, required: Literal[True], rate: int = ..., **options: bool) -> DuplexProcessor: ...


@overload
def make_echo_canceller(
    *, required: bool = ..., rate: int = ..., **options: bool
) -> DuplexProcessor | None: ...


def make_echo_canceller(
    *, required: bool = False, rate: int = 24_000, **options: bool
) -> DuplexProcessor | None:
    """What `Microphone(echo_canceller=...)` and `Speaker(echo_canceller=...)` share.

    Args:
        required: raise where the extra is missing. Otherwise the answer is None then, and the log
            gets one warning per process.
        rate, options: as `LivekitEchoCanceller`.

    Raises:
        MissingExtraError: it is required and `livekit` is not installed.
        ConfigError: as `LivekitEchoCanceller`.
    """
    try:
        return DuplexProcessor(LivekitEchoCanceller(rate, **options))
    except MissingExtraError as error:
        if required:
            raise
        if not _warned:
            _warned.append(True)
            _log.warning(
                "no echo cancellation, so that on open loudspeakers the agent may interrupt itself; "
                "use headphones, or the extra: %s",
                error,
            )
        return None


_warned: list[bool] = []


def _livekit() -> tuple[Callable[..., Any], Callable[..., Any]]:
    try:
        from livekit import rtc
    except ImportError as error:
        raise MissingExtraError("Echo cancellation", "aec", "livekit") from error
    library: Any = rtc
    return library.AudioFrame, library.AudioProcessingModule
