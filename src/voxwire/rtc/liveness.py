"""When a peer counts as out of reach, and when as gone. Time is handed in, seconds."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["CONSENT_LIFETIME", "Liveness", "Reach"]

CONSENT_LIFETIME = 30.0
"""Seconds without an answer to a consent check after which nothing may be sent any more (RFC 7675, 5.1)."""

Reach: TypeAlias = Literal["connected", "disconnected", "expired"]


class Liveness:
    """Judges by what was heard from the peer.

    Args:
        disconnected_after: seconds without any packet until "disconnected"; any packet ends it.
    """

    __slots__ = ("_after", "_consent", "reach")

    def __init__(self, disconnected_after: float, now: float) -> None:
        self._after = disconnected_after
        self._consent = now
        self.reach: Reach = "connected"

    def consented(self, now: float) -> None:
        """A consent check was answered."""
        self._consent = now

    def judge(self, heard: float, now: float) -> bool:
        """Whether `reach` changed.

        Args:
            heard: when the last packet came, of whatever kind.
        """
        if self.reach == "expired":
            return False
        before = self.reach
        if now - self._consent > CONSENT_LIFETIME:
            self.reach = "expired"
        else:
            self.reach = "disconnected" if now - heard > self._after else "connected"
        return self.reach != before
