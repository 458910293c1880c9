"""Hosted MCP: the servers of a session, their tools, and the calls that are made for the client.

An MCP server is listed when the session begins to name it, or names it differently. Its tools are offered to the
responder like declared ones. Calls belong to the response that makes them, which is not over before
they are; a call that had to be approved is made when the approval arrives, and belongs to none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ...protocol.mcp_policy import is_allowed, needs_approval
from ..limits import Limits
from .actions import CallMcpTool, CancelMcp, ListMcpTools
from .conversation import Conversation
from .errors import ClientError
from .items import ServerItem, public
from .outbox import Outbox
from .responses import Response

__all__ = ["FoundTool", "McpSide"]

CANCELLED = {"type": "tool_execution_error", "message": "The call was cancelled."}


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A listed tool and the configuration of its server."""

    server: Mapping[str, Any]
    tool: Mapping[str, Any]


@dataclass(slots=True)
class _Listing:
    item: ServerItem
    server: Mapping[str, Any]
    tools: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    item: ServerItem
    response: Response | None


@dataclass(frozen=True, slots=True)
class _Question:
    """A call that waits for an approval."""

    server: Mapping[str, Any]
    name: str
    arguments: str


class McpSide:
    """Everything that happens about MCP in one session."""

    def __init__(self, out: Outbox, conversation: Conversation, limits: Limits) -> None:
        self._out = out
        self._conversation = conversation
        self._limits = limits
        self._listings: dict[str, _Listing] = {}
        self._calls: dict[str, _Call] = {}
        self._questions: dict[str, _Question] = {}

    # -- servers ------------------------------------------------------------------------------

    def check(self, session: Mapping[str, Any]) -> None:
        """Raise `ClientError` if a session names more servers than it may."""
        number = len(_servers(session.get("tools", ())))
        if number > self._limits.mcp_servers:
            raise ClientError(
                f"{number} MCP servers are more than the {self._limits.mcp_servers} that this server takes.",
                code="too_many_mcp_servers",
                param="session.tools",
            )

    def configure(self, session: Mapping[str, Any]) -> None:
        """The session changed: list servers that are new or different, forget those that are gone."""
        servers = {str(tool["server_label"]): tool for tool in _servers(session.get("tools", ()))}
        for label, listing in list(self._listings.items()):
            if servers.get(label) != listing.server:
                del self._listings[label]
                if listing.tools is None:
                    self._out.do(CancelMcp(listing.item.id))
        for label, server in servers.items():
            if label not in self._listings:
                self._list(label, server)

    def _list(self, label: str, server: Mapping[str, Any]) -> None:
        item = ServerItem(
            {
                "id": self._out.new_id("mcpl_"),
                "object": "realtime.item",
                "type": "mcp_list_tools",
                "server_label": label,
                "tools": [],
            }
        )
        try:
            previous = self._conversation.insert(item)
        except ClientError as error:
            self._out.error(error)
            return
        self._listings[label] = _Listing(item, server)
        self._out.send("conversation.item.added", previous_item_id=previous, item=public(item.wire))
        self._out.send("mcp_list_tools.in_progress", item_id=item.id)
        self._out.do(ListMcpTools(item.id, server))

    def listed(self, item_id: str, tools: Sequence[Mapping[str, Any]]) -> None:
        """A server's tools, as items have them (`name`, `description`, `input_schema`, `annotations`)."""
        listing = self._listing(item_id)
        if listing is None:
            return
        if len(tools) > self._limits.mcp_tools:
            words = (
                f"It has {len(tools)} tools, more than the {self._limits.mcp_tools} that this server takes."
            )
            self.listing_failed(item_id, words)
            return
        listing.tools = tuple(tools)
        listing.item.wire["tools"] = [dict(tool) for tool in tools]
        self._item_done(listing.item)
        self._out.send("mcp_list_tools.completed", item_id=item_id)

    def listing_failed(self, item_id: str, message: str) -> None:
        """A server could not be listed; the session goes on without its tools."""
        listing = self._listing(item_id)
        if listing is None:
            return
        listing.tools = ()
        self._out.send("mcp_list_tools.failed", item_id=item_id)
        if self._conversation.get(item_id) is listing.item:
            self._conversation.delete(item_id)
            self._out.send("conversation.item.deleted", item_id=item_id)
        label = listing.server["server_label"]
        self._out.error(
            ClientError(
                f"The tools of MCP server '{label}' could not be listed: {message}",
                code="mcp_list_tools_failed",
                param="session.tools",
                type="server_error",
            )
        )

    def _listing(self, item_id: str) -> _Listing | None:
        found = (
            entry for entry in self._listings.values() if entry.item.id == item_id and entry.tools is None
        )
        return next(found, None)

    # -- tools --------------------------------------------------------------------------------

    def offered(self, tools: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """The tools a responder may call: those declared, and those listed as if they were declared."""
        given = list(tools)
        offered = {tool["name"]: tool for tool in given if tool["type"] == "function"}
        for found in (found for server in _servers(given) for found in self._usable(server)):
            offered.setdefault(found.tool["name"], _declared(found))
        return tuple(offered.values())

    def find(self, tools: Iterable[Mapping[str, Any]], name: str) -> FoundTool | None:
        """The MCP tool of this name; None if there is none, or a declared one has the name."""
        declared = list(tools)
        if any(tool["type"] == "function" and tool["name"] == name for tool in declared):
            return None
        usable = (found for tool in _servers(declared) for found in self._usable(tool))
        return next((found for found in usable if found.tool["name"] == name), None)

    def _usable(self, server: Mapping[str, Any]) -> list[FoundTool]:
        # A response may narrow what the session has listed, but not widen it.
        listing = self._listings.get(str(server["server_label"]))
        if listing is None:
            return []
        own = listing.server.get("allowed_tools")
        return [
            FoundTool({**listing.server, **_policy(server)}, tool)
            for tool in listing.tools or ()
            if is_allowed(own, tool) and is_allowed(server.get("allowed_tools"), tool)
        ]

    # -- calls --------------------------------------------------------------------------------

    def call(self, response: Response, found: FoundTool, arguments: str) -> None:
        """A response calls a tool, or asks whether it may."""
        server, name = found.server, str(found.tool["name"])
        label = str(server["server_label"])
        if needs_approval(server.get("require_approval"), found.tool):
            question = response.ask_mcp(label, name, arguments)
            if question is not None:
                self._questions[question.id] = _Question(server, name, arguments)
            return
        item = response.call_mcp(label, name, arguments)
        if item is not None:
            self._start(_Call(item, response), server)

    def _start(self, call: _Call, server: Mapping[str, Any]) -> None:
        wire = call.item.wire
        self._calls[call.item.id] = call
        if len(self._calls) > self._limits.mcp_calls:
            words = f"More than {self._limits.mcp_calls} MCP calls at once are not made here."
            self.failed(call.item.id, {"type": "tool_execution_error", "message": words})
            return
        self._out.do(CallMcpTool(call.item.id, server, str(wire["name"]), str(wire["arguments"])))

    def answered(self, item_id: str, output: str) -> Response | None:
        """A call has a result; the response that it was awaited by."""
        return self._ended(item_id, {"output": output}, "response.mcp_call.completed")

    def failed(self, item_id: str, error: Mapping[str, Any]) -> Response | None:
        """A call failed; `error` is as items have it."""
        return self._ended(item_id, {"error": dict(error)}, "response.mcp_call.failed")

    def _ended(self, item_id: str, fields: Mapping[str, Any], event: str) -> Response | None:
        call = self._calls.pop(item_id, None)
        if call is None:
            return None
        call.item.wire.update(fields)
        if call.response is not None:
            call.response.mcp_ended(call.item, event)
        else:
            self._out.send(event, item_id=item_id, output_index=0)
            self._item_done(call.item)
        return call.response

    def response_ends(self, response: Response) -> None:
        """A response ends: calls that it still waits for are given up, before it says that it is done."""
        for item_id in [item_id for item_id, call in self._calls.items() if call.response is response]:
            self._out.do(CancelMcp(item_id))
            self.failed(item_id, CANCELLED)

    # -- approvals ----------------------------------------------------------------------------

    def check_answer(self, answer: Mapping[str, Any]) -> None:
        """Raise `ClientError` unless this answers a question that is open."""
        request_id = str(answer["approval_request_id"])
        if request_id in self._questions and self._conversation.get(request_id) is not None:
            return
        known = self._conversation.get(request_id)
        asked = known is not None and known.wire["type"] == "mcp_approval_request"
        problem = "has been answered already" if asked else "not found in conversation"
        raise ClientError(
            f"Approval request '{request_id}' {problem}.",
            code="invalid_approval_request_id",
            param="item.approval_request_id",
        )

    def decided(self, answer: Mapping[str, Any]) -> None:
        """The client has answered: make the call, or leave it."""
        question = self._questions.pop(str(answer["approval_request_id"]))
        if not answer["approve"]:
            return
        item = ServerItem(
            {
                "id": self._out.new_id("mcp_"),
                "object": "realtime.item",
                "type": "mcp_call",
                "server_label": question.server["server_label"],
                "name": question.name,
                "arguments": question.arguments,
                "approval_request_id": answer["approval_request_id"],
            }
        )
        try:
            previous = self._conversation.insert(item)
        except ClientError as error:
            self._out.error(error)
            return
        self._out.send("conversation.item.added", previous_item_id=previous, item=public(item.wire))
        self._out.send("response.mcp_call.in_progress", item_id=item.id, output_index=0)
        self._start(_Call(item, None), question.server)

    def forget(self, item_id: str) -> None:
        """The item was deleted: a question has no answer any more."""
        self._questions.pop(item_id, None)

    def _item_done(self, item: ServerItem) -> None:
        if self._conversation.get(item.id) is item:
            previous = self._conversation.previous_of(item.id)
            self._out.send("conversation.item.done", previous_item_id=previous, item=public(item.wire))


def _servers(tools: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [tool for tool in tools if tool["type"] == "mcp"]


def _policy(server: Mapping[str, Any]) -> Mapping[str, Any]:
    policy = server.get("require_approval")
    return {} if policy is None else {"require_approval": policy}


def _declared(found: FoundTool) -> dict[str, Any]:
    schema = found.tool.get("input_schema")
    return {
        "type": "function",
        "name": found.tool["name"],
        "description": found.tool.get("description") or "",
        "parameters": dict(cast("Mapping[str, Any]", schema)) if isinstance(schema, Mapping) else {},
        "server_label": found.server["server_label"],
    }
