"""Timers without a clock: what is due is asked for, and the time is handed in."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["T1", "T2", "T4", "Timer", "Timers"]

T1 = 0.5
"""Estimate of a round trip, s (RFC 3261 section 17.1.1.1)."""
T2 = 4.0
"""Longest interval between retransmissions, s."""
T4 = 5.0
"""Longest time that a message stays in the network, s."""


class Timer:
    """One timer that was set."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[float], None]) -> None:
        self.due = due
        self.callback: Callable[[float], None] | None = callback

    def cancel(self) -> None:
        """It does not fire any more; idempotent."""
        self.callback = None


class Timers:
    """All timers of one user agent; those that were cancelled go when there are many of them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._sweep_at = 64

    def set(self, due: float, callback: Callable[[float], None]) -> Timer:
        """Call `callback(now)` at `due`, seconds."""
        timer = Timer(due, callback)
        heapq.heappush(self._heap, (due, next(self._count), timer))
        if len(self._heap) > self._sweep_at:
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._sweep_at = 2 * len(self._heap) + 64
        return timer

    @property
    def next_due(self) -> float | None:
        """When `run` has to be called next."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Fire what is due."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(now)

    def __len__(self) -> int:
        return sum(entry[2].callback is not None for entry in self._heap)
