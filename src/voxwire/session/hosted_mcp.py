"""Hosted MCP tools: what is available, and who goes on after the service has called one.

`ListedTools` and `FollowUps` decide and are pure; `HostedMcp` does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from ..protocol.mcp_policy import is_allowed
from ..protocol.transport_events import McpToolCallCompleted, McpToolsListed, TransportEventBase, TurnDone
from ..transports.base import RealtimeTransportLayer
from .events import McpToolsChanged

__all__ = ["FollowUps", "HostedMcp", "ListedTools"]

REMEMBERED: Final = 256
"""Calls and labels that are remembered; the oldest are forgotten first."""


class ListedTools:
    """What the service's servers have listed, as far as the agent is configured with them."""

    def __init__(self) -> None:
        self._servers: tuple[Mapping[str, Any], ...] = ()
        self._listed: dict[str, tuple[Mapping[str, Any], ...]] = {}
        self.available: tuple[Mapping[str, Any], ...] = ()

    def reset(self) -> None:
        """A new connection: nothing is listed."""
        self._listed.clear()
        self._servers = ()

    def configured(self, tools: Iterable[Mapping[str, Any]]) -> bool:
        """The agent's tools, as on the wire. True if what is available has changed."""
        self._servers = tuple(tool for tool in tools if tool.get("type") == "mcp")
        return self._changed()

    def listed(self, server_label: str, tools: Sequence[Mapping[str, Any]]) -> bool:
        """A server listed its tools. True if what is available has changed."""
        self._listed.pop(server_label, None)
        self._listed[server_label] = tuple(tools)
        while len(self._listed) > REMEMBERED:
            del self._listed[next(iter(self._listed))]
        return self._changed()

    def _changed(self) -> bool:
        found: dict[str, Mapping[str, Any]] = {}
        for server in self._servers:
            for tool in self._listed.get(str(server.get("server_label")), ()):
                name = tool.get("name")
                if isinstance(name, str) and is_allowed(server.get("allowed_tools"), tool):
                    found.setdefault(name, tool)
        before = {tool["name"] for tool in self.available}
        self.available = tuple(found.values())
        return found.keys() != before


@dataclass(slots=True)
class FollowUps:
    """When the model is to go on after MCP calls: once, when all calls of a response have ended.

    A call may end before its response does or after it, and one that had to be approved belongs to
    no response.
    """

    running: set[str] = field(default_factory=set[str])
    """Responses that have begun and not ended."""
    ended: dict[str, object] = field(default_factory=dict[str, object])
    """Calls that ended while a response was running."""
    awaited: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Calls of a response that has ended which have not; the response's id first."""

    def reset(self) -> None:
        """A new connection begins."""
        self.running.clear()
        self.ended.clear()
        self.awaited.clear()

    def started(self, response_id: str) -> None:
        """A response began."""
        self.running.add(response_id)

    def call_ended(self, item_id: str) -> bool:
        """An MCP call was answered or failed. True if the model is to go on now."""
        for response_id, calls in self.awaited.items():
            if item_id in calls:
                calls.discard(item_id)
                if calls:
                    return False
                del self.awaited[response_id]
                return True
        if not self.running:
            return True
        self.ended[item_id] = None
        while len(self.ended) > REMEMBERED:
            del self.ended[next(iter(self.ended))]
        return False

    def done(self, response_id: str, status: str, output: Sequence[Mapping[str, Any]]) -> bool:
        """A response ended. True if the model is to go on now."""
        self.running.discard(response_id)
        calls = [str(item.get("id")) for item in output if item.get("type") in ("mcp_call", "mcp_tool_call")]
        open_calls = {call for call in calls if self.ended.pop(call, self) is self}
        # What ended and is nobody's had been approved, and was made beside this response.
        others = bool(self.ended) and not self.running
        if not self.running:
            self.ended.clear()
        if status == "cancelled":  # the user speaks, or nobody wants an answer
            return False
        if open_calls:
            self.awaited[response_id] = open_calls
            while len(self.awaited) > REMEMBERED:
                del self.awaited[next(iter(self.awaited))]
            return False
        return bool(calls) or others


class Host(Protocol):
    """What this needs of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """Where the request for a response goes."""
        ...

    def emit(self, event: TransportEventBase, /) -> None:
        """Tell the session's listeners."""

    def report(self, error: Exception, /) -> None:
        """Tell them of an error."""


class HostedMcp:
    """The hosted MCP tools of a session.

    Args:
        automatic: ask for a response once the MCP calls of a response have ended.
    """

    def __init__(self, host: Host, *, automatic: bool) -> None:
        self._host = host
        self._automatic = automatic
        self._tools = ListedTools()
        self._follow_ups = FollowUps()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> tuple[Mapping[str, Any], ...]:
        """See `RealtimeSession.available_mcp_tools`."""
        return self._tools.available

    def reset(self, config: Mapping[str, Any]) -> None:
        """A new connection begins, with this configuration."""
        self._tools.reset()
        self._follow_ups.reset()
        self.configured(config)

    def configured(self, config: Mapping[str, Any]) -> None:
        """The service is configured like this, with the wire's names."""
        if self._tools.configured(cast("Iterable[Mapping[str, Any]]", config.get("tools") or ())):
            self._host.emit(McpToolsChanged(self.available))

    def listed(self, event: McpToolsListed) -> None:
        """A server listed its tools."""
        if self._tools.listed(event.server_label, event.tools):
            self._host.emit(McpToolsChanged(self.available))

    def turn_started(self, response_id: str) -> None:
        """A response began."""
        self._follow_ups.started(response_id)

    def turn_done(self, event: TurnDone) -> None:
        """A response ended."""
        if self._follow_ups.done(event.response_id, event.status, event.output):
            self.go_on()

    def call_completed(self, event: McpToolCallCompleted) -> None:
        """The service has made a call."""
        if self._follow_ups.call_ended(event.item.item_id):
            self.go_on()

    def go_on(self) -> None:
        """Ask for a response, if that is wanted; a failure is reported."""
        if self._automatic:
            task = asyncio.get_running_loop().create_task(self._request(), name="voxwire mcp response")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """The connection is over."""
        for task in self._tasks:
            task.cancel()

    async def _request(self) -> None:
        try:
            await self._host.transport.request_response()
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._host.report(error)
