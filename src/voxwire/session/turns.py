"""Which agent a response belongs to: the one that was current when the response began."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..protocol.items import item_from_wire, item_text
from .snapshot import AgentSnapshot

__all__ = ["Turns", "final_text"]

REMEMBERED: Final = 64
"""Responses under way that are kept apart; the service runs one, and a few out of band."""


class _Owner(NamedTuple):
    agent: AgentSnapshot
    before: AgentSnapshot | None
    """The agent before, if the service may have begun the response without knowing of the change."""


class Turns:
    """The current agent, and that of each response under way.

    A response can begin at the service (the user speaks) while news of a handoff is on its way
    there. It comes to us as the new agent's and calls the old one's tools, so these are looked
    up as well, for that one response.

    Attributes:
        current: what the next response will belong to; None before the first connection.
    """

    def __init__(self) -> None:
        self.current: AgentSnapshot | None = None
        self._before: AgentSnapshot | None = None
        self._bound: OrderedDict[str, _Owner] = OrderedDict()

    def reset(self, current: AgentSnapshot) -> None:
        """A new connection begins."""
        self.current = current
        self._before = None
        self._bound.clear()

    def switch(self, current: AgentSnapshot) -> None:
        """Another agent is current from now on; the service has been sent its configuration."""
        self._before = self.current
        self.current = current

    def confirmed(self) -> None:
        """The service has taken a configuration over."""
        self._before = None

    def started(self, response_id: str) -> AgentSnapshot | None:
        """A response began."""
        if self.current is not None and response_id:
            self._bound[response_id] = _Owner(self.current, self._before)
            self._before = None
            while len(self._bound) > REMEMBERED:
                self._bound.popitem(last=False)
        return self.current

    def caller(self, response_id: str | None, tool_name: str) -> AgentSnapshot | None:
        """Who calls this tool. A response that began unseen (on a call joined late) is the current agent's."""
        owner = self._bound.get(response_id or "")
        if owner is None:
            return self.current
        if owner.before is not None and not owner.agent.has(tool_name) and owner.before.has(tool_name):
            return owner.before
        return owner.agent

    def owner(self, response_id: str) -> AgentSnapshot | None:
        """Whose response it is; one that began without telling its id is the current agent's."""
        owner = self._bound.get(response_id)
        return owner.agent if owner is not None else self.current

    def done(self, response_id: str) -> AgentSnapshot | None:
        """A response ended; whose it was."""
        owner = self._bound.pop(response_id, None)
        return owner.agent if owner is not None else self.current


def final_text(output: Sequence[Mapping[str, Any]]) -> str:
    """The last thing said or written in a response, whatever calls come after it."""
    for raw in reversed(output):
        item = item_from_wire(raw)
        text = item_text(item) if item is not None else ""
        if text:
            return text
    return ""
