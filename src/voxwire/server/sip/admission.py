"""How many INVITEs a source may send. Sans-I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Admission"]

MAX_SOURCES: Final = 4096
"""Sources remembered; beyond it the one that was quiet for longest is forgotten."""


class Admission:
    """A bucket of tokens for each source: as many calls at once as it may place in a second.

    Args:
        per_second: INVITEs of one source.
    """

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._burst = max(per_second, 1.0)
        self._sources: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, source: str, now: float) -> bool:
        """Whether one more may come now."""
        tokens, at = self._sources.get(source, (self._burst, now))
        tokens = min(tokens + (now - at) * self._rate, self._burst)
        admitted = tokens >= 1
        self._sources[source] = (tokens - admitted, now)
        self._sources.move_to_end(source)
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        return admitted
