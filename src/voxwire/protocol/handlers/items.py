"""Conversation items as they are added, completed, cut and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..actions import Action, Emit, Send
from ..items import (
    ItemStatus,
    McpApprovalRequestItem,
    McpCallItem,
    McpListToolsItem,
    MessageItem,
    RealtimeItem,
    item_from_wire,
)
from ..transport_events import (
    HistoryAdded,
    ItemDeleted,
    ItemUpdate,
    McpApprovalRequest,
    McpToolCallCompleted,
    McpToolsListed,
)
from .fields import Handler, WireEvent, content_index, history_updated, integer, mapping, string

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["HANDLERS", "take_item"]


def take_item(
    engine: RealtimeEngine, event: WireEvent, out: list[Action], default_status: ItemStatus
) -> RealtimeItem | None:
    """Merge the event's item into the history and tell the listeners; None if it has none."""
    previous = string(event, "previous_item_id") or None
    raw = mapping(event, "item")
    if raw.get("type") == "function_call_output":
        return _take_output(engine, raw, out)
    item = item_from_wire(raw, previous_item_id=previous, default_status=default_status)
    if item is None:
        return None
    first = previous is None and item.item_id in engine.put_first
    if first:
        engine.put_first.discard(item.item_id)
    added = engine.history.upsert(item, placed=first or previous is not None, first=first)
    merged = engine.history.get(item.item_id) or item
    if added:
        out.append(Emit(HistoryAdded(merged)))
    out.append(Emit(ItemUpdate(merged)))
    out.append(history_updated(engine))
    return merged


def _take_output(engine: RealtimeEngine, raw: WireEvent, out: list[Action]) -> RealtimeItem | None:
    """The output of a tool call belongs to the call; news only if it was not put there when it was sent."""
    call_id, output = string(raw, "call_id"), string(raw, "output")
    before = engine.history.get_call(call_id)
    item = engine.history.set_output(call_id, output, output_item_id=string(raw, "id") or None)
    if item is not None and (before is None or before.output != item.output):
        out.append(Emit(ItemUpdate(item)))
        out.append(history_updated(engine))
    return None


def item_added(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.added`."""
    take_item(engine, event, out, "in_progress")


def item_done(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.done`; also where MCP items are complete."""
    match take_item(engine, event, out, "completed"):
        case McpListToolsItem() as listed:
            out.append(Emit(McpToolsListed(listed.server_label, listed.tools)))
        case McpApprovalRequestItem() as request:
            out.append(Emit(McpApprovalRequest(request)))
        case McpCallItem() as call:
            out.append(Emit(McpToolCallCompleted(call)))
        case _:
            pass


def item_retrieved(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.retrieved`: after a cut, the service's word for what was heard."""
    item_id = string(mapping(event, "item"), "id")
    if item_id in engine.awaiting_heard:
        engine.awaiting_heard.discard(item_id)
        item = item_from_wire(mapping(event, "item"))
        if isinstance(item, MessageItem):
            engine.history.confirm_heard(item)
    take_item(engine, event, out, "completed")


def item_truncated(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.truncated`: ask what is left, since the event does not say.

    The cut may be news to us: the service makes it itself where it plays the audio (WebRTC, SIP).
    """
    item_id, index = string(event, "item_id"), content_index(event)
    if item_id in engine.history and (engine.plane is not None or not engine.history.was_cut(item_id, index)):
        end_ms = integer(event, "audio_end_ms")
        length_ms = None
        if engine.plane is not None:  # the service's word goes before what was made of the frames
            length_ms = engine.plane.length_ms(engine.history.get(item_id), index, "", end_ms)
        engine.history.truncate(item_id, index, end_ms, length_ms)
        out.append(history_updated(engine))
    if item_id and engine.options.confirm_truncation:
        engine.awaiting_heard.add(item_id)
        out.append(_retrieve(engine, item_id))


def item_deleted(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`conversation.item.deleted`."""
    item_id = string(event, "item_id")
    # Not its mark in `put_first`: that is for the create that follows, when a first item is changed.
    engine.awaiting_heard.discard(item_id)
    if engine.history.delete(item_id):
        out.append(Emit(ItemDeleted(item_id)))
        out.append(history_updated(engine))


def mcp_in_progress(engine: RealtimeEngine, event: WireEvent, out: list[Action], now: float) -> None:
    """`mcp_list_tools.in_progress`, `response.mcp_call.in_progress`: look at an item we do not know."""
    item_id = string(event, "item_id")
    if item_id and item_id not in engine.history:
        out.append(_retrieve(engine, item_id))


def _retrieve(engine: RealtimeEngine, item_id: str) -> Send:
    return Send({"type": "conversation.item.retrieve", "event_id": engine.ids("event"), "item_id": item_id})


HANDLERS: Final[dict[str, Handler]] = {
    "conversation.item.added": item_added,
    "conversation.item.created": item_added,  # the name before GA, still sent by compatible servers
    "conversation.item.done": item_done,
    "conversation.item.retrieved": item_retrieved,
    "conversation.item.truncated": item_truncated,
    "conversation.item.deleted": item_deleted,
    "mcp_list_tools.in_progress": mcp_in_progress,
    "response.mcp_call.in_progress": mcp_in_progress,
}
