"""Audio waiting to be sent, for a library that packs it into RTP itself."""

from __future__ import annotations

from .base import FRAME_MS, FRAME_SAMPLES

__all__ = ["PcmQueue"]

_FRAME_BYTES = FRAME_SAMPLES * 2
_PER_MS = _FRAME_BYTES / FRAME_MS
_SILENCE = bytes(_FRAME_BYTES)


class PcmQueue:
    """PCM16 mono at 24 kHz in, one frame of 20 ms out at every tick.

    Args:
        max_queue_ms: what is beyond it is dropped, the oldest first; None is no limit.
    """

    def __init__(self, max_queue_ms: float | None) -> None:
        self._queue = bytearray()
        self._limit = None if max_queue_ms is None else int(max_queue_ms * _PER_MS) & ~1
        self._sent = 0
        self._stale = False  # what waits is less than a frame, and was so at the last tick

    @property
    def sent_ms(self) -> float:
        """Audio given out since the beginning, ms; silence does not count."""
        return self._sent / _PER_MS

    @property
    def queued_ms(self) -> float:
        """Audio waiting, ms."""
        return len(self._queue) / _PER_MS

    def write(self, pcm: bytes) -> None:
        """Queue audio; an odd last byte is ignored."""
        self._queue += pcm if len(pcm) % 2 == 0 else pcm[:-1]
        if self._limit is not None and len(self._queue) > self._limit:
            del self._queue[: len(self._queue) - self._limit]

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()
        self._stale = False

    def tick(self) -> bytes:
        """The next 20 ms: silence if nothing waits; a part of a frame waits for one tick, then is filled up."""
        waiting = len(self._queue)
        if waiting == 0 or (waiting < _FRAME_BYTES and not self._stale):
            self._stale = waiting > 0
            return _SILENCE
        frame = bytes(self._queue[:_FRAME_BYTES])
        del self._queue[:_FRAME_BYTES]
        self._sent += len(frame)
        self._stale = False
        return frame.ljust(_FRAME_BYTES, b"\0")
