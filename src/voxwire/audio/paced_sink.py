"""A simulated loudspeaker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..errors import ConfigError
from ..protocol.formats import PCM16, AudioFormat
from ..protocol.playout import PlayoutModel
from .callbacks import call_logged

__all__ = ["PacedSink"]

_log = logging.getLogger("voxwire.audio")


class PacedSink:
    """A loudspeaker without a loudspeaker: plays in real time by the event loop's clock.

    It knows its position to the sample. `on_frame` gets each frame at the moment at which its last sample
    has been heard, and on an interruption the part of a frame that was heard, so that all it ever gets, put
    together, is what was heard.

    Args:
        on_frame: called with the audio, in the format given to `open`; an error in it is logged.
        frame_ms: length of a frame, ms.
        max_buffer_ms: how much may wait to be played, ms; reading pauses beyond it. A write that finds more
            than that waiting is dropped, which is logged.

    Raises:
        ConfigError: if a length is below 1 ms.
    """

    def __init__(
        self,
        on_frame: Callable[[bytes], object] | None = None,
        *,
        frame_ms: float = 20,
        max_buffer_ms: float = 120_000,
    ) -> None:
        for name, value in (("frame_ms", frame_ms), ("max_buffer_ms", max_buffer_ms)):
            if not value >= 1:
                raise ConfigError(f"{name} is {value!r}; it must be 1 ms or more")
        self.frame_ms = frame_ms
        self.max_buffer_ms = max_buffer_ms
        self.dropped_ms = 0.0
        self._on_frame = on_frame
        self._format = PCM16
        self._model = PlayoutModel()
        self._waiting = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, format: AudioFormat, /) -> None:
        """Play audio in `format` from here on; what still waits in another format is dropped."""
        if format != self._format:
            self.clear(0)
        self._format = format

    def write(self, data: bytes, /) -> None:
        """Queue behind what waits; starts at once if nothing does."""
        if self.buffered_ms() > self.max_buffer_ms:
            self._drop(self._format.duration_ms(len(data)))
            return
        now = self._now()
        self._model.write(self._format.duration_ms(len(data)), now)
        self._waiting += data
        self._schedule(now)

    def clear(self, _heard_ms: float, /) -> None:
        """Fall silent now, where this sink is; it needs nobody to tell it what was heard."""
        now = self._now()
        self._play(now)
        self._model.clear(now)
        self._waiting.clear()
        self._cancel()

    def heard_ms(self) -> float:
        """Audio played until now, ms, exact."""
        return self._model.heard_ms(self._now())

    def buffered_ms(self) -> float:
        """Audio waiting, ms."""
        return self._model.remaining_ms(self._now())

    async def drain(self) -> None:
        """Return when everything written so far, and meanwhile, has been heard."""
        # The loop may wake a nanosecond early, which is no reason to sleep again.
        rest = self.buffered_ms()
        while rest > 0.001:
            await asyncio.sleep(rest / 1000)
            rest = self.buffered_ms()
        self._play(self._now())

    async def close(self) -> None:
        """Fall silent; what was not heard is dropped. Idempotent."""
        if self._timer is not None:
            self.clear(0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _schedule(self, now: float) -> None:
        if self._timer is not None or not self._waiting:
            return
        # Counted from the end of the queue: the frame at its head ends when all behind it is left.
        behind = max(0, len(self._waiting) - self._format.size_of(self.frame_ms))
        left_ms = self._model.remaining_ms(now) - self._format.duration_ms(behind)
        self._timer = asyncio.get_running_loop().call_at(now + left_ms / 1000, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        self._play(now, whole_frames=True)
        self._schedule(now)

    def _play(self, now: float, *, whole_frames: bool = False) -> None:
        """Give out what has been heard by `now` and not been given out."""
        unheard = round(self._model.remaining_ms(now) * self._format.rate / 1000) * self._format.sample_bytes
        due = max(0, len(self._waiting) - unheard)
        size = self._format.size_of(self.frame_ms)
        while due > 0:
            count = min(size, due)
            if whole_frames and count < size and unheard:
                break
            frame = bytes(self._waiting[:count])
            del self._waiting[:count]
            due -= count
            if self._on_frame is not None:
                call_logged(self._on_frame, frame)

    def _drop(self, ms: float) -> None:
        if not self.dropped_ms:
            _log.warning("PacedSink is full (%g ms waiting): audio is dropped", self.max_buffer_ms)
        self.dropped_ms += ms

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
