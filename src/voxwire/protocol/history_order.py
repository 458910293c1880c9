"""The order of a conversation: each item behind its previous one, as far as that is known."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["ItemOrder"]

MAX_MISSING = 256
"""Unknown previous items that somebody waits for; the longest awaited one is given up first."""


class ItemOrder:
    """Item ids in order.

    An item whose previous one has not arrived is put at the end, and moved behind it once it
    does, together with the items that follow it.
    """

    def __init__(self) -> None:
        self._order: list[str] = []
        self._previous: dict[str, str] = {}
        self._missing: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._order)

    @property
    def missing(self) -> int:
        """Previous items that are awaited."""
        return len(self._missing)

    def add(self, item_id: str, previous: str | None = None, *, first: bool = False) -> None:
        """Put a new item in its place: at the beginning, behind `previous`, or at the end."""
        if first:
            self._order.insert(0, item_id)
        elif previous is None or previous == item_id:
            self._order.append(item_id)
        else:
            self._previous[item_id] = previous
            self._order.insert(self._behind(previous, item_id), item_id)
        for child in self._missing.pop(item_id, ()):
            if self._previous.get(child) == item_id:
                self._move(child, item_id)

    def place(self, item_id: str, previous: str | None, *, first: bool = False) -> None:
        """Put an item that is there already where it belongs; what follows it comes along."""
        if first:
            self._previous.pop(item_id, None)
            chain = self._take_chain(item_id)
            self._order[:0] = chain
        elif previous is not None and previous != item_id:
            self._previous[item_id] = previous
            self._move(item_id, previous)

    def remove(self, item_id: str) -> None:
        """Take an item out."""
        self._order.remove(item_id)
        self._previous.pop(item_id, None)

    def pop_oldest(self) -> str:
        """Take the first item out."""
        oldest = self._order.pop(0)
        self._previous.pop(oldest, None)
        return oldest

    def _behind(self, previous: str, item_id: str) -> int:
        if self._order and self._order[-1] == previous:
            return len(self._order)
        try:
            return self._order.index(previous) + 1
        except ValueError:
            self._missing.setdefault(previous, []).append(item_id)
            if len(self._missing) > MAX_MISSING:
                del self._missing[next(iter(self._missing))]
            return len(self._order)

    def _move(self, item_id: str, previous: str) -> None:
        chain = self._take_chain(item_id)
        # In a circle somebody is wrong, and the place is as good as any.
        at = len(self._order) if previous in chain else self._behind(previous, item_id)
        self._order[at:at] = chain

    def _take_chain(self, item_id: str) -> list[str]:
        start = self._order.index(item_id)
        end = start + 1
        while end < len(self._order) and self._previous.get(self._order[end]) == self._order[end - 1]:
            end += 1
        chain = self._order[start:end]
        del self._order[start:end]
        return chain
