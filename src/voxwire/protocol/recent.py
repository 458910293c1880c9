"""A set that forgets: what was added longest ago goes first."""

from __future__ import annotations

__all__ = ["RecentSet"]


class RecentSet:
    """The `limit` ids added last; everything an engine remembers without end in sight goes in here."""

    __slots__ = ("_ids", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: dict[str, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, item: str) -> None:
        """Remember this id, as the newest."""
        self._ids.pop(item, None)
        self._ids[item] = None
        if len(self._ids) > self._limit:
            del self._ids[next(iter(self._ids))]

    def discard(self, item: str) -> None:
        """Forget this id, if it is there."""
        self._ids.pop(item, None)

    def clear(self) -> None:
        """Forget all."""
        self._ids.clear()
