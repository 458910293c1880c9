"""What the client has asked the session to be, so that an update sends only what differs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from .config_merge import changed_only, merge_wire

__all__ = ["SentSettings"]

MAX_UNCONFIRMED = 64
"""Updates remembered until the service answers them; older ones are taken as accepted."""


class SentSettings:
    """Updates sent, and which of them the service has accepted.

    The service answers updates in order, each with `session.updated` or with an `error`
    that names its `event_id`. A refused one is taken back, so that asking again sends it again.
    """

    def __init__(self, first: Mapping[str, Any] | None = None) -> None:
        self._accepted: dict[str, Any] = {}
        self._unanswered: deque[tuple[str | None, Mapping[str, Any]]] = deque()
        self.wanted: dict[str, Any] = merge_wire({}, first or {})
        """Everything asked for and not refused, with the wire's names."""

    def difference(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of `config` that is not asked for already."""
        return changed_only(self.wanted, config)

    def sent(self, event_id: str | None, update: Mapping[str, Any]) -> None:
        """A `session.update` goes out."""
        self._unanswered.append((event_id, update))
        if len(self._unanswered) > MAX_UNCONFIRMED:
            self.accepted()
        self.wanted = merge_wire(self.wanted, update)

    def accepted(self) -> None:
        """The service took over the update that has waited longest."""
        if self._unanswered:
            self._accepted = merge_wire(self._accepted, self._unanswered.popleft()[1])

    def refused(self, event_id: str | None) -> bool:
        """The service refused an update. False if this id is not one of ours."""
        if event_id is None:
            return False
        kept = [entry for entry in self._unanswered if entry[0] != event_id]
        if len(kept) == len(self._unanswered):
            return False
        self._unanswered = deque(kept)
        self.wanted = self._accepted
        for _, update in kept:
            self.wanted = merge_wire(self.wanted, update)
        return True
