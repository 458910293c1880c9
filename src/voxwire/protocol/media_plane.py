"""A service that plays its audio itself (WebRTC, SIP): which reply is heard, and what each frame belongs to.

There the audio comes as frames in real time, beside the events, and says nothing of itself. The service tells
with `output_audio_buffer.started`, `stopped` and `cleared` whose audio it is (Realtime API reference, server
events, "WebRTC/SIP only"). Frames and events take different ways through the network, so that either may be
a little ahead of the other.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from .items import MessageItem, OutputAudio, RealtimeItem
from .machines import MEDIA
from .recent import RecentSet

__all__ = ["TAIL", "FrameFate", "MediaPlane"]

TAIL: Final = 0.5
"""Seconds that audio may be on its way after the service said that it ended or was cleared."""
UNCLEARED: Final = 2.0
"""Seconds after an interruption in which the service has to say that it cleared its audio."""
CLEARED_SILENCE_MS: Final = 100.0
"""So much silence after the service cleared its audio, and none of it is on its way any more; words have pauses."""
EARLY_SILENCE_MS: Final = 400.0
"""Sound that no `started` followed, and so much silence behind it, was no reply."""
MAX_RESPONSES: Final = 64
"""Responses whose item, or whose end, is remembered."""
MS_PER_CHARACTER: Final = 65.0
"""How long a character of a transcript is spoken, until this voice has finished a reply."""
LEARNED_CHARACTERS: Final = 40
"""A reply shorter than that says little about the pace of the voice."""

FrameFate: TypeAlias = Literal["ignore", "play", "drop", "over"]
"""What happens to a frame; `over` also ends what was being heard."""


class MediaPlane:
    """What the service is playing. Times are `now` in seconds of any monotonic clock.

    Attributes:
        state: of the table `MEDIA`.
        response_id: whose audio this is; empty if nobody said so.
        uncleared: responses to be cleared at the service if they begin to play after all.
    """

    def __init__(self) -> None:
        self.state = MEDIA.initial
        self.response_id = ""
        self.uncleared = RecentSet(MAX_RESPONSES)
        self._parts: dict[str, tuple[str, int]] = {}
        self._expected = ""
        self._complete = RecentSet(MAX_RESPONSES)
        self._since = 0.0
        self._quiet_ms = 0.0
        self._characters = 0
        self._spoken_ms = 0.0

    def _step(self, event: str, now: float) -> None:
        self.state = MEDIA.step(self.state, event)
        self._since = now
        self._quiet_ms = 0.0

    @property
    def quiet(self) -> bool:
        """Whether a silent frame means nothing now."""
        return self.state == "quiet"

    # -- whose audio it is ------------------------------------------------------------------

    def note_part(self, response_id: str, item_id: str, content_index: int) -> None:
        """A response has this spoken part. The first is taken for all of its audio: frames carry no name."""
        if not response_id or not item_id or response_id in self._parts:
            return
        self._parts[response_id] = (item_id, content_index)
        self._expected = response_id
        if len(self._parts) > MAX_RESPONSES:
            del self._parts[next(iter(self._parts))]

    def awaits(self, response_id: str) -> bool:
        """Whether this is the latest response with a spoken part, and the service has not begun to play it."""
        return bool(response_id) and response_id == self._expected

    def whose(self) -> tuple[str, str, int]:
        """Response, item and content part of the audio that is heard now; empty where not known."""
        response_id = self.response_id or (self._expected if self.state == "early" else "")
        return (response_id, *self._parts.get(response_id, ("", 0)))

    # -- frames -----------------------------------------------------------------------------

    def frame(self, silent: bool, ms: float, now: float) -> FrameFate:
        """A frame of `ms` arrived; `silent` if there is nothing to hear in it."""
        if self.state == "stopping" and now - self._since > UNCLEARED:
            self._fall_quiet("too long", now)
        elif self.state == "stopped":
            self._quiet_ms = self._quiet_ms + ms if silent else 0.0
            if self._quiet_ms >= CLEARED_SILENCE_MS or now - self._since > TAIL:
                self._fall_quiet("silence" if silent else "too long", now)
        match self.state:
            case "playing":
                return "play"
            case "stopping" | "stopped":
                return "drop"
            case "quiet":
                return "ignore" if silent else self._begin_early(now)
            case "early":
                return self._early(silent, ms, now)
            case _:  # ending
                if silent:
                    self._fall_quiet("silence", now)
                    return "over"
                return "play"

    def _begin_early(self, now: float) -> FrameFate:
        self._step("sound", now)
        return "play"

    def _early(self, silent: bool, ms: float, now: float) -> FrameFate:
        self._quiet_ms = self._quiet_ms + ms if silent else 0.0
        if self._quiet_ms < EARLY_SILENCE_MS:
            return "play"
        self._fall_quiet("silence", now)
        return "over"

    def _fall_quiet(self, event: str, now: float) -> None:
        self._step(event, now)
        self.response_id = ""

    # -- what the service says --------------------------------------------------------------

    def started(self, response_id: str, now: float) -> None:
        """The service plays this response from now on."""
        self._step("started", now)
        self.response_id = response_id
        if self._expected == response_id:
            self._expected = ""

    def unwanted(self, response_id: str, now: float) -> None:
        """The service plays a response that was interrupted before it began."""
        self._step("unwanted", now)
        self.response_id = response_id

    def stopped(self, response_id: str, now: float) -> bool:
        """The service has sent all of this response. True if it is what is heard."""
        if self._is_another(response_id):
            return False
        if self.state == "stopping":
            self._step("cleared", now)  # it ended by itself, just then
            return False
        if not MEDIA.allows(self.state, "stopped"):
            return False
        self._step("stopped", now)
        self._complete.add(response_id)
        return True

    def cleared(self, response_id: str, now: float) -> None:
        """The service has dropped what it was playing; call `interrupted` first."""
        if not self._is_another(response_id) and self.state == "stopping":
            self._step("cleared", now)

    def _is_another(self, response_id: str) -> bool:
        return bool(response_id and self.response_id) and response_id != self.response_id

    def concerns(self, response_id: str) -> bool:
        """Whether news of this response are news of what is heard."""
        return not self._is_another(response_id)

    def tail_is_over(self, now: float) -> bool:
        """After `stopped`: whether no more audio can come; the last frames may have been lost."""
        if self.state != "ending":
            return False
        self._fall_quiet("too long", now)
        return True

    def interrupted(self, now: float) -> None:
        """What is heard must not be heard any more."""
        if MEDIA.allows(self.state, "interrupted"):
            self._step("interrupted", now)

    # -- how much of the words was heard ----------------------------------------------------

    def length_ms(self, item: RealtimeItem | None, content_index: int, response_id: str, ms: float) -> float:
        """How long a spoken part would be, of which `ms` were heard: unless it is complete, a guess by its text."""
        if response_id and response_id in self._complete:
            return ms
        learned = self._spoken_ms / self._characters if self._characters >= LEARNED_CHARACTERS else 0.0
        return max(ms, len(_text(item, content_index)) * (learned or MS_PER_CHARACTER))

    def learn_pace(self, item: RealtimeItem | None, content_index: int, response_id: str, ms: float) -> None:
        """A part was spoken for `ms`; if that was all of it, the voice's pace is known better."""
        if ms > 0 and response_id in self._complete and (characters := len(_text(item, content_index))):
            self._characters += characters
            self._spoken_ms += ms


def _text(item: RealtimeItem | None, content_index: int) -> str:
    if not isinstance(item, MessageItem) or content_index >= len(item.content):
        return ""
    part = item.content[content_index]
    if not isinstance(part, OutputAudio):
        return ""
    return part.full_transcript or part.transcript or ""
