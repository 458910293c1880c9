"""How many peers a process takes: beyond it a new one is refused, and the others keep their audio.

A process whose event loop cannot keep up does not slow down evenly: queues grow, and within seconds every
call in it is lost. So the count is capped, and a loop that is already late takes nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ConnectError

__all__ = ["MAX_LAG_MS", "MAX_PEERS", "Capacity", "CapacityError", "process_capacity"]

MAX_PEERS = 200
"""Peers in one process, whatever its speed; a fast core carries about 40 talking ones."""
MAX_LAG_MS = 60.0
"""How late the 20 ms tick may be, smoothed, ms, before no further peer is taken."""


class CapacityError(ConnectError):
    """This process takes no further peer now. Try again later, or elsewhere."""

    fault = "you"


class Capacity:
    """Counts the peers of a process.

    Args:
        limit: of peers.
        max_lag_ms: of the ticker, smoothed, ms.
    """

    def __init__(self, limit: int = MAX_PEERS, max_lag_ms: float = MAX_LAG_MS) -> None:
        self.limit = limit
        self.max_lag_ms = max_lag_ms
        self._taken: set[int] = set()
        self._next = 0

    @property
    def count(self) -> int:
        """Peers there are."""
        return len(self._taken)

    def take(self, lag_ms: float) -> Callable[[], None]:
        """A place for one more peer; what is returned gives it back.

        Args:
            lag_ms: how late the ticker is, smoothed.

        Raises:
            CapacityError: if there are too many already, or the event loop cannot keep up with them.
        """
        if self.count >= self.limit:
            raise CapacityError(
                f"this process has {self.count} WebRTC peers, and takes no more than {self.limit}; "
                "close some, or start another process"
            )
        if lag_ms > self.max_lag_ms and self._taken:  # a first peer is not the one who is too many
            raise CapacityError(
                f"this process is {lag_ms:.0f} ms late with the audio of its {self.count} WebRTC peers "
                f"({self.max_lag_ms:.0f} ms are tolerated) and takes no more; start another process"
            )
        number = self._next
        self._next += 1
        self._taken.add(number)
        return lambda: self._taken.discard(number)


_PROCESS = Capacity()


def process_capacity() -> Capacity:
    """The one that all peers share; its limits may be changed."""
    return _PROCESS
