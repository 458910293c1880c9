"""Their `RealtimePlaybackTracker`, as what an engine asks: how much was heard."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from ..audio.base import AudioSink
from ..protocol.formats import PCM16, AudioFormat
from ..protocol.transport_events import AudioEvent

__all__ = ["TrackedSink"]

MAX_PARTS: Final = 256


class TrackedSink:
    """Says what a playback tracker says was played; plays nothing itself.

    Their tracker counts per content part, a sink counts the whole stream: where each part begins in it is
    learned from the audio events.

    Args:
        tracker: a `RealtimePlaybackTracker`, told when playback is cut.
        inner: a sink that plays, if the transport has one.
    """

    def __init__(self, tracker: Any, inner: AudioSink | None) -> None:
        self._tracker = tracker
        self._inner = inner
        self._format = PCM16
        self._end_ms = 0.0
        self._heard_ms = 0.0
        self._begins: OrderedDict[tuple[str, int], float] = OrderedDict()

    @property
    def inner(self) -> AudioSink | None:
        """The transport's own sink."""
        return self._inner

    def took(self, event: AudioEvent) -> None:
        """This audio has just been written."""
        key = (event.item_id, event.content_index)
        if key not in self._begins:
            self._begins[key] = self._end_ms - event.format.duration_ms(len(event.data))
            while len(self._begins) > MAX_PARTS:
                self._begins.popitem(last=False)

    async def open(self, format: AudioFormat, /) -> None:
        """Get ready for this format."""
        self._format = format
        if self._inner is not None:
            await self._inner.open(format)

    def write(self, data: bytes, /) -> None:
        """Count it."""
        self._end_ms += self._format.duration_ms(len(data))
        if self._inner is not None:
            self._inner.write(data)

    def clear(self, heard_ms: float, /) -> None:
        """What was not heard never will be; the tracker is told."""
        self._end_ms = self._heard_ms = heard_ms
        self._begins.clear()
        if self._inner is not None:
            self._inner.clear(heard_ms)
        self._tracker.on_interrupted()

    def heard_ms(self) -> float | None:
        """As the tracker says; it never goes back."""
        state = self._tracker.get_state()
        begin = self._begins.get((state["current_item_id"], state["current_item_content_index"] or 0))
        if begin is not None:
            heard = min(begin + (state["elapsed_ms"] or 0.0), self._end_ms)
            self._heard_ms = max(self._heard_ms, heard)
        return self._heard_ms

    def buffered_ms(self) -> float:
        """What the inner sink has; a player outside is not waited for."""
        return self._inner.buffered_ms() if self._inner is not None else 0.0

    async def close(self) -> None:
        """Close the inner sink."""
        if self._inner is not None:
            await self._inner.close()
