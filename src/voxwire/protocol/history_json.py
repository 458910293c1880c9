"""A history as JSON and back, with all that items hold (a history of the wire would lose what was not heard)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, cast

from ..errors import UserError
from .items import (
    ContentPart,
    FunctionCallItem,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequestItem,
    McpCallItem,
    McpListToolsItem,
    MessageItem,
    OtherItem,
    OtherPart,
    OutputAudio,
    OutputText,
    RealtimeItem,
)

__all__ = ["FORMAT", "history_from_json", "history_to_json", "item_from_dict", "item_to_dict"]

FORMAT: Final = 1
"""The version of the format: `{"voxwire_history": 1, "items": [...]}`."""

_ITEMS: Final[Mapping[str, type[Any]]] = {
    cls.type: cls
    for cls in (MessageItem, FunctionCallItem, McpCallItem, McpApprovalRequestItem, McpListToolsItem)
}
_PARTS: Final[Mapping[str, type[Any]]] = {
    cls.type: cls for cls in (InputText, InputAudio, InputImage, OutputText, OutputAudio)
}


def item_to_dict(item: RealtimeItem) -> dict[str, Any]:
    """An item as JSON values; what it does not have is left out."""
    if isinstance(item, OtherItem):
        return _without_none(
            {"other": dict(item.raw), "item_id": item.item_id, "previous_item_id": item.previous_item_id}
        )
    values = {"type": item.type, **{f.name: getattr(item, f.name) for f in fields(item)}}
    if isinstance(item, MessageItem):
        values["content"] = [_part_to_dict(part) for part in item.content]
    elif isinstance(item, McpListToolsItem):
        values["tools"] = [dict(tool) for tool in item.tools]
    return _without_none(values)


def _part_to_dict(part: ContentPart) -> dict[str, Any]:
    if isinstance(part, OtherPart):
        return {"other": dict(part.raw)}
    return _without_none({"type": part.type, **{f.name: getattr(part, f.name) for f in fields(part)}})


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def item_from_dict(values: object) -> RealtimeItem:
    """The item that `item_to_dict` wrote; fields of a later version are passed over.

    Raises:
        UserError: if it is not one.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"a history item must be an object, got {values!r}")
    entry = cast("Mapping[str, Any]", values)
    if isinstance(entry.get("other"), Mapping):
        return OtherItem(str(entry.get("item_id", "")), entry["other"], entry.get("previous_item_id"))
    item: Any = _made(_ITEMS, entry, "item")
    return cast("RealtimeItem", item)


def _part_from_dict(values: object) -> ContentPart:
    if not isinstance(values, Mapping):
        raise UserError(f"a content part must be an object, got {values!r}")
    entry = cast("Mapping[str, Any]", values)
    if isinstance(entry.get("other"), Mapping):
        return OtherPart(entry["other"])
    part: Any = _made(_PARTS, entry, "content part")
    return cast("ContentPart", part)


def _made(kinds: Mapping[str, type[Any]], entry: Mapping[str, Any], what: str) -> Any:
    cls = kinds.get(str(entry.get("type")))
    if cls is None:
        raise UserError(
            f"a history {what} of type {entry.get('type')!r} is not known; one of {', '.join(kinds)} is"
        )
    known = {f.name for f in fields(cls)}
    arguments = {key: value for key, value in entry.items() if key in known}
    if cls is MessageItem:
        arguments["content"] = tuple(_part_from_dict(part) for part in entry.get("content") or ())
    elif cls is McpListToolsItem:
        arguments["tools"] = tuple(entry.get("tools") or ())
    try:
        return cls(**arguments)
    except TypeError as error:
        raise UserError(f"a history {what} cannot be read: {error}") from None


def history_to_json(items: Sequence[RealtimeItem]) -> str:
    """A history as a JSON document; `history_from_json` gives the same items back."""
    document = {"voxwire_history": FORMAT, "items": [item_to_dict(item) for item in items]}
    return json.dumps(document, ensure_ascii=False, indent=1)


def history_from_json(text: str | bytes) -> tuple[RealtimeItem, ...]:
    """The items of a saved history.

    Raises:
        UserError: if it is not one, or was written by a later version.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f"the saved history is not JSON: {error}") from None
    if not isinstance(document, Mapping) or "voxwire_history" not in document:
        raise UserError("this is not a saved history: it has no 'voxwire_history'")
    saved = cast("Mapping[str, Any]", document)
    if saved["voxwire_history"] != FORMAT:
        raise UserError(f"the history has format {saved['voxwire_history']!r}; this version reads {FORMAT}")
    items = saved.get("items")
    if not isinstance(items, list):
        raise UserError("the saved history has no list 'items'")
    return tuple(item_from_dict(item) for item in cast("list[object]", items))
