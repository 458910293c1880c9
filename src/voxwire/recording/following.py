"""Finding the user's turns in what the service tells, for a timeline that nobody directs."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.items import InputAudio, InputText, MessageItem
from ..protocol.transport_events import (
    ConnectionChange,
    HistoryAdded,
    TurnStarted,
    UserSpeechStarted,
    UserSpeechStopped,
)
from .timeline import Timeline

__all__ = ["TurnFollower"]


class TurnFollower:
    """Begins and ends the turns of a timeline; give it each event before the timeline.

    The service counts the audio it was sent; as that was sent in real time, its positions are times.

    Args:
        sent_ms: length of the user's audio sent on this connection, ms.
        silence_ms: how long the service waits before it says that the user has stopped, ms.
    """

    def __init__(
        self, timeline: Timeline, sent_ms: Callable[[], float], silence_ms: Callable[[], float]
    ) -> None:
        self._timeline = timeline
        self._sent_ms = sent_ms
        self._silence_ms = silence_ms
        self._committed_ms = 0.0
        self._spoken = ""

    def take(self, event: object, at: float) -> None:
        """Something happened at `at`, ms since the recording began."""
        match event:
            case UserSpeechStarted(item_id=item_id, audio_start_ms=start):
                self._spoken = item_id
                self._timeline.user_begins("", self._when(start, at))
            case UserSpeechStopped(audio_end_ms=end):
                self._timeline.user_ends(self._when(end - self._silence_ms(), at))
                self._committed_ms = self._sent_ms()
            case HistoryAdded(item=MessageItem(role="user") as item):
                self._message(item, at)
            case TurnStarted() if not self._timeline.turns:
                self._timeline.user_begins("", at, typed=True)  # the agent speaks first
            case ConnectionChange(status="connecting"):
                self._committed_ms = 0.0
            case _:
                pass

    def _message(self, item: MessageItem, at: float) -> None:
        if any(isinstance(part, InputText) for part in item.content):
            self._timeline.user_begins(item.text, at, typed=True)
        elif item.item_id != self._spoken and any(isinstance(part, InputAudio) for part in item.content):
            # A turn that the application ended itself.
            self._timeline.user_begins("", self._when(self._committed_ms, at))
            self._timeline.user_ends(at)
            self._committed_ms = self._sent_ms()

    def _when(self, position_ms: float, at: float) -> float:
        before = self._timeline.turns[-1].end_ms or 0.0 if self._timeline.turns else 0.0
        return min(at, max(before, at - max(0.0, self._sent_ms() - position_ms)))
