"""Client events that were made elsewhere: what an engine has to know of them before they go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import UserError
from .actions import Action, Emit, Send
from .handlers.fields import mapping
from .history_diff import history_changes
from .items import RealtimeItem
from .transport_events import ErrorEvent

if TYPE_CHECKING:
    from .engine import RealtimeEngine

__all__ = ["change_history", "send_noted"]


def send_noted(engine: RealtimeEngine, event: Mapping[str, Any]) -> list[Action]:
    """Send a wire event as it is, but for creates, which wait for their turn (see `RealtimeEngine.send_event`)."""
    kind = event["type"]
    if kind == "session.update" and isinstance(event.get("session"), Mapping):
        event_id = event.get("event_id")
        known_id = event_id if isinstance(event_id, str) else None
        engine.settings.sent(known_id, cast("Mapping[str, Any]", event["session"]))
    elif kind == "response.cancel":
        engine.responses.cancelled(event.get("response_id"))
        if event.get("response_id"):
            # Whoever names it means to stop it: that it ended meanwhile is no error.
            event = {"event_id": engine.ids("event"), **event}
            engine.cancels.add(str(event["event_id"]))
    elif kind == "conversation.item.create":
        _note_item(engine, event)
    return [Send(dict(event))]


def change_history(
    engine: RealtimeEngine, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]
) -> list[Action]:
    """Send what turns `old` into `new`."""
    try:
        change = history_changes(old, new, lambda: engine.ids("item"))
    except ValueError as error:
        raise UserError(str(error)) from None
    out: list[Action] = []
    for event in change.events:
        _note_item(engine, event)
        out.append(Send({"event_id": engine.ids("event"), **event}))
    if change.skipped:
        words = f"items {', '.join(change.skipped)} cannot be created by a client and were left out"
        out.append(Emit(ErrorEvent(UserError(words))))
    return out


def _note_item(engine: RealtimeEngine, event: Mapping[str, Any]) -> None:
    """What to know about an item before the service shows it."""
    item = mapping(event, "item")
    item_id, call_id = item.get("id"), item.get("call_id")
    if isinstance(item_id, str):
        if event.get("previous_item_id") == "root":
            engine.put_first.add(item_id)
        else:
            engine.put_first.discard(item_id)
    if item.get("type") == "function_call" and isinstance(call_id, str):
        engine.calls.forget([call_id])
