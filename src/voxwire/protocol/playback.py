"""What was received, what was heard of it, and where an interrupted reply is cut.

The service sends faster than anyone listens, so playback outlives the response: a barge-in
three seconds into a ten-second reply must cut at three seconds although everything was received
long ago. All positions are ms of output audio since the connection opened, as one stream in
the order of arrival. A content part may lie in it in several segments, with
others in between.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .machines import PLAYBACK
from .playout import PlayoutModel
from .recent import RecentSet
from .transport_events import ItemTruncation

__all__ = ["Cut", "Interruption", "Part", "Playback"]

MAX_DISCARDED = 256
"""Interrupted responses remembered, to drop their late audio."""
MAX_PARTS = 256
"""Content parts in the queue; beyond that the oldest is taken as heard."""
MAX_SEGMENTS = 4096
"""Stretches of unheard audio; beyond that the oldest is taken as heard."""
END_TOLERANCE_MS = 1.0
"""A sink that counts in frames of its own may never reach the last fraction of a millisecond."""


@dataclass(slots=True)
class Part:
    """One content part, from its first sample until it is complete and heard; `received_ms` of it have come."""

    response_id: str
    item_id: str
    content_index: int
    received_ms: float = 0.0
    done: bool = False
    segments: int = 0


@dataclass(slots=True)
class _Segment:
    """A stretch of the stream: `ms` of one part, `offset_ms` into that part."""

    part: Part
    start_ms: float
    offset_ms: float
    ms: float = 0.0

    def unheard_ms(self, heard_ms: float) -> float:
        return max(0.0, self.start_ms + self.ms - max(heard_ms, self.start_ms))


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one content part was cut: the truncation to send, and what had been received of it (ms)."""

    truncation: ItemTruncation
    received_ms: float
    response_id: str


@dataclass(frozen=True, slots=True)
class Interruption:
    """The result of stopping the playback.

    Attributes:
        cuts: the parts that were not heard to their end, in playing order.
        heard_ms: the position on the whole stream.
        unfinished: responses that were being heard and have not sent all of their audio.
    """

    cuts: tuple[Cut, ...]
    heard_ms: float
    unfinished: tuple[str, ...] = ()


