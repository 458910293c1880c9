"""Reading fields of wire events without trusting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..actions import Action, Emit
from ..history import HistoryView
from ..transport_events import HistoryUpdated

if TYPE_CHECKING:
    from ..engine import RealtimeEngine

__all__ = ["Handler", "WireEvent", "history_updated", "integer", "mapping", "string"]

WireEvent: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = "Callable[[RealtimeEngine, WireEvent, list[Action], float], None]"


def string(event: WireEvent, key: str) -> str:
    """The field, or "" if it is missing or no string."""
    value = event.get(key)
    return value if isinstance(value, str) else ""


def integer(event: WireEvent, key: str) -> int:
    """The field, or 0 if it is missing, negative or no whole number."""
    value = event.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def mapping(event: WireEvent, key: str) -> WireEvent:
    """The field, or an empty mapping if it is missing or no object."""
    value = event.get(key)
    return cast("WireEvent", value) if isinstance(value, Mapping) else {}


def history_updated(engine: RealtimeEngine) -> Emit:
    """Tell the listeners that the history changed."""
    return Emit(HistoryUpdated(HistoryView(engine.history)))
