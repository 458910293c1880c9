"""The part of a session that is about MCP: local servers, hosted tools, and their approvals."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from ..protocol.items import McpApprovalRequestItem
from ..tools.context import RunContext
from ..transports.base import RealtimeTransportLayer
from .events import ToolApprovalRequested
from .hosted_mcp import HostedMcp
from .local_mcp import LocalMcp
from .mcp_approvals import McpApprovalLike, McpApprovals
from .tool_session import ToolSession

__all__ = ["McpSession"]


class McpSession(ToolSession):
    """MCP servers, near and far.

    Args:
        automatic_mcp_response: ask for a response after MCP calls of the service.
    """

    def __init__(
        self,
        transport: RealtimeTransportLayer,
        handlers: Mapping[str, Callable[[Any], None]],
        *,
        automatic_mcp_response: bool,
    ) -> None:
        self._local_mcp = LocalMcp(self.report)
        self._hosted_mcp = HostedMcp(self, automatic=automatic_mcp_response)
        self._mcp_approvals = McpApprovals(self, self.is_heard, self._hosted_mcp.go_on)
        mcp: dict[str, Callable[[Any], None]] = {
            "mcp_tools_listed": self._hosted_mcp.listed,
            "mcp_tool_call_completed": self._hosted_mcp.call_completed,
            "mcp_approval_request": self._mcp_approvals.requested,
        }
        super().__init__(transport, {**mcp, **handlers})

    @property
    @abstractmethod
    def context(self) -> RunContext[Any]:
        """What listeners are told about the session."""

    @property
    def available_mcp_tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools of hosted MCP servers that the current agent may use, as their servers listed them.

        Those that `allowed_tools` leaves out are not among them; of two with one name, the first is.
        """
        return self._hosted_mcp.available

    @property
    def pending_mcp_approvals(self) -> tuple[McpApprovalRequestItem, ...]:
        """The service's questions about hosted MCP tools that wait for a person's word, oldest first."""
        return self._mcp_approvals.pending

    async def approve(
        self, request: ToolApprovalRequested | McpApprovalLike, *, always: bool = False
    ) -> None:
        """Let a tool run. One that was decided about already is left as it is.

        Args:
            request: the `tool_approval_requested` event; for a hosted MCP tool also the item.
            always: also for all later calls of this tool by this agent, until the connection ends.

        Raises:
            UserError: if the request is of an earlier connection or another session, or was changed.
            Whatever sending raises, for a hosted MCP tool; it may be decided again then.
        """
        if isinstance(request, ToolApprovalRequested):
            await super().approve(request, always=always)
        else:
            await self._mcp_approvals.decide(request, True, always=always)

    async def reject(
        self,
        request: ToolApprovalRequested | McpApprovalLike,
        *,
        always: bool = False,
        message: str | None = None,
    ) -> None:
        """Do not let a tool run; the model is told, and goes on.

        Args:
            request, always: as for `approve`.
            message: what the model is told, even if empty; None leaves it to `tool_error_formatter`, or for a
                hosted MCP tool to the service.

        Raises:
            UserError: as for `approve`.
        """
        if isinstance(request, ToolApprovalRequested):
            await super().reject(request, always=always, message=message)
        else:
            await self._mcp_approvals.decide(request, False, always=always, reason=message)

    def _stop_mcp(self) -> None:
        """The connection is over."""
        self._mcp_approvals.stop()
        self._hosted_mcp.stop()
        self._local_mcp.stop()