class Playback:
    """The listener's end of the connection.

    Attributes:
        discarded: responses whose late audio must be dropped.
    """

    __slots__ = (
        "_end_ms",
        "_model",
        "_parts",
        "_queue",
        "_reported",
        "discarded",
        "state",
    )

    def __init__(self) -> None:
        self.state = PLAYBACK.initial
        self._parts: dict[tuple[str, int], Part] = {}
        self._queue: deque[_Segment] = deque()
        self.discarded = RecentSet(MAX_DISCARDED)
        self._model = PlayoutModel()
        self._reported: float | None = None
        self._end_ms = 0.0

    def __len__(self) -> int:
        """Stretches of audio in the queue."""
        return len(self._queue)

    @property
    def playing(self) -> bool:
        """Whether there is audio that was not heard yet, or more to come."""
        return self.state == "playing"

    def is_discarded(self, response_id: str) -> bool:
        """Whether late audio of this response must be dropped."""
        return response_id in self.discarded

    def received(self, response_id: str, item_id: str, content_index: int, ms: float, now: float) -> bool:
        """Audio arrived. True if the listener begins to hear something after silence."""
        self._model.write(ms, now)
        segment = self._queue[-1] if self._queue else None
        if (
            segment is None
            or segment.part.item_id != item_id
            or segment.part.content_index != content_index
            or segment.part.done
        ):
            segment = self._new_segment(response_id, item_id, content_index, now)
        segment.ms += ms
        segment.part.received_ms += ms
        self._end_ms += ms
        if self.state == "playing":
            return False
        self.state = PLAYBACK.step(self.state, "audio received")
        return True

    def _new_segment(self, response_id: str, item_id: str, content_index: int, now: float) -> _Segment:
        self._prune(now)
        key = (item_id, content_index)
        part = self._parts.get(key)
        if part is None:
            if len(self._parts) >= MAX_PARTS:
                self._drop_oldest_part()
            part = self._parts[key] = Part(response_id, item_id, content_index)
        if len(self._queue) >= MAX_SEGMENTS:
            self._queue.popleft().part.segments -= 1
        part.done = False
        part.segments += 1
        segment = _Segment(part, self._end_ms, part.received_ms)
        self._queue.append(segment)
        return segment

    def part_done(self, item_id: str, content_index: int) -> None:
        """No more audio will come for this content part."""
        part = self._parts.get((item_id, content_index))
        if part is not None:
            part.done = True

    def part_received_ms(self, item_id: str, content_index: int) -> float:
        """How much of a content part that is being received was handed on, ms."""
        part = self._parts.get((item_id, content_index))
        return part.received_ms if part is not None else 0.0

    def open_parts(self) -> tuple[Part, ...]:
        """The content parts of which more audio may come."""
        return tuple(part for part in self._parts.values() if not part.done)

    def response_done(self, response_id: str) -> None:
        """No more audio will come for this response."""
        self.discarded.discard(response_id)
        for part in self._parts.values():
            if part.response_id == response_id:
                part.done = True

    def report(self, heard_ms: float | None) -> None:
        """The sink says how much it has played, ms since the connection opened; None if it cannot."""
        if heard_ms is None:
            return
        bounded = min(max(0.0, heard_ms), self._end_ms)
        self._reported = bounded if self._reported is None else max(self._reported, bounded)

    def report_item(self, item_id: str, content_index: int, heard_ms: float) -> None:
        """The sink says how much of one content part it has played (playback marks of a phone line)."""
        for segment in reversed(self._queue):
            part = segment.part
            if (part.item_id, part.content_index) == (item_id, content_index):
                into = heard_ms - segment.offset_ms
                if into >= 0 or segment.offset_ms == 0:
                    self.report(segment.start_ms + min(max(0.0, into), segment.ms))
                    return

    def heard_ms(self, now: float) -> float:
        """What was heard: the sink's word if it has one, else real-time playback."""
        return self._model.heard_ms(now) if self._reported is None else self._reported

    def remaining_ms(self, now: float) -> float:
        """What was received and not heard yet."""
        return max(0.0, self._end_ms - self.heard_ms(now))

    def waiting(self, now: float) -> frozenset[str]:
        """The responses whose audio is being heard, or is to be."""
        heard = self.heard_ms(now)
        unheard = {segment.part.response_id for segment in self._queue if segment.unheard_ms(heard) > 0}
        return frozenset(unheard | {part.response_id for part in self._parts.values() if not part.done})

    def finish(self, now: float) -> bool:
        """Check for the end. True if everything was heard and nothing more is to come."""
        if self.state != "playing" or not self.all_received():
            return False
        tolerance = 1e-6 if self._reported is None else END_TOLERANCE_MS
        if self.remaining_ms(now) > tolerance:
            return False
        self._clear()
        self.state = PLAYBACK.step(self.state, "everything heard")
        return True

    def all_received(self) -> bool:
        """Whether every content part in the queue is complete."""
        return all(part.done for part in self._parts.values())

    def interrupt(self, now: float, active_responses: tuple[str, ...] = ()) -> Interruption:
        """Stop: find out what was heard of each part and drop what comes late.

        Args:
            active_responses: responses being generated, whose audio must not be played any more.
        """
        heard = self.heard_ms(now)
        unheard: dict[int, float] = {}
        for segment in self._queue:
            key = id(segment.part)
            unheard[key] = unheard.get(key, 0.0) + segment.unheard_ms(heard)
        cuts: list[Cut] = []
        unfinished: dict[str, None] = {}
        for part in self._parts.values():
            if not part.done:
                unfinished[part.response_id] = None
            cut = _cut(part, unheard.get(id(part), 0.0))
            if cut is not None:
                cuts.append(cut)
        for response_id in (*unfinished, *active_responses):
            self.discarded.add(response_id)
        self._clear()
        self._model.clear(now)
        # What was dropped will never be heard: later audio joins on here.
        self._end_ms = heard
        if self.state == "playing":
            self.state = PLAYBACK.step(self.state, "interrupted")
        return Interruption(tuple(cuts), heard, tuple(unfinished))

    def discard(self, response_id: str) -> None:
        """Drop whatever audio of this response is still to come."""
        self.discarded.add(response_id)

    def _clear(self) -> None:
        self._queue.clear()
        self._parts.clear()

    def _prune(self, now: float) -> None:
        """Forget what was heard; a part stays until it is complete as well."""
        heard = self.heard_ms(now)
        while self._queue and self._queue[0].start_ms + self._queue[0].ms <= heard:
            part = self._queue.popleft().part
            part.segments -= 1
        for key in [key for key, part in self._parts.items() if part.done and not part.segments]:
            del self._parts[key]

    def _drop_oldest_part(self) -> None:
        part = self._parts.pop(next(iter(self._parts)))
        self._queue = deque(segment for segment in self._queue if segment.part is not part)


def _cut(part: Part, unheard_ms: float) -> Cut | None:
    # Whole ms, rounded down: never beyond what was received. A complete part that lacks
    # less than that was heard.
    end_ms = int(max(0.0, part.received_ms - unheard_ms) + 1e-6)
    if part.done and end_ms >= int(part.received_ms):
        return None
    received = int(part.received_ms)
    where = ItemTruncation(part.item_id, part.content_index, min(end_ms, received), received)
    return Cut(where, part.received_ms, part.response_id)
