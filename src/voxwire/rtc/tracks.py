"""Between aiortc's tracks and PCM: a track as a source of audio, and PCM as a track for aiortc's own classes."""

from __future__ import annotations

import asyncio
import fractions
import functools
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from ..errors import ConfigError, MissingExtraError
from .base import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["TrackReader", "pcm_of_track", "pcm_track"]

logger = logging.getLogger("voxwire")

_FRAME_BYTES = FRAME_SAMPLES * 2
_FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE


async def pcm_of_track(track: Any) -> AsyncIterator[bytes]:
    """The audio of an aiortc `MediaStreamTrack`, as PCM16 mono at 24 kHz, in the pieces it comes in.

    Ends with the track, and does not stop it.

    Raises:
        MissingExtraError: without aiortc.
        ConfigError: if it is no audio track, or gives encoded packets.
    """
    try:
        from aiortc.mediastreams import MediaStreamError
        from av import AudioFrame, AudioResampler
    except ImportError:
        raise MissingExtraError("A WebRTC track", "webrtc", "aiortc") from None
    if getattr(track, "kind", None) != "audio":
        raise ConfigError(f"an audio track is needed, not {getattr(track, 'kind', type(track).__name__)!r}")
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        if not isinstance(frame, AudioFrame):
            raise ConfigError(f"the track gives {type(frame).__name__}; only audio frames can be sent")
        for piece in resampler.resample(frame):
            yield bytes(piece.planes[0])[: piece.samples * 2]


class TrackReader:
    """Hands on the audio of a track until `stop`, or until it ends; the track itself is left alone.

    Args:
        deliver: gets each piece (PCM16 mono, 24 kHz).
    """

    def __init__(self, track: Any, deliver: Callable[[bytes], None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(track, deliver))

    def stop(self) -> None:
        """Read no more."""
        self._task.cancel()

    async def _run(self, track: Any, deliver: Callable[[bytes], None]) -> None:
        try:
            async for pcm in pcm_of_track(track):
                deliver(pcm)
        except Exception:
            logger.exception("a media stream could not be read; nothing more of it is sent")


def pcm_track(max_queue_ms: float = 1000.0) -> Any:
    """An aiortc `MediaStreamTrack` that is fed with PCM: `track.write(pcm)`, `track.clear()`, `track.queued_ms`.

    For aiortc's own classes, such as `MediaRecorder` or a stock `RTCPeerConnection`. It gives 20 ms frames of PCM16
    mono at 24 kHz in real time, silence where nothing is queued; beyond `max_queue_ms` the oldest is dropped.

    Raises:
        MissingExtraError: without aiortc.
    """
    return _pcm_track_class()(max_queue_ms)


@functools.cache
def _pcm_track_class() -> Any:
    try:
        from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
        from av import AudioFrame
    except ImportError:
        raise MissingExtraError("A WebRTC track", "webrtc", "aiortc") from None

    class PcmTrack(MediaStreamTrack):
        kind = "audio"

        def __init__(self, max_queue_ms: float) -> None:
            super().__init__()
            self._limit = int(max_queue_ms) * SAMPLE_RATE // 1000 * 2
            self._queue = bytearray()
            self._start: float | None = None
            self._sent = 0  # frames

        @property
        def queued_ms(self) -> float:
            return len(self._queue) * 1000 / (2 * SAMPLE_RATE)

        def write(self, pcm: bytes) -> None:
            self._queue += pcm
            del self._queue[: max(0, len(self._queue) - self._limit)]

        def clear(self) -> None:
            self._queue.clear()

        async def recv(self) -> AudioFrame:
            if self.readyState != "live":
                raise MediaStreamError
            loop = asyncio.get_running_loop()
            if self._start is None:
                self._start = loop.time()
            await asyncio.sleep(self._start + self._sent * _FRAME_SECONDS - loop.time())
            pcm = bytes(self._queue[:_FRAME_BYTES])
            del self._queue[:_FRAME_BYTES]
            frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
            frame.planes[0].update(pcm.ljust(_FRAME_BYTES, b"\0"))
            frame.sample_rate = SAMPLE_RATE
            frame.time_base = fractions.Fraction(1, SAMPLE_RATE)
            frame.pts = self._sent * FRAME_SAMPLES
            self._sent += 1
            return frame

    return PcmTrack
