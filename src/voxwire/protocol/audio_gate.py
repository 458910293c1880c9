"""Output audio that waits until its words have been checked: a queue in playing order, with limits.

The service sends the words of a piece of audio before it or together with it. A piece may therefore be played
when the text that had arrived before it has passed, and at least some text of its item has: audio that comes
before the first word waits for that word. What the gate holds has not been received, as far as the listener's
end (`Playback`) is concerned, so that nothing held is ever taken as heard.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ..errors import ConfigError
from .playback import Playback
from .recent import RecentSet
from .transport_events import AudioDone, AudioEvent

__all__ = ["AudioGate", "Entry", "HoldBack", "ResponseEnd", "duration_ms", "flush"]

MAX_ITEMS: Final = 256
"""Items whose text is counted; beyond that the oldest is forgotten, and its audio waits for its time-out."""
MAX_RESPONSES: Final = 256
"""Responses remembered as passed."""


@dataclass(frozen=True, slots=True)
class HoldBack:
    """How long audio may wait, and how much of it.

    Attributes:
        timeout_ms: for one piece of audio, from its arrival.
        on_timeout: `release` plays it unchecked, `stop` ends the reply as if it had been interrupted.
        max_ms: audio waiting, ms; a piece that finds more than that is treated like one that waited too long.

    Raises:
        ConfigError: if a value cannot be used.
    """

    timeout_ms: float = 1000.0
    on_timeout: Literal["release", "stop"] = "release"
    max_ms: float = 120_000.0

    def __post_init__(self) -> None:
        for name in ("timeout_ms", "max_ms"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} of a hold-back must be more than 0 ms, got {getattr(self, name)!r}"
                )
        if self.on_timeout not in ("release", "stop"):
            raise ConfigError(
                f"on_timeout of a hold-back must be 'release' or 'stop', got {self.on_timeout!r}"
            )


@dataclass(frozen=True, slots=True)
class ResponseEnd:
    """No more audio will come for this response; it keeps its place behind the audio that waits."""

    response_id: str


Entry: TypeAlias = AudioEvent | AudioDone | ResponseEnd


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    characters: int
    """Of its item's text that must have passed; 0 for what is no audio."""
    ms: float
    deadline: float


class AudioGate:
    """What waits, oldest first. Times are seconds of the engine's clock, lengths ms of audio.

    Order is kept: what waits at the head holds up all behind it, also audio of other items.
    """

    def __init__(self, limits: HoldBack) -> None:
        self.limits = limits
        self.held_ms = 0.0
        self._queue: deque[_Waiting] = deque()
        self._arrived: OrderedDict[str, int] = OrderedDict()
        self._passed: OrderedDict[str, int] = OrderedDict()
        self._open = RecentSet(MAX_RESPONSES)
        self._late = RecentSet(MAX_RESPONSES)

    def __len__(self) -> int:
        return len(self._queue)

    # -- what arrives -------------------------------------------------------------------------

    def text(self, item_id: str, characters: int) -> None:
        """More words of an item arrived."""
        _store(self._arrived, item_id, self._arrived.get(item_id, 0) + characters)

    def put(self, entry: Entry, now: float) -> None:
        """Audio arrived, or news that has to stay behind audio."""
        needed, ms = 0, 0.0
        if isinstance(entry, AudioEvent):
            needed, ms = max(1, self._arrived.get(entry.item_id, 0)), duration_ms(entry)
        self._queue.append(_Waiting(entry, needed, ms, now + self.limits.timeout_ms / 1000))
        self.held_ms += ms

    # -- what is decided ----------------------------------------------------------------------

    def passed(self, response_id: str, item_id: str | None, characters: int | None) -> None:
        """The first `characters` of an item's text have passed; None: all of the response, now and later."""
        if item_id is None or characters is None:
            self._open.add(response_id)
        else:
            _store(self._passed, item_id, max(characters, self._passed.get(item_id, 0)))

    def close(self, response_id: str) -> None:
        """Let nothing more of this response through of itself."""
        self._open.discard(response_id)

    def take(self) -> Entry | None:
        """The head, if it may go; None if it has to wait, or nothing is there."""
        return self._pop() if self._queue and self._may_go(self._queue[0]) else None

    def take_overdue(self, now: float) -> Entry | None:
        """The head, if it may go or has waited too long."""
        return self._pop() if self._queue and (self.overdue(now) or self._may_go(self._queue[0])) else None

    def take_any(self) -> Entry | None:
        """The head, whatever was decided."""
        return self._pop() if self._queue else None

    def drop(self, response_id: str) -> list[AudioEvent]:
        """Remove a response's audio, which will never be played; news of its end stays."""
        dropped: list[AudioEvent] = []
        kept: deque[_Waiting] = deque()
        for waiting in self._queue:
            entry = waiting.entry
            if isinstance(entry, AudioEvent) and entry.response_id == response_id:
                dropped.append(entry)
                self.held_ms -= waiting.ms
            else:
                kept.append(waiting)
        self._queue = kept
        return dropped

    def overdue(self, now: float) -> bool:
        """Whether the head has waited too long, or too much waits."""
        if not self._queue:
            return False
        return self._queue[0].deadline <= now or self.held_ms > self.limits.max_ms

    def lateness_is_news(self) -> bool:
        """Whether the head is the first of its response to wait too long."""
        response_id = self._queue[0].entry.response_id
        news = response_id not in self._late
        self._late.add(response_id)
        return news

    def deadline(self) -> float | None:
        """When the head will have waited too long, s; None if nothing waits."""
        return self._queue[0].deadline if self._queue else None

    def _may_go(self, waiting: _Waiting) -> bool:
        entry = waiting.entry
        if not isinstance(entry, AudioEvent) or entry.response_id in self._open:
            return True
        return self._passed.get(entry.item_id, 0) >= waiting.characters

    def _pop(self) -> Entry:
        waiting = self._queue.popleft()
        # The sum is made of many small numbers: nothing waiting is exactly nothing.
        self.held_ms = self.held_ms - waiting.ms if self._queue else 0.0
        return waiting.entry


def _store(counts: OrderedDict[str, int], item_id: str, characters: int) -> None:
    counts[item_id] = characters
    counts.move_to_end(item_id)
    if len(counts) > MAX_ITEMS:
        counts.popitem(last=False)


def duration_ms(audio: AudioEvent) -> float:
    """The length of a piece of audio."""
    return len(audio.data) / audio.format.bytes_per_ms


def flush(gate: AudioGate, playback: Playback, now: float) -> bool:
    """Playback is being stopped: count what waits as received, and not as heard. True if audio waited."""
    waited = False
    while (entry := gate.take_any()) is not None:
        match entry:
            case AudioEvent():
                waited = True
                playback.received(
                    entry.response_id, entry.item_id, entry.content_index, duration_ms(entry), now
                )
            case AudioDone():
                playback.part_done(entry.item_id, entry.content_index)
            case _:
                playback.response_done(entry.response_id)
    return waited
