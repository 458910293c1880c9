"""Beginning a conversation with a history: of an earlier connection, or a saved one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from ..errors import UserError
from ..protocol.history_json import history_from_json
from ..protocol.items import RealtimeItem, item_to_wire
from ..transports.base import RealtimeTransportLayer
from ..transports.shell import EngineShell

__all__ = ["HistoryLike", "read_history", "seed"]

HistoryLike: TypeAlias = Sequence[RealtimeItem] | str
"""Items, oldest first, or what `export_history("json")` gave."""

PATIENCE: Final = 5.0
"""Seconds that `connect` waits for the service to show the items."""


def read_history(history: HistoryLike | None) -> tuple[RealtimeItem, ...]:
    """The items to begin with; nothing that a client cannot create, and nothing that has no words left.

    Raises:
        UserError: if it is no history, or has an item twice.
    """
    if history is None:
        return ()
    items = history_from_json(history) if isinstance(history, str) else tuple(history)
    seen: set[str] = set()
    for item in items:
        item_id: Any = getattr(item, "item_id", None)
        if not isinstance(item_id, str) or not item_id:
            raise UserError(f"a history is made of items (MessageItem, FunctionCallItem, ...), got {item!r}")
        if item_id in seen:
            raise UserError(f"item id {item_id!r} is in the history twice")
        seen.add(item_id)
    return tuple(item for item in items if item_to_wire(item))


async def seed(transport: RealtimeTransportLayer, items: Sequence[RealtimeItem]) -> None:
    """Create the items at the service, in order, and wait until it has shown or refused each.

    An item that it refuses is an `error` event; the conversation begins without it.

    Raises:
        Whatever sending raises.
    """
    if not items:
        return
    if not isinstance(transport, EngineShell):
        await transport.reset_history((), items)  # whether such a transport shows them, nobody knows
        return
    missing = {item.item_id for item in items}
    refused = 0
    settled = asyncio.Event()

    def note(event: Any) -> None:
        nonlocal refused
        refused += event.name == "error"
        if event.name == "history_added":
            missing.discard(event.item.item_id)
        if len(missing) <= refused or event.name == "connection_change":
            settled.set()

    names = ("history_added", "error", "connection_change")
    for name in names:
        transport.on(name, note)
    try:
        await transport.reset_history((), items)
        async with asyncio.timeout(PATIENCE):
            await settled.wait()
    except TimeoutError:
        pass  # it may still show them; what was sent is before all that follows
    finally:
        for name in names:
            transport.off(name, note)
