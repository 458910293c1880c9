"""What was received, what was heard of it, and where an interrupted reply is cut.

The service sends faster than anyone listens, so playback outlives the response: a barge-in
three seconds into a ten-second reply must cut at three seconds although everything was received
long ago. All positions are ms of output audio since the connection opened, as one stream in
the order of arrival; a track is one content part's place in it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from .machines import PLAYBACK
from .playout import PlayoutModel
from .transport_events import Truncation

__all__ = ["Cut", "Interruption", "Playback"]

MAX_DISCARDED = 256
"""Interrupted responses remembered, to drop their late audio."""


@dataclass(slots=True)
class _Track:
    response_id: str
    item_id: str
    content_index: int
    start_ms: float
    received_ms: float = 0.0
    done: bool = False

    @property
    def end_ms(self) -> float:
        return self.start_ms + self.received_ms


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one content part was cut: the truncation to send, and what had been received of it (ms)."""

    truncation: Truncation
    received_ms: float


@dataclass(frozen=True, slots=True)
class Interruption:
    """The result of stopping the playback.

    Attributes:
        cuts: one per content part that was not heard to its end, in playing order.
        heard_ms: the position on the whole stream.
    """

    cuts: tuple[Cut, ...]
    heard_ms: float


class Playback:
    """The listener's end of the connection."""

    def __init__(self) -> None:
        self.state = PLAYBACK.initial
        self._tracks: deque[_Track] = deque()
        self._discarded: OrderedDict[str, None] = OrderedDict()
        self._model = PlayoutModel()
        self._reported: float | None = None
        self._end_ms = 0.0

    @property
    def playing(self) -> bool:
        """Whether there is audio that was not heard yet, or more to come."""
        return self.state == "playing"

    def is_discarded(self, response_id: str) -> bool:
        """Whether late audio of this response must be dropped."""
        return response_id in self._discarded

    def received(self, response_id: str, item_id: str, content_index: int, ms: float, now: float) -> bool:
        """Audio arrived. True if the listener begins to hear something after silence."""
        self._model.write(ms, now)
        track = self._tracks[-1] if self._tracks else None
        if track is None or track.item_id != item_id or track.content_index != content_index:
            self._prune(now)
            track = _Track(response_id, item_id, content_index, self._end_ms)
            self._tracks.append(track)
        track.received_ms += ms
        self._end_ms += ms
        begins = self.state == "silent"
        if begins:
            self.state = PLAYBACK.step(self.state, "audio received")
        return begins

    def part_done(self, item_id: str, content_index: int) -> None:
        """No more audio will come for this content part."""
        for track in self._tracks:
            if track.item_id == item_id and track.content_index == content_index:
                track.done = True

    def response_done(self, response_id: str) -> None:
        """No more audio will come for this response."""
        self._discarded.pop(response_id, None)
        for track in self._tracks:
            if track.response_id == response_id:
                track.done = True

    def report(self, heard_ms: float | None) -> None:
        """The sink says how much it has played, ms since the connection opened; None if it cannot."""
        if heard_ms is None:
            return
        bounded = min(max(0.0, heard_ms), self._end_ms)
        self._reported = bounded if self._reported is None else max(self._reported, bounded)

    def report_item(self, item_id: str, content_index: int, heard_ms: float) -> None:
        """The sink says how much of one content part it has played (playback marks of a phone line)."""
        for track in self._tracks:
            if track.item_id == item_id and track.content_index == content_index:
                self.report(track.start_ms + min(max(0.0, heard_ms), track.received_ms))

    def heard_ms(self, now: float) -> float:
        """What was heard: the sink's word if it has one, else real-time playback."""
        return self._model.heard_ms(now) if self._reported is None else self._reported

    def remaining_ms(self, now: float) -> float:
        """What was received and not heard yet."""
        return max(0.0, self._end_ms - self.heard_ms(now))

    def finish(self, now: float) -> bool:
        """Check for the end. True if everything was heard and nothing more is to come."""
        if self.state != "playing" or self.remaining_ms(now) > 1e-6:
            return False
        if any(not track.done for track in self._tracks):
            return False
        self._tracks.clear()
        self.state = PLAYBACK.step(self.state, "everything heard")
        return True

    def all_received(self) -> bool:
        """Whether every content part in the queue is complete."""
        return all(track.done for track in self._tracks)

    def interrupt(self, now: float, active_responses: tuple[str, ...] = ()) -> Interruption:
        """Stop: find out what was heard of each part and drop what comes late.

        Args:
            active_responses: responses being generated, whose audio must not be played any more.
        """
        heard = self.heard_ms(now)
        cuts: list[Cut] = []
        for track in self._tracks:
            if not track.done:
                self.discard(track.response_id)
            part_heard = min(max(0.0, heard - track.start_ms), track.received_ms)
            # Whole ms, rounded down: never beyond what was received. A finished part that lacks
            # less than that was heard.
            end_ms = int(part_heard + 1e-6)
            if track.done and end_ms >= int(track.received_ms):
                continue
            cuts.append(Cut(Truncation(track.item_id, track.content_index, end_ms), track.received_ms))
        for response_id in active_responses:
            self.discard(response_id)
        self._tracks.clear()
        self._model.clear(now)
        # What was dropped will never be heard: later audio joins on here.
        self._end_ms = heard
        if self.state == "playing":
            self.state = PLAYBACK.step(self.state, "interrupted")
        return Interruption(tuple(cuts), heard)

    def discard(self, response_id: str) -> None:
        """Drop whatever audio of this response is still to come."""
        self._discarded[response_id] = None
        while len(self._discarded) > MAX_DISCARDED:
            self._discarded.popitem(last=False)

    def _prune(self, now: float) -> None:
        heard = self.heard_ms(now)
        while self._tracks and self._tracks[0].done and self._tracks[0].end_ms <= heard:
            self._tracks.popleft()
