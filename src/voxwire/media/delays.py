"""How late packets come, and how long audio has to wait so that nearly all of them are in time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

__all__ = ["ArrivalDelays"]

_WINDOW_S: Final = 10.0
_KEPT: Final = 50
"""Observations kept however old they are: a second of audio, so that an outage does not wipe out what was known."""
_MOST: Final = 1000
_OUTLIERS: Final = 2
"""How many of the largest delays in the window are not provided for: 2 of 500 packets ..."""
_PER_OUTLIER: Final = 100
"""... and one less where there are not so many packets for each."""
_BEHIND: Final = 0.25
"""A packet this close to the one before it (as a share of what their timestamps say) had waited behind it."""
_TOGETHER_MS: Final = 5


class ArrivalDelays:
    """The delays (arrival minus timestamp, clock units) of the last 10 s.

    The smallest is the path's own delay, `base`; the others say how much a buffer has to make up for. A sorted
    window is exact, forgets without a trace, and follows drifting clocks (300 ppm are 3 ms in 10 s). Packets
    that were held up together and come together count as one: an outage of 3 s is one event, not 150.

    Args:
        clock_rate: of the timestamps, Hz.
    """

    __slots__ = (
        "_by_age",
        "_last",
        "_last_timestamp",
        "_ordered",
        "_overtaken",
        "_together",
        "_window",
        "base",
        "spread",
    )

    def __init__(self, clock_rate: int) -> None:
        self._window = _WINDOW_S * clock_rate
        self._by_age: deque[tuple[float, float]] = deque()
        self._ordered: list[float] = []
        self.base: float | None = None
        """The smallest delay; None before the first packet."""
        self.spread = 0.0
        """What nearly all packets were late by, compared with the fastest, clock units."""
        self._last: float | None = None
        self._last_timestamp = 0
        self._overtaken = float("-inf")
        self._together = clock_rate * _TOGETHER_MS / 1000

    def add(self, arrival: float, timestamp: int, *, anew: bool = False) -> None:
        """A packet arrived that is newer than all before it; `timestamp` unwrapped, both in clock units.

        Args:
            anew: the sender begins to talk (the marker bit). If this packet is the earliest of all, it has moved its
                clock, and what was before it was not late because of that.
        """
        if anew and self.base is not None and arrival - timestamp < self.base:
            self._move(arrival - timestamp - self.base)
        if self._last is not None:
            behind = arrival - self._last < _BEHIND * (timestamp - self._last_timestamp)
            if behind and arrival - timestamp >= self._ordered[0]:
                self._last, self._last_timestamp = arrival, timestamp
                return
        self._last, self._last_timestamp = arrival, timestamp
        self._keep(arrival, arrival - timestamp)

    def add_overtaken(self, arrival: float, timestamp: int) -> None:
        """A packet arrived that others had overtaken. Those that come together count as one here, too."""
        if arrival - self._overtaken >= self._together:
            self._overtaken = arrival
            self._keep(arrival, arrival - timestamp)

    def _move(self, by: float) -> None:
        self._by_age = deque((at, delay + by) for at, delay in self._by_age)
        self._ordered = [delay + by for delay in self._ordered]

    def _keep(self, arrival: float, delay: float) -> None:
        self._by_age.append((arrival, delay))
        insort(self._ordered, delay)
        while len(self._by_age) > _MOST or (
            len(self._by_age) > _KEPT and self._by_age[0][0] < arrival - self._window
        ):
            _, oldest = self._by_age.popleft()
            del self._ordered[bisect_left(self._ordered, oldest)]
        outliers = min(_OUTLIERS, len(self._ordered) // _PER_OUTLIER)
        self.base = self._ordered[0]
        self.spread = self._ordered[-1 - outliers] - self.base
