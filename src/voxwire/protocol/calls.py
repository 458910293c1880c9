"""Tool calls: each is announced once and answered once, and siblings wait for each other.

The model may call several tools in one response. It goes on only after the last of them
was answered, with one `response.create` for all, not one per call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .machines import TOOL_CALL

__all__ = ["ToolCalls"]

REMEMBERED = 1024
"""Calls kept to recognise a repeated announcement or answer; the oldest are forgotten."""


@dataclass(slots=True)
class _Group:
    """The calls of one response."""

    open: set[str] = field(default_factory=set[str])
    generating: bool = True
    wants_response: bool = False


class ToolCalls:
    """Which calls are waiting for an answer."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._response_of: dict[str, str] = {}
        self._groups: dict[str, _Group] = {}

    def __len__(self) -> int:
        return len(self._states)

    @property
    def open(self) -> frozenset[str]:
        """Ids of the calls that have no answer yet."""
        return frozenset(self._response_of)

    @property
    def waiting_for_end(self) -> bool:
        """Whether the model would go on if only the end of a response were known."""
        return any(group.generating and not group.open for group in self._groups.values())

    def announce(self, call_id: str, response_id: str) -> bool:
        """The model made a call. False if this call is known already."""
        if call_id in self._states:
            return False
        self._states[call_id] = TOOL_CALL.initial
        self._response_of[call_id] = response_id
        self._groups.setdefault(response_id, _Group()).open.add(call_id)
        self._forget_old()
        return True

    def is_answered(self, call_id: str) -> bool:
        """Whether this call was answered already."""
        return self._states.get(call_id) == "answered"

    def is_dropped(self, call_id: str) -> bool:
        """Whether this call belongs to an earlier connection, where nobody answered it."""
        return self._states.get(call_id) == "dropped"

    def forget(self, call_ids: Iterable[str]) -> None:
        """These calls were put into the conversation again: they may be answered."""
        for call_id in call_ids:
            self._forget(call_id)

    def answer(self, call_id: str, *, start_response: bool) -> bool:
        """An output is being sent. True if the model should go on now.

        A call that was never announced (made up by the user, or restored into this
        conversation) has no siblings: the model goes on as asked.
        """
        response_id = self._response_of.pop(call_id, None)
        if response_id is None:
            self._states[call_id] = "answered"
            self._forget_old()
            return start_response
        self._states[call_id] = TOOL_CALL.step(self._states[call_id], "answered")
        group = self._groups[response_id]
        group.open.discard(call_id)
        group.wants_response = group.wants_response or start_response
        return self._complete(response_id)

    def response_done(self, response_id: str) -> bool:
        """A response ended: no more calls will come from it. True if the model should go on now."""
        group = self._groups.get(response_id)
        if group is None:
            return False
        group.generating = False
        return self._complete(response_id)

    def stalled(self) -> bool:
        """The end of the running responses got lost. True if the model should go on now."""
        goes_on = False
        for response_id in tuple(self._groups):
            goes_on = self.response_done(response_id) or goes_on
        return goes_on

    def _complete(self, response_id: str) -> bool:
        group = self._groups[response_id]
        if group.open or group.generating:
            return False
        del self._groups[response_id]
        return group.wants_response

    def disconnected(self) -> None:
        """The connection is gone, and with it whoever waited for the open calls."""
        open_calls = {
            call_id: TOOL_CALL.step(state, "disconnected")
            for call_id, state in self._states.items()
            if state == TOOL_CALL.initial
        }
        # Answered ones of this connection mean nothing in the next; dropped ones must not reach it.
        dropped = {call_id: state for call_id, state in self._states.items() if state == "dropped"}
        self._states = {**dropped, **open_calls}
        self._response_of.clear()
        self._groups.clear()

    def _forget_old(self) -> None:
        while len(self._states) > REMEMBERED:
            self._forget(next(iter(self._states)))

    def _forget(self, call_id: str) -> None:
        self._states.pop(call_id, None)
        response_id = self._response_of.pop(call_id, None)
        if response_id is not None:
            group = self._groups[response_id]
            group.open.discard(call_id)
            if not (group.open or group.generating):
                del self._groups[response_id]
