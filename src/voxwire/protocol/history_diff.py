"""The wire events that turn one conversation into another.

The service has no event for changing or moving an item: it is deleted and created again, in
its place (`previous_item_id`, or `root` for the first; Realtime API reference,
`conversation.item.create`). Assistant speech cannot be given back as audio; it is
restored as text from its transcript, so nothing has to fail.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .items import (
    FunctionCallItem,
    McpApprovalRequestItem,
    McpCallItem,
    McpListToolsItem,
    RealtimeItem,
    item_to_wire,
)

__all__ = ["HistoryChange", "history_changes"]


@dataclass(frozen=True, slots=True)
class HistoryChange:
    """The events to send, and the items that cannot be created by a client and were left out."""

    events: tuple[dict[str, Any], ...]
    skipped: tuple[str, ...] = ()


def history_changes(
    old: Sequence[RealtimeItem], new: Sequence[RealtimeItem], new_id: Callable[[], str]
) -> HistoryChange:
    """Compare two histories by item id.

    Args:
        old, new: the histories, oldest item first.
        new_id: gives ids for the items that a history has no id for (outputs of tool calls).

    Raises:
        ValueError: if an id is in `new` twice.
    """
    seen: set[str] = set()
    for item in new:
        if item.item_id in seen:
            raise ValueError(f"item id {item.item_id!r} is in the new history twice")
        seen.add(item.item_id)
    before = {item.item_id: item for item in old}
    kept = _kept(old, new, before)
    deletes = [
        {"type": "conversation.item.delete", "item_id": item_id}
        for item in old
        if item.item_id not in kept
        for item_id in (item.item_id, _output_id(item))
        if item_id is not None
    ]
    creates, skipped = _creates(new, kept, new_id)
    return HistoryChange((*deletes, *creates), tuple(skipped))


def _kept(
    old: Sequence[RealtimeItem], new: Sequence[RealtimeItem], before: dict[str, RealtimeItem]
) -> set[str]:
    """The most items that can stay where they are: unchanged, and in the same order in both.

    What a client cannot create is never deleted only to be moved.
    """
    position = {item.item_id: index for index, item in enumerate(old)}
    same = [item for item in new if item.item_id in before and _same(before[item.item_id], item)]
    fixed = {item.item_id for item in same if not _can_create(item)}
    anchors = set(_longest_rising((item.item_id for item in same if item.item_id in fixed), position))
    fits = _between_anchors([item.item_id for item in same], anchors, position)
    return fixed | set(_longest_rising(fits, position))


def _between_anchors(ids: list[str], anchors: set[str], position: dict[str, int]) -> list[str]:
    """The ids that lie between the same anchors in both histories, and the anchors."""
    above: list[float] = []
    limit = float("inf")
    for item_id in reversed(ids):
        above.append(limit)
        if item_id in anchors:
            limit = position[item_id]
    fits: list[str] = []
    below = -1.0
    for item_id, upper in zip(ids, reversed(above), strict=True):
        if below < position[item_id] < upper:
            fits.append(item_id)
            if item_id in anchors:
                below = position[item_id]
    return fits


def _can_create(item: RealtimeItem) -> bool:
    return not isinstance(item, (McpCallItem, McpApprovalRequestItem, McpListToolsItem))


def _output_id(item: RealtimeItem) -> str | None:
    """The output of a tool call is an item of its own at the service."""
    return item.output_item_id if isinstance(item, FunctionCallItem) else None


def _same(one: RealtimeItem, other: RealtimeItem) -> bool:
    return type(one) is type(other) and item_to_wire(one) == item_to_wire(other) and one.type == other.type


def _longest_rising(ids: Iterable[str], position: dict[str, int]) -> list[str]:
    """The longest subsequence whose positions rise (patience sorting, O(n log n))."""
    tails: list[int] = []
    heads: list[str] = []
    before: dict[str, str | None] = {}
    for item_id in ids:
        place = bisect_left(tails, position[item_id])
        before[item_id] = heads[place - 1] if place else None
        if place == len(tails):
            tails.append(position[item_id])
            heads.append(item_id)
        else:
            tails[place] = position[item_id]
            heads[place] = item_id
    chain: list[str] = []
    link = heads[-1] if heads else None
    while link is not None:
        chain.append(link)
        link = before[link]
    return chain[::-1]


def _creates(
    new: Sequence[RealtimeItem], kept: set[str], new_id: Callable[[], str]
) -> tuple[list[dict[str, Any]], list[str]]:
    events: list[dict[str, Any]] = []
    skipped: list[str] = []
    previous = "root"
    for item in new:
        if item.item_id in kept:
            previous = _output_id(item) or item.item_id
            continue
        wire = item_to_wire(item)
        if not wire:
            skipped.append(item.item_id)
            continue
        for part in wire:
            if "id" not in part:
                part["id"] = new_id()
            events.append({"type": "conversation.item.create", "previous_item_id": previous, "item": part})
            previous = part["id"]
    return events, skipped
