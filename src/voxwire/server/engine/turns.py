"""Turn detection: a state table over the probabilities of a voice activity detector.

The table is `machines.TURN`. A turn begins when speech has lasted `ONSET_MS`, and ends when
silence has lasted as long as the mode asks for.

`server_vad` asks for `silence_duration_ms`. `semantic_vad` asks for longer while what was
recognised so far looks unfinished; the bounds per eagerness (8, 4 and 2 s) are the service's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .machines import TURN

__all__ = ["Started", "Stopped", "TurnDetector", "TurnEvent", "semantic_silence_ms"]

ONSET_MS = 60.0
"""Speech shorter than this is a click."""

HYSTERESIS = 0.15
"""Once speaking, a frame counts as silence only this far below the threshold."""

SEMANTIC_THRESHOLD = 0.5
SEMANTIC_PADDING_MS = 300.0


@dataclass(frozen=True, slots=True)
class Started:
    """Speech began at `start_ms`, padding included."""

    start_ms: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The turn is over; its audio ends at `end_ms`."""

    end_ms: float


TurnEvent: TypeAlias = Started | Stopped

_Ending = Literal["finished", "unclear", "unfinished"]
_WAITS: dict[str, dict[_Ending, float]] = {
    "low": {"finished": 800, "unclear": 2000, "unfinished": 8000},
    "medium": {"finished": 500, "unclear": 1000, "unfinished": 4000},
    "high": {"finished": 300, "unclear": 600, "unfinished": 2000},
}
_OPEN_WORDS_TEXT = (
    "a an the and or but so because if when while that which who to of for with in on at from about by as "
    "is are was were will would can could should my your our their his her its i we they he she um uh uhm umm "
    "er erm hmm like then than not"
)
_OPEN_WORDS = frozenset(_OPEN_WORDS_TEXT.split())
_FULL_STOPS = (".", "!", "?", "\u3002", "\uff1f", "\uff01")  # the last three: of Chinese and Japanese
_WORD = re.compile(r"[\w']+")


def _ending(partial: str) -> _Ending:
    stripped = partial.rstrip()
    if not stripped:
        return "unclear"
    if stripped.endswith(_FULL_STOPS) and not stripped.endswith("..."):
        return "finished"
    if stripped.endswith((",", "...", "…", "-", "、", ":", ";")):
        return "unfinished"
    words = _WORD.findall(stripped.lower())
    if words and words[-1] in _OPEN_WORDS:
        return "unfinished"
    return "finished" if len(words) > 1 else "unclear"


def semantic_silence_ms(eagerness: str, partial: str) -> float:
    """How long `semantic_vad` waits after the last speech, ms."""
    return _WAITS.get(eagerness, _WAITS["medium"])[_ending(partial)]


class TurnDetector:
    """Finds the turns of one stream.

    Args:
        settings: `turn_detection` of the session.
        position_ms: where in the session's audio the stream starts.
    """

    def __init__(self, settings: Mapping[str, Any], position_ms: float = 0.0) -> None:
        self._state = TURN.initial
        self.position_ms = position_ms
        self._speech_ms = 0.0
        self._silence_ms = 0.0
        self.configure(settings)

    @property
    def speaking(self) -> bool:
        """Whether a turn is going on."""
        return self._state == "speaking"

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Use other settings from the next frame on; a turn that has begun goes on."""
        semantic = settings["type"] == "semantic_vad"
        self._eagerness: str | None = settings["eagerness"] if semantic else None
        self._threshold = float(settings.get("threshold", SEMANTIC_THRESHOLD))
        self.padding_ms = float(settings.get("prefix_padding_ms", SEMANTIC_PADDING_MS))
        self._wait_ms = float(settings.get("silence_duration_ms", 0))

    def feed(self, probability: float, frame_ms: float, partial: str = "") -> TurnEvent | None:
        """The next frame; `partial` is what was recognised of this turn so far."""
        self.position_ms += frame_ms
        if self.speaking:
            return self._while_speaking(probability, frame_ms, partial)
        if probability < self._threshold:
            self._speech_ms = 0.0
            return None
        self._speech_ms += frame_ms
        if self._speech_ms < ONSET_MS:
            return None
        start = max(self.position_ms - self._speech_ms - self.padding_ms, 0.0)
        self._state, self._silence_ms = TURN.step(self._state, "speech"), 0.0
        return Started(start)

    def _while_speaking(self, probability: float, frame_ms: float, partial: str) -> TurnEvent | None:
        if probability >= self._threshold - HYSTERESIS and probability > 0:
            self._silence_ms = 0.0
            return None
        self._silence_ms += frame_ms
        return self._look(partial)

    def understood(self, partial: str) -> Stopped | None:
        """More of this turn was recognised: the silence so far may be enough. It may be all there will ever be."""
        return self._look(partial) if self.speaking and self._silence_ms > 0 else None

    def _look(self, partial: str) -> Stopped | None:
        wait = self._wait_ms if self._eagerness is None else semantic_silence_ms(self._eagerness, partial)
        if self._silence_ms < wait:
            return None
        self._over("silence")
        return Stopped(self.position_ms)

    def end_turn(self) -> None:
        """The turn, if there is one, was ended from outside (a commit)."""
        self._over("ended by the client")

    def _over(self, event: str) -> None:
        self._state = TURN.step(self._state, event)
        self._speech_ms = self._silence_ms = 0.0
