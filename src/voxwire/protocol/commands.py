"""Client events, built from their parts. Source: Realtime API reference, client events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ..errors import UserError
from .transport_events import ItemTruncation

__all__ = [
    "cancel_response",
    "clear_output",
    "create_message",
    "function_call_output",
    "image_message",
    "mcp_approval_response",
    "truncate",
    "without_voice",
]

Ids = Callable[[str], str]


def create_message(
    message: str | Mapping[str, Any], other_event_data: Mapping[str, Any] | None, ids: Ids
) -> dict[str, Any]:
    """`conversation.item.create` for a text or a structured message.

    An `input_image` part may carry `image` (the JavaScript SDK's name) for `image_url`.

    Raises:
        UserError: if a structured message has no content.
    """
    if isinstance(message, str):
        item: dict[str, Any] = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": message}],
        }
    else:
        content = message.get("content")
        if not isinstance(content, (list, tuple)) or not content:
            raise UserError(f"a structured message needs a 'content' list, got {dict(message)!r}")
        parts = cast("list[Mapping[str, Any]]", content)
        item = {"type": "message", "role": "user", **message, "content": [_part(part) for part in parts]}
    return {
        "type": "conversation.item.create",
        "event_id": ids("event"),
        "item": item,
        **(other_event_data or {}),
    }


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") != "input_image" or "image" not in part:
        return dict(part)
    wire = {key: value for key, value in part.items() if key not in ("image", "provider_data")}
    wire["image_url"] = part["image"]
    return {**wire, **(part.get("provider_data") or {})}


def image_message(image: str, detail: str | None) -> dict[str, Any]:
    """A message that is one picture.

    Raises:
        UserError: if it is neither a data URL nor an http(s) address.
    """
    if not image.startswith(("data:image/", "https://", "http://")):
        raise UserError(f"an image must be a data:image/... URL or an http(s) address, got {image[:40]!r}")
    part = {"type": "input_image", "image_url": image}
    if detail is not None:
        part["detail"] = detail
    return {"role": "user", "content": [part]}


def function_call_output(call_id: str, output: str, ids: Ids) -> dict[str, Any]:
    """The answer to a tool call."""
    return {
        "type": "conversation.item.create",
        "event_id": ids("event"),
        "item": {"type": "function_call_output", "call_id": call_id, "output": output},
    }


def mcp_approval_response(request_id: str, approve: bool, reason: str | None, ids: Ids) -> dict[str, Any]:
    """The answer to an MCP approval request."""
    item: dict[str, Any] = {
        "type": "mcp_approval_response",
        "approval_request_id": request_id,
        "approve": approve,
    }
    if reason is not None:
        item["reason"] = reason
    return {
        "type": "conversation.item.create",
        "event_id": ids("event"),
        "previous_item_id": request_id,
        "item": item,
    }


def cancel_response(response_id: str, ids: Ids) -> dict[str, Any]:
    """`response.cancel`; an empty id means the response in progress, whatever it is."""
    event = {"type": "response.cancel", "event_id": ids("event")}
    if response_id:
        event["response_id"] = response_id
    return event


def clear_output(ids: Ids) -> dict[str, Any]:
    """`output_audio_buffer.clear`: drop the audio the service is playing (WebRTC and SIP only)."""
    return {"type": "output_audio_buffer.clear", "event_id": ids("event")}


def truncate(where: ItemTruncation, ids: Ids) -> dict[str, Any]:
    """`conversation.item.truncate`."""
    return {
        "type": "conversation.item.truncate",
        "event_id": ids("event"),
        "item_id": where.item_id,
        "content_index": where.content_index,
        "audio_end_ms": where.audio_end_ms,
    }


def without_voice(session: Mapping[str, Any]) -> dict[str, Any]:
    """An update without the voice, which the service refuses to change once it has spoken."""
    audio = session.get("audio")
    output = cast("Mapping[str, Any]", audio).get("output") if isinstance(audio, Mapping) else None
    if not isinstance(output, Mapping) or "voice" not in output:
        return dict(session)
    kept_output = {key: value for key, value in cast("Mapping[str, Any]", output).items() if key != "voice"}
    kept_audio = {key: value for key, value in cast("Mapping[str, Any]", audio).items() if key != "output"}
    if kept_output:
        kept_audio["output"] = kept_output
    rest = {key: value for key, value in session.items() if key != "audio"}
    return {**rest, "audio": kept_audio} if kept_audio else rest
