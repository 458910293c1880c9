"""How long the user waited for an answer, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .turns import Turn

__all__ = ["Latency", "heard_waits", "latency_of", "median_heard_ms"]

STAGES = ("turn detection", "transcription", "answer", "playback")
"""Where the time between a question and its answer goes."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Times since the user's last sample, ms; None where it did not come to that.

    Attributes:
        detected_ms: the service says that the user has stopped.
        transcribed_ms: it says what it understood; a service that listens directly may do so late.
        received_ms: the first audio of the answer arrives.
        heard_ms: it is heard.
    """

    detected_ms: float | None
    transcribed_ms: float | None
    received_ms: float | None
    heard_ms: float | None

    @property
    def stages(self) -> list[tuple[str, float]]:
        """Those of `STAGES` there were, with their lengths (ms), which add up to `heard_ms`.

        Empty without an answer. A transcription that came after the answer had begun did not delay it, and is no stage.
        """
        if self.received_ms is None or self.heard_ms is None:
            return []
        marks = [("turn detection", self.detected_ms), ("transcription", self.transcribed_ms)]
        marks += [("answer", self.received_ms), ("playback", self.heard_ms)]
        stages: list[tuple[str, float]] = []
        before = 0.0
        for name, at in marks:
            if at is not None and before <= at <= self.heard_ms:
                stages.append((name, at - before))
                before = at
        return stages


def latency_of(turn: Turn) -> Latency | None:
    """The latency of a turn; None if the user has not finished."""
    if turn.end_ms is None:
        return None
    end, reply = turn.end_ms, turn.first_reply

    def since(at: float | None) -> float | None:
        return None if at is None else at - end

    transcribed = None if turn.typed else since(turn.recognised_ms)
    return Latency(
        since(turn.detected_ms),
        transcribed,
        since(reply.received_ms) if reply is not None else None,
        since(reply.heard_from_ms) if reply is not None else None,
    )


def heard_waits(turns: Sequence[Turn]) -> list[float]:
    """How long the user waited until the answer was heard, ms, for each turn that was answered aloud."""
    found = [latency.heard_ms for turn in turns if (latency := latency_of(turn)) is not None]
    return [wait for wait in found if wait is not None]


def median_heard_ms(turns: Sequence[Turn]) -> float | None:
    """The median over all turns that were answered aloud."""
    waits = heard_waits(turns)
    return median(waits) if waits else None
