"""Keeping live audio live: what has piled up before the network is taken out again, where it is heard least."""

from __future__ import annotations

from typing import Final

from .codecs import FRAME_MS
from .levels import rms_dbfs

__all__ = ["MAX_BACKLOG_MS", "LiveBacklog"]

MAX_BACKLOG_MS: Final = 100.0
"""Live audio that may wait to go out, ms; beyond it the newest is left out at once."""
_WINDOW_MS: Final = 1000.0
"""What was never needed for so long is not needed for an uneven source."""
_PATIENCE_MS: Final = 3000.0
"""After so much speech without a pause a piece is taken out of it."""
_QUIET_DBFS: Final = -45.0


class LiveBacklog:
    """Says which pieces of a live source to send.

    After the event loop was held up, all that a microphone has recorded meanwhile comes at once; sent in real time,
    everything would come so much later for the rest of the call. So what waits is watched, and what has not been
    empty for a second is shortened in the next pause.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._least = float("inf")
        self._watched = 0.0

    def takes(self, pcm: bytes, ms: float, queued_ms: float) -> bool:
        """Whether to send a piece.

        Args:
            pcm: mono PCM16, of `ms`.
            queued_ms: what waits to go out before it.
        """
        self._least = min(self._least, queued_ms)
        self._watched += ms
        if queued_ms >= MAX_BACKLOG_MS:
            return False
        if self._watched < _WINDOW_MS:
            return True
        if self._least < max(ms, FRAME_MS):
            self._begin()
            return True
        if self._watched < _PATIENCE_MS and rms_dbfs(pcm) > _QUIET_DBFS:
            return True
        self._least -= ms  # there may be more of it, and this pause may be long enough
        if self._least < max(ms, FRAME_MS):
            self._begin()
        return False
