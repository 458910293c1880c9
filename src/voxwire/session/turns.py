"""Which agent a response belongs to: the one that was current when the response began."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..protocol.items import item_from_wire, item_text
from .snapshot import AgentSnapshot

__all__ = ["Turns", "final_text"]

REMEMBERED: Final = 64
"""Responses under way that are kept apart; the service runs one, and a few out of band."""


class Turns:
    """The current agent, and that of each response under way.

    Attributes:
        current: what the next response will belong to; None before the first connection.
    """

    def __init__(self) -> None:
        self.current: AgentSnapshot | None = None
        self._bound: OrderedDict[str, AgentSnapshot] = OrderedDict()

    def reset(self, current: AgentSnapshot) -> None:
        """A new connection begins."""
        self.current = current
        self._bound.clear()

    def started(self, response_id: str) -> AgentSnapshot | None:
        """A response began."""
        if self.current is not None and response_id:
            self._bound[response_id] = self.current
            while len(self._bound) > REMEMBERED:
                self._bound.popitem(last=False)
        return self.current

    def of(self, response_id: str | None) -> AgentSnapshot | None:
        """Whose response it is. One that began unseen (on a call joined late) is the current agent's."""
        return self._bound.get(response_id or "", self.current)

    def done(self, response_id: str) -> AgentSnapshot | None:
        """A response ended; whose it was."""
        return self._bound.pop(response_id, self.current)


def final_text(output: Sequence[Mapping[str, Any]]) -> str:
    """The last thing said or written in a response, whatever calls come after it."""
    for raw in reversed(output):
        item = item_from_wire(raw)
        text = item_text(item) if item is not None else ""
        if text:
            return text
    return ""
