"""Reading fields of wire events without trusting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..actions import Action, Emit
from ..history import MAX_PARTS, HistoryView
from ..transport_events import HistoryAdded, HistoryUpdated

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = [
    "Handler",
    "WireEvent",
    "content_index",
    "history_added",
    "history_updated",
    "integer",
    "mapping",
    "string",
]

WireEvent: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = "Callable[[RealtimeEngine, WireEvent, list[Action], float], None]"


def string(event: WireEvent, key: str) -> str:
    """The field, or "" if it is missing or no string."""
    value = event.get(key)
    return value if isinstance(value, str) else ""


def integer(event: WireEvent, key: str) -> int:
    """The field, or 0 if it is missing, negative or no whole number."""
    value = event.get(key)
    return value if type(value) is int and value > 0 else 0


def content_index(event: WireEvent) -> int:
    """Which content part is meant; 0 if the field is missing or absurd."""
    value = integer(event, "content_index")
    return value if value < MAX_PARTS else 0


def mapping(event: WireEvent, key: str) -> WireEvent:
    """The field, or an empty mapping if it is missing or no object."""
    value = event.get(key)
    return cast("WireEvent", value) if isinstance(value, Mapping) else {}


def history_added(engine: RealtimeEngine, item_id: str, out: list[Action]) -> None:
    """Tell the listeners of an item that is known by its words before the service showed it."""
    item = engine.history.get(item_id)
    if item is not None:
        out.append(Emit(HistoryAdded(item)))


def history_updated(engine: RealtimeEngine) -> Emit:
    """Tell the listeners that the history changed."""
    return Emit(HistoryUpdated(HistoryView(engine.history)))
