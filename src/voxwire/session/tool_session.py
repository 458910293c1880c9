"""The part of a session that is about its tool calls: what the user of the session decides about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..protocol.transport_events import TransportEventBase
from ..transports.base import RealtimeTransportLayer
from .base import SessionBase
from .dispatch import Dispatcher
from .events import ToolApprovalRequested

__all__ = ["ToolSession"]


class ToolSession(SessionBase):
    """Approvals of tool calls, and what tells when a slow tool may be covered by a word."""

    _dispatcher: Dispatcher
    """Set by the session that runs the agents."""

    def __init__(
        self, transport: RealtimeTransportLayer, handlers: Mapping[str, Callable[[Any], None]]
    ) -> None:
        talk = dict.fromkeys(("audio_start", "audio_stopped", "user_speech_stopped"), self._talk)
        super().__init__(transport, {**talk, **handlers})

    @property
    def pending_approvals(self) -> tuple[ToolApprovalRequested, ...]:
        """The tool calls that wait for a person's word, oldest first."""
        return self._dispatcher.approvals.pending

    async def approve(self, request: ToolApprovalRequested, *, always: bool = False) -> None:
        """Let a tool run. One that was decided about already is left as it is.

        Args:
            request: the `tool_approval_requested` event.
            always: also for all later calls of this tool by this agent, until the connection ends.

        Raises:
            UserError: if the request is of an earlier connection or another session, or was changed.
        """
        self._dispatcher.approvals.approve(request, always=always)

    async def reject(
        self, request: ToolApprovalRequested, *, always: bool = False, message: str | None = None
    ) -> None:
        """Do not let a tool run; the model is told, and goes on.

        Args:
            request, always: as for `approve`.
            message: what the model is told, even if empty; None leaves it to `tool_error_formatter`.

        Raises:
            UserError: as for `approve`.
        """
        self._dispatcher.approvals.reject(request, always=always, message=message)

    def is_heard(self, name: str) -> bool:
        """Whether anybody listens to an event."""
        return self._listeners.has(name)

    def _talk(self, event: TransportEventBase) -> None:
        self._dispatcher.progress.note(event)
