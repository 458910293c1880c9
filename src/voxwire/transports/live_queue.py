"""Keeping live input live: a stall in the middle of a call must not delay everything that is said after it."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["LiveQueue"]

ALLOWED_MS: Final = 20.0
"""What may always be waiting when a frame comes: the frame before it."""
WINDOW_MS: Final = 500.0
"""What waits now may be a burst; what waited at every moment of this time is delay."""
PATIENCE_MS: Final = 2000.0
"""How long to wait for a quiet frame before one is left out that can be heard ..."""
APART_MS: Final = 100.0
"""... and how much audio passes between two of those."""


class LiveQueue:
    """Says which frames of a live source to leave out, so that the queue they go into falls back to nothing.

    After a stall a microphone hands over at once what it has recorded meanwhile. The queue takes in as much as it
    gives out, in real time, so that it would keep that for the rest of the call; a clock that runs faster than ours
    fills it slowly. Sans-I/O: time is counted in audio.
    """

    def __init__(self) -> None:
        self._least = math.inf
        self._watched = 0.0
        self._excess = 0.0
        self._waited = 0.0
        self._since_cut = math.inf

    def leaves_out(self, queued_ms: float, frame_ms: float, *, quiet: bool) -> bool:
        """Whether not to send this frame.

        Args:
            queued_ms: what waits before it, ms.
            frame_ms: its length, ms.
            quiet: nobody would miss it.
        """
        self._watch(queued_ms, frame_ms)
        if self._excess < frame_ms:
            self._waited = 0.0
            return False
        self._waited += frame_ms
        self._since_cut += frame_ms
        if not quiet and (self._waited < PATIENCE_MS or self._since_cut < APART_MS):
            return False
        self._excess -= frame_ms
        self._since_cut = 0.0
        return True

    def _watch(self, queued_ms: float, frame_ms: float) -> None:
        self._least = min(self._least, queued_ms)
        self._watched += frame_ms
        if self._watched >= WINDOW_MS:
            self._excess = max(0.0, self._least - ALLOWED_MS)
            self._least, self._watched = math.inf, 0.0
