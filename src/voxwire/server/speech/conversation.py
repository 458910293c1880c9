"""What a responder needs to know of a conversation, read from its items on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .shapes import as_list, as_mapping

__all__ = ["Reading", "content_parts", "item_text", "read_conversation"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a conversation stands.

    Attributes:
        user_text: the last user message; None if there was none.
        user_images: the image URLs in it.
        user_is_new: nothing but system messages has followed it.
        outputs: results of tools that nobody has spoken about yet, with the tool's name.
        previous_user_text: the user message before the last.
        assistant_texts: what the assistant said, oldest first, as far as it was heard.
    """

    user_text: str | None
    user_images: tuple[str, ...]
    user_is_new: bool
    outputs: tuple[tuple[str, str], ...]
    previous_user_text: str | None
    assistant_texts: tuple[str, ...]


def read_conversation(items: Sequence[Mapping[str, Any]]) -> Reading:
    """Read wire items, oldest first. Items of types that are not known are passed over."""
    names = {str(i.get("call_id")): str(i.get("name", "")) for i in items if i.get("type") == "function_call"}
    asked = {i.get("id"): str(i.get("name", "")) for i in items if i.get("type") == "mcp_approval_request"}
    users: list[Mapping[str, Any]] = []
    assistant: list[str] = []
    outputs: list[tuple[str, str]] = []
    user_is_new = False
    for item in items:
        kind, role = item.get("type", "message"), item.get("role")
        if kind == "message" and role == "user":
            users.append(item)
            outputs.clear()
            user_is_new = True
        elif kind == "message" and role == "assistant":
            assistant.append(item_text(item))
            outputs.clear()
            user_is_new = False
        elif kind == "function_call_output":
            outputs.append((names.get(str(item.get("call_id")), ""), _text(item.get("output"))))
        elif kind == "mcp_call" and (item.get("output") is not None or item.get("error")):
            outputs.append((str(item.get("name", "")), _mcp_output(item)))
        elif kind == "mcp_approval_response" and not item.get("approve"):
            reason = item.get("reason") or "The call was not approved"
            outputs.append((asked.get(item.get("approval_request_id"), ""), _text({"error": reason})))
    last: Mapping[str, Any] = users[-1] if users else {}
    return Reading(
        user_text=item_text(last) if users else None,
        user_images=tuple(_images(last)),
        user_is_new=user_is_new,
        outputs=tuple(outputs),
        previous_user_text=item_text(users[-2]) if len(users) > 1 else None,
        assistant_texts=tuple(assistant),
    )


def content_parts(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content parts of a message that are objects."""
    return [part for part in map(as_mapping, as_list(item.get("content"))) if part]


def item_text(item: Mapping[str, Any]) -> str:
    """The words of a message: text and transcripts, joined by a space."""
    texts = [part.get("text") or part.get("transcript") for part in content_parts(item)]
    return " ".join(text.strip() for text in texts if isinstance(text, str) and text.strip())


def _images(item: Mapping[str, Any]) -> Iterable[str]:
    for part in content_parts(item):
        if part.get("type") == "input_image":
            url = part.get("image_url")
            yield url if isinstance(url, str) else ""


def _mcp_output(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    return _text({"error": as_mapping(error).get("message") or error} if error else item.get("output"))


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output)
