"""What a call hears: the audio of responses in one row, and how far it was played.

The media plane plays what it is given in real time, so a response is usually finished long
before it was heard. Positions are milliseconds of the plane's own row, silence left out.

The order of events around an interruption (speech started, output audio buffer cleared, item
truncated) is the service's, as seen in logs of its WebRTC calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...protocol.formats import PCM16
from .actions import CancelTimer, ClearPlayout, Play, SetTimer
from .conversation import Conversation
from .items import ServerItem
from .machines import PLAYOUT
from .outbox import Outbox

__all__ = ["PLAYOUT_TIMER", "Playout"]

PLAYOUT_TIMER = "playout"
"""Fires when something is expected to have been played."""

LOOK_SECONDS = 0.02
"""How long to wait for a plane that has not come as far as expected: one packet."""

SLACK_MS = 0.01
"""For sums of fractions; less than one sample."""


@dataclass(slots=True)
class _Part:
    """The audio of one message in the row."""

    item: ServerItem
    start_ms: float
    end_ms: float

    def played(self, position_ms: float) -> float:
        return min(max(position_ms - self.start_ms, 0.0), self.end_ms - self.start_ms)


@dataclass(slots=True)
class _Track:
    """The audio of one response.

    Attributes:
        held: audio that waits until the response before it has all of its own in the row.
        made: the response is over, nothing will be added.
    """

    response_id: str
    state: str = PLAYOUT.initial
    parts: list[_Part] = field(default_factory=list["_Part"])
    held: list[tuple[ServerItem, bytes]] = field(default_factory=list["tuple[ServerItem, bytes]"])
    held_ms: float = 0.0
    made: bool = False

    @property
    def heard_end(self) -> float:
        """Where its audio ends in the row, as far as it is there."""
        return self.parts[-1].end_ms if self.parts else 0.0

    def step(self, event: str) -> None:
        self.state = PLAYOUT.step(self.state, event)


class Playout:
    """The row of output audio of one call.

    Args:
        played: milliseconds of the audio of `Play` that were played since the beginning.
    """

    def __init__(self, out: Outbox, conversation: Conversation, played: Callable[[], float]) -> None:
        self._out = out
        self._conversation = conversation
        self._played = played
        self._tracks: dict[str, _Track] = {}
        self._end_ms = 0.0
        self._due: float | None = None

    def ahead_ms(self, response_id: str) -> float:
        """How much audio of a response, or before it, is not played yet, ms."""
        track = self._tracks.get(response_id)
        if track is None:
            return 0.0
        return track.held_ms if track.held else max(self._end_ms - self._played(), 0.0)

    # -- audio and the ends of responses ------------------------------------------------------

    def add(self, response_id: str, item: ServerItem, pcm: bytes) -> None:
        """More of a response, 24 kHz PCM16; dropped if its play-out was cleared. `look` is due then."""
        track = self._tracks.setdefault(response_id, _Track(response_id))
        if track.state == "cleared":
            return
        if self._writer() is track:
            self._write(track, item, pcm)
        else:
            track.held.append((item, pcm))
            track.held_ms += PCM16.duration_ms(len(pcm))

    def made(self, response_id: str, now: float) -> None:
        """The response is over."""
        track = self._tracks.get(response_id)
        if track is None:
            return
        track.made = True
        if track.state == "cleared":
            del self._tracks[response_id]
        self._release()
        self.look(now)

    def _writer(self) -> _Track | None:
        """Whose audio goes into the row: the first response that is not all in it."""
        return next((t for t in self._live() if not t.made or t.held), None)

    def _live(self) -> Iterator[_Track]:
        return (track for track in self._tracks.values() if track.state in ("queued", "playing"))

    def _release(self) -> None:
        while (track := self._writer()) is not None and track.held:
            held, track.held, track.held_ms = track.held, [], 0.0
            for item, pcm in held:
                self._write(track, item, pcm)

    def _write(self, track: _Track, item: ServerItem, pcm: bytes) -> None:
        position = self._played()
        if position > self._end_ms - SLACK_MS:  # nothing is left: go by the plane's count
            self._end_ms = position
        start, self._end_ms = self._end_ms, self._end_ms + PCM16.duration_ms(len(pcm))
        last = track.parts[-1] if track.parts else None
        if last is not None and last.item is item:
            last.end_ms = self._end_ms
        else:
            track.parts.append(_Part(item, start, self._end_ms))
        self._out.do(Play(pcm))

    # -- what was played ----------------------------------------------------------------------

    def timer(self, now: float) -> None:
        """The timer has fired."""
        self._due = None
        self.look(now)

    def look(self, now: float) -> None:
        """Tell what was played since the last look, and when to look again."""
        position = self._played()
        for track in list(self._live()):
            if track.state == "queued" and track.parts and position > track.parts[0].start_ms + SLACK_MS:
                track.step("first sample")
                self._tell("started", track)
            if track.made and not track.held and position >= track.heard_end - SLACK_MS:
                if track.state == "playing":
                    track.step("played out")
                    self._tell("stopped", track)
                del self._tracks[track.response_id]
        self._arm(position, now)

    def _tell(self, what: str, track: _Track) -> None:
        self._out.send(f"output_audio_buffer.{what}", response_id=track.response_id)

    def _arm(self, position: float, now: float) -> None:
        waits = [self._wait_ms(track, position) for track in self._live() if track.parts]
        wait = min((wait for wait in waits if wait is not None), default=None)
        if wait is None:
            if self._due is not None:
                self._out.do(CancelTimer(PLAYOUT_TIMER))
            self._due = None
            return
        due = now + max(wait / 1000, LOOK_SECONDS)
        if self._due is None or abs(due - self._due) > LOOK_SECONDS / 2:
            self._due = due
            self._out.do(SetTimer(PLAYOUT_TIMER, due))

    @staticmethod
    def _wait_ms(track: _Track, position: float) -> float | None:
        if track.state == "queued":
            return track.parts[0].start_ms - position
        return track.heard_end - position if track.made else None

    # -- clearing -----------------------------------------------------------------------------

    def clear(self, now: float) -> bool:
        """Drop what was not played, and cut the messages there; whether there was anything to drop."""
        self.look(now)
        position = self._played()
        cut = [track for track in self._live() if track.parts or track.held]
        if not cut:
            return False
        self._out.do(ClearPlayout())
        self._end_ms = position
        for track in cut:
            track.step("cleared")
            self._tell("cleared", track)
        for track in cut:
            self._truncate(track, position)
            track.parts, track.held, track.held_ms = [], [], 0.0
            if track.made:
                del self._tracks[track.response_id]
        self._arm(position, now)
        return True

    def _truncate(self, track: _Track, position: float) -> None:
        unfinished = track.parts[-1].item if track.parts and not track.made else None
        heard = {part.item.id: (part.item, part.played(position)) for part in track.parts}
        for item, _ in track.held:
            heard.setdefault(item.id, (item, 0.0))
        for item, played_ms in heard.values():
            length = item.audio[0].duration_ms
            whole = played_ms >= length - SLACK_MS and item is not unfinished
            if whole or played_ms > length or self._conversation.get(item.id) is not item:
                continue  # or the client has cut it before
            end_ms = int(played_ms)
            self._conversation.truncate(item.id, 0, end_ms)
            self._out.send(
                "conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=end_ms
            )
