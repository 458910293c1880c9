"""The service's questions whether it may call tools of hosted MCP servers, and the answers.

`McpApprovalBook` decides and is pure; `McpApprovals` tells the listeners and the service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from ..agent import RealtimeAgent
from ..errors import ModelBehaviorError, UserError
from ..protocol.items import McpApprovalRequestItem
from ..protocol.table import Table
from ..protocol.transport_events import McpApprovalRequest, TransportEventBase
from ..tools.arguments import InvalidArgumentsError, read_json
from ..tools.context import RunContext
from ..transports.base import RealtimeTransportLayer
from .events import McpApprovalRequested

__all__ = ["MCP_APPROVAL", "McpApprovalBook", "McpApprovalLike", "McpApprovals"]

logger = logging.getLogger("voxwire")

REMEMBERED: Final = 1024
"""Answered questions that are remembered, to recognise a second answer."""

MCP_APPROVAL = Table(
    "MCP approval",
    "asked",
    {
        ("asked", "decide"): "answering",
        ("answering", "sent"): "answered",
        # Nothing has happened at the service: it can be decided again.
        ("answering", "send failed"): "asked",
    },
)
"""One question of the service. The end of the connection ends them all."""

McpApprovalLike: TypeAlias = McpApprovalRequested | McpApprovalRequest | McpApprovalRequestItem
"""The session's event, the transport's, or the item of the history."""


@dataclass(slots=True, eq=False)
class _Entry:
    agent: RealtimeAgent
    item: McpApprovalRequestItem
    state: str = MCP_APPROVAL.initial


class McpApprovalBook:
    """The questions of one connection, by item id, and what was decided for good.

    Args:
        connection: its number, which its events carry.
    """

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self._entries: dict[str, _Entry] = {}
        self._always: dict[tuple[RealtimeAgent, str, str], tuple[bool, str | None]] = {}

    def asked(
        self, agent: RealtimeAgent, item: McpApprovalRequestItem
    ) -> Literal["new", "repeated", "changed"]:
        """The service asks; what is `repeated` is ignored."""
        entry = self._entries.get(item.item_id)
        if entry is not None:
            return "repeated" if _meaning(entry.item) == _meaning(item) else "changed"
        self._entries[item.item_id] = _Entry(agent, item)
        while len(self._entries) > REMEMBERED:
            answered = (key for key, entry in self._entries.items() if entry.state == "answered")
            oldest = next(answered, None)
            if oldest is None:
                break
            del self._entries[oldest]
        return "new"

    def standing(self, agent: RealtimeAgent, item: McpApprovalRequestItem) -> tuple[bool, str | None] | None:
        """What was decided for good about this tool of this server, for this agent: approved, and the reason."""
        return self._always.get((agent, item.server_label, item.name))

    def pending(self) -> tuple[McpApprovalRequestItem, ...]:
        """The questions without an answer, oldest first."""
        return tuple(entry.item for entry in self._entries.values() if entry.state == "asked")

    def begin(self, given: McpApprovalLike) -> McpApprovalRequestItem | None:
        """Somebody decides; the item as it was asked, or None if it is decided already.

        Raises:
            UserError: if it is not one of this connection's questions, or not as it was asked.
        """
        item = given if isinstance(given, McpApprovalRequestItem) else given.item
        what = f"approval of MCP call {item.item_id!r} ({item.name})"
        if isinstance(given, McpApprovalRequested) and given.connection != self.connection:
            raise UserError(f"{what}: it was asked on a connection that has ended, nobody waits for it")
        entry = self._entries.get(item.item_id)
        if entry is None:
            raise UserError(f"{what}: it was not asked on this connection")
        if _meaning(item) != _meaning(entry.item):
            raise UserError(f"{what}: it is not as it was asked; pass on the event itself, unchanged")
        if not MCP_APPROVAL.allows(entry.state, "decide"):
            return None
        entry.state = MCP_APPROVAL.step(entry.state, "decide")
        return entry.item

    def finish(self, item: McpApprovalRequestItem, event: Literal["sent", "send failed"]) -> None:
        """The answer was sent, or was not."""
        entry = self._entries[item.item_id]
        entry.state = MCP_APPROVAL.step(entry.state, event)

    def always(self, item: McpApprovalRequestItem, approved: bool, reason: str | None) -> None:
        """Decide the same from now on."""
        agent = self._entries[item.item_id].agent
        self._always[agent, item.server_label, item.name] = (approved, reason)


def _meaning(item: McpApprovalRequestItem) -> tuple[str, str, str, str]:
    # Where it is in the history, and what is known of the answer, may change.
    return item.item_id, item.server_label, item.name, item.arguments


class Host(Protocol):
    """What this needs of the session."""

    @property
    def transport(self) -> RealtimeTransportLayer:
        """Where answers go."""
        ...

    @property
    def context(self) -> RunContext[object]:
        """The run context."""
        ...

    def emit(self, event: TransportEventBase, /) -> None:
        """Tell the session's listeners."""

    def report(self, error: Exception, /) -> None:
        """Tell them of an error."""


class McpApprovals:
    """The MCP approvals of a session.

    Args:
        is_heard: whether somebody listens to an event.
        rejected: called after a rejection was sent: the service does not go on by itself.
    """

    def __init__(self, host: Host, is_heard: Callable[[str], bool], rejected: Callable[[], None]) -> None:
        self._host = host
        self._is_heard = is_heard
        self._rejected = rejected
        self._book = McpApprovalBook(0)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> tuple[McpApprovalRequestItem, ...]:
        """The questions without an answer, oldest first."""
        return self._book.pending()

    def requested(self, event: McpApprovalRequest) -> None:
        """The service asks: answer as was decided for good, or ask the listeners."""
        context, item = self._host.context, event.item
        verdict = self._book.asked(context.agent, item)
        if verdict == "changed":
            words = f"MCP approval request {item.item_id!r} came again with other contents; it is ignored"
            self._host.report(ModelBehaviorError(words))
        if verdict != "new":
            return
        standing = self._book.standing(context.agent, item)
        if standing is not None:
            task = asyncio.get_running_loop().create_task(
                self._answer(item, *standing), name="voxwire mcp approval"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        request = McpApprovalRequested(context, context.agent, item, _readable(item), self._book.connection)
        if not self._is_heard(request.name):
            logger.warning("an MCP call waits for approval and nobody listens to %r", request.name)
        self._host.emit(request)

    async def decide(
        self, request: McpApprovalLike, approved: bool, *, always: bool = False, reason: str | None = None
    ) -> bool:
        """Answer the service. False if it was answered before, or is being answered.

        Raises:
            UserError: if it is not one of this connection's questions, or not as it was asked.
            Whatever sending raises; then it may be decided again.
        """
        book = self._book
        item = book.begin(request)
        if item is None:
            return False
        sent = False
        try:
            await self._host.transport.send_mcp_response(McpApprovalRequest(item), approved, reason)
            sent = True
        finally:
            book.finish(item, "sent" if sent else "send failed")
        if always:
            book.always(item, approved, reason)
        if not approved and book is self._book:
            self._rejected()
        return True

    async def _answer(self, item: McpApprovalRequestItem, approved: bool, reason: str | None) -> None:
        try:
            await self.decide(item, approved, reason=reason)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._host.report(error)

    def stop(self) -> None:
        """The connection is over: what was asked and decided on it holds no more."""
        for task in self._tasks:
            task.cancel()
        self._book = McpApprovalBook(self._book.connection + 1)


def _readable(item: McpApprovalRequestItem) -> dict[str, object] | None:
    try:
        return read_json(item.arguments)
    except InvalidArgumentsError:
        return None
