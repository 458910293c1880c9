"""How long the user waited for an answer, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from .turns import Turn

__all__ = ["Latency", "latency_of", "median_heard_ms"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Times since the user's last sample, ms; None where it did not come to that.

    Attributes:
        detected_ms: the service says that the user has stopped.
        received_ms: the first audio of the answer arrives.
        heard_ms: it is heard.
    """

    detected_ms: float | None
    received_ms: float | None
    heard_ms: float | None

    @property
    def stages(self) -> list[tuple[str, float]]:
        """Where the time went: names and lengths (ms) that add up to `heard_ms`; empty without an answer."""
        if self.received_ms is None or self.heard_ms is None:
            return []
        detected = min(max(0.0, self.detected_ms or 0.0), self.received_ms)
        return [
            ("turn detection", detected),
            ("answer", self.received_ms - detected),
            ("playback", max(0.0, self.heard_ms - self.received_ms)),
        ]


def latency_of(turn: Turn) -> Latency | None:
    """The latency of a turn; None if the user has not finished."""
    if turn.end_ms is None:
        return None
    end, reply = turn.end_ms, turn.first_reply

    def since(at: float | None) -> float | None:
        return None if at is None else at - end

    if reply is None:
        return Latency(since(turn.detected_ms), None, None)
    return Latency(since(turn.detected_ms), since(reply.received_ms), since(reply.heard_from_ms))


def median_heard_ms(turns: Sequence[Turn]) -> float | None:
    """The median over all turns that were answered aloud."""
    found = [latency.heard_ms for turn in turns if (latency := latency_of(turn)) is not None]
    heard = [value for value in found if value is not None]
    return median(heard) if heard else None
