"""A set that forgets: what was added longest ago goes first."""

from __future__ import annotations

__all__ = ["RecentSet"]


class RecentSet(dict[str, None]):
    """The `limit` ids added last; everything an engine remembers without end in sight goes in here."""

    __slots__ = ("_limit",)

    # A dict, because it keeps the order, and because `in` is asked of it for every piece of audio.

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def add(self, item: str) -> None:
        """Remember this id, as the newest."""
        self.pop(item, None)
        self[item] = None
        if len(self) > self._limit:
            del self[next(iter(self))]

    def discard(self, item: str) -> None:
        """Forget this id, if it is there."""
        self.pop(item, None)
