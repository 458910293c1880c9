"""Two carriers in one process with a media plane between them: messages as in `memory_pair`, and audio in real time."""

# ruff: noqa: SLF001 - the two ends are one thing

from __future__ import annotations

import asyncio
from typing import Final, Literal

from ..media.levels import SILENCE_DBFS, rms_dbfs
from ..rtc.base import FRAME_MS, FRAME_SAMPLES, RtcStats
from .base import CarrierReceiver, CarrierRequest, MediaReceiver
from .memory import MemoryCarrier

__all__ = ["MemoryMediaCarrier", "memory_media_pair"]

_FRAME_BYTES: Final = FRAME_SAMPLES * 2


class MemoryMediaCarrier(MemoryCarrier):
    """One end of a pair that carries audio as well; make them with `memory_media_pair`.

    Once both ends are open, each gets a frame of 20 ms every 20 ms of the event loop's clock: what the other end
    sends, and silence while that sends nothing.

    Args:
        limit: see `MemoryCarrier`.
        max_queue_ms: audio that may wait to go out; beyond it the oldest is dropped.
        call_id: what `call_id` says once this end is open.
        plays_itself: as if microphone and loudspeaker were the carrier's own; it carries no audio then.
    """

    far: MemoryMediaCarrier

    def __init__(
        self,
        *,
        limit: int = 4096,
        max_queue_ms: float = 400.0,
        call_id: str | None = None,
        plays_itself: bool = False,
    ) -> None:
        super().__init__(limit=limit)
        self.request: CarrierRequest | None = None
        self._call_id = call_id
        self._plays_itself = plays_itself
        self._most = int(max_queue_ms / FRAME_MS) * _FRAME_BYTES
        self._queued = bytearray()
        self._receiver: MediaReceiver | None = None
        self._muted = False
        self._timer: asyncio.TimerHandle | None = None
        self._frames = 0
        self._level = SILENCE_DBFS

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Start receiving; audio flows from the moment at which both ends are open."""
        await super().open(request, receiver)
        self.request = request
        if hasattr(receiver, "media") and not self._plays_itself:
            self._receiver = receiver  # type: ignore[assignment]  # it has what a MediaReceiver has
        self.media_state("connected")
        for end in (self, self.far):
            if end.request is not None and end.far.request is not None and end._timer is None:
                end._wait(asyncio.get_running_loop().time())

    @property
    def call_id(self) -> str | None:
        """The name of this call, while it is open."""
        return self._call_id if self.request is not None else None

    @property
    def plays_itself(self) -> bool:
        """As it was made."""
        return self._plays_itself

    @property
    def muted(self) -> bool:
        """Whether this end sends silence."""
        return self._muted

    def send_media(self, pcm: bytes, /) -> None:
        """Queue audio for the other end."""
        self._queued += pcm
        del self._queued[: max(0, len(self._queued) - self._most)]

    def media_queued_ms(self) -> float:
        """Audio that waits to go out, ms."""
        return len(self._queued) / _FRAME_BYTES * FRAME_MS

    def mute_media(self, muted: bool, /) -> None:
        """Send silence in place of audio, or no longer."""
        self._muted = muted

    def media_state(self, state: Literal["connected", "disconnected", "lost"], reason: str = "") -> None:
        """Tell this end's receiver that the media path changed."""
        if self._receiver is not None:
            self._receiver.media_state(state, reason)

    def stats(self) -> RtcStats:
        """Frames and levels; nothing is ever lost here."""
        return RtcStats(
            packets_sent=self._frames,
            packets_received=self.far._frames,
            input_level=self._level,
            output_level=self.far._level,
        )

    def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        due += FRAME_MS / 1000
        self._timer = loop.call_at(due, self._frame, max(due, loop.time() - 1.0))

    def _frame(self, due: float) -> None:
        """The next 20 ms go to the other end."""
        self._timer = None
        if self._how is not None or self.far._how is not None:
            return
        frame = bytes(self._queued[:_FRAME_BYTES])
        del self._queued[:_FRAME_BYTES]
        frame = b"" if self._muted else frame
        frame += bytes(_FRAME_BYTES - len(frame))
        self._frames += 1
        self._level = rms_dbfs(frame)
        if self.far._receiver is not None:
            self.far._receiver.media(frame)
        self._wait(due)


def memory_media_pair(
    *, max_queue_ms: float = 400.0, call_id: str | None = "rtc_memory"
) -> tuple[MemoryMediaCarrier, MemoryMediaCarrier]:
    """Two connected carriers with a media plane; `open` each with its own receiver."""
    left = MemoryMediaCarrier(max_queue_ms=max_queue_ms, call_id=call_id)
    right = MemoryMediaCarrier(max_queue_ms=max_queue_ms, call_id=call_id)
    left.peer = left.far = right
    right.peer = right.far = left
    return left, right
