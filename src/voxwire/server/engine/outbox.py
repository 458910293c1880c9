"""Where the parts of the engine put what is to be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .actions import EngineAction, Send
from .errors import ClientError

__all__ = ["Ids", "Outbox"]

Ids = Callable[[str], str]
"""Gives a new identifier that begins with the prefix it is called with; never twice the same."""


class Outbox:
    """Actions in order, until the shell takes them."""

    def __init__(self, ids: Ids) -> None:
        self.new_id = ids
        self._actions: list[EngineAction] = []

    def send(self, type: str, **fields: Any) -> None:
        """Put a server event on the wire."""
        self._actions.append(Send({"type": type, "event_id": self.new_id("event_"), **fields}))

    def error(self, error: ClientError, event_id: str | None = None) -> None:
        """Tell the client of an error; `event_id` is the client event that it answers."""
        self.send("error", error=error.to_wire(event_id))

    def do(self, action: EngineAction) -> None:
        """Have something else done."""
        self._actions.append(action)

    def take(self) -> list[EngineAction]:
        """Everything since the last call."""
        actions, self._actions = self._actions, []
        return actions
