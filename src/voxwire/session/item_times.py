"""When each item of a conversation was said or heard."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..protocol.formats import PCM16
from ..protocol.history_export import ItemTimes
from ..protocol.items import InputAudio, MessageItem
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStopped,
    ConnectionChange,
    HistoryAdded,
    UserSpeechStarted,
    UserSpeechStopped,
)
from ..transports.base import RealtimeTransportLayer

__all__ = ["ItemClock"]

MAX_ITEMS: Final = 4096
"""Items whose times are remembered; beyond that the oldest is forgotten."""


class ItemClock:
    """Follows a transport's events. Times are ms since the last connection began.

    The agent's speech is taken to be played in real time, each item behind the one before it, until the transport
    says that it fell silent. The user's speech ends when the service says so, and is as long as it says.
    """

    __slots__ = (
        "_attached",
        "_began",
        "_format",
        "_item_begin",
        "_item_bytes",
        "_item_id",
        "_queue_end",
        "_speech_start_ms",
        "_times",
        "_transport",
    )

    def __init__(self, transport: RealtimeTransportLayer) -> None:
        self._transport = transport
        self._times: OrderedDict[str, ItemTimes] = OrderedDict()
        self._began = 0.0
        self._queue_end = 0.0
        self._speech_start_ms = 0
        self._item_id = ""
        """Whose audio arrives; its length is added up, and only looked at when somebody asks."""
        self._item_begin = 0.0
        self._item_bytes = 0
        self._format = PCM16
        self._attached: list[tuple[str, Callable[[Any], None]]] = []

    @property
    def times(self) -> Mapping[str, ItemTimes]:
        """What is known, by item id."""
        self._settle()
        return dict(self._times)

    def attach(self) -> None:
        """Begin to follow; does nothing if it has begun."""
        if self._attached:
            return
        listeners: Mapping[str, Callable[[Any], None]] = {
            "connection_change": self._connection,
            "audio": self._audio,
            "audio_interrupted": self._interrupted,
            "audio_stopped": self._stopped,
            "user_speech_started": self._user_started,
            "user_speech_stopped": self._user_stopped,
            "history_added": self._added,
        }
        for name, listener in listeners.items():
            self._transport.on(name, listener)
            self._attached.append((name, listener))

    def detach(self) -> None:
        """Follow no more; what is known stays."""
        for name, listener in self._attached:
            self._transport.off(name, listener)
        self._attached.clear()

    def _now(self) -> float:
        return (asyncio.get_running_loop().time() - self._began) * 1000

    def _connection(self, event: ConnectionChange) -> None:
        if event.status == "connecting":
            self._times.clear()
            self._began = asyncio.get_running_loop().time()
            self._silence()

    def _audio(self, event: AudioEvent) -> None:
        if event.item_id == self._item_id:  # fifty times a second: no more than this
            self._item_bytes += len(event.data)
            return
        self._settle()
        self._item_id, self._format, self._item_bytes = event.item_id, event.format, len(event.data)
        self._item_begin = max(self._now(), self._queue_end)

    def _settle(self) -> None:
        """Write down how long the audio is that has come."""
        if self._item_id:
            self._queue_end = self._item_begin + self._format.duration_ms(self._item_bytes)
            known = self._times.get(self._item_id)
            begin = known.begin_ms if known is not None else self._item_begin
            self._put(self._item_id, begin, self._queue_end)

    def _silence(self) -> None:
        """The queue is empty: what comes next is heard at once."""
        self._item_id = ""
        self._queue_end = 0.0

    def _interrupted(self, event: AudioInterrupted) -> None:
        self._settle()
        for cut in event.truncations:
            known = self._times.get(cut.item_id)
            if known is not None:
                self._put(cut.item_id, known.begin_ms, known.begin_ms + cut.audio_end_ms)
        self._silence()

    def _stopped(self, _event: AudioStopped) -> None:
        self._settle()
        self._silence()
        now = self._now()
        for item_id in reversed(self._times):
            begin, end, spoken = self._times[item_id]
            if not spoken or end is None or end <= now:
                break
            self._put(item_id, min(begin, now), now)

    def _user_started(self, event: UserSpeechStarted) -> None:
        self._speech_start_ms = event.audio_start_ms
        self._put(event.item_id, self._now(), None)

    def _user_stopped(self, event: UserSpeechStopped) -> None:
        now = self._now()
        known = self._times.get(event.item_id)
        length = max(0.0, event.audio_end_ms - self._speech_start_ms)
        # It began a little before the service noticed.
        begin = min(known.begin_ms, now - length) if known is not None else now - length
        self._put(event.item_id, max(0.0, begin), now)

    def _added(self, event: HistoryAdded) -> None:
        item = event.item
        if not isinstance(item, MessageItem) or item.item_id in self._times or item.role == "assistant":
            return
        spoken = any(isinstance(part, InputAudio) for part in item.content)
        self._put(item.item_id, self._now(), None, spoken=spoken)

    def _put(self, item_id: str, begin: float, end: float | None, *, spoken: bool = True) -> None:
        self._times[item_id] = ItemTimes(begin, end, spoken)
        while len(self._times) > MAX_ITEMS:
            self._times.popitem(last=False)
