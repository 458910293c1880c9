"""Conversation items: what a history is made of.

Items are immutable; a change makes a new one. `Unheard` text of an interrupted reply is
kept in `OutputAudio.full_transcript`, beside the `transcript` that was heard.
Source of the shapes: Realtime API reference, `conversation.item`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast

__all__ = [
    "ContentPart",
    "FunctionCallItem",
    "InputAudio",
    "InputImage",
    "InputText",
    "ItemStatus",
    "McpApprovalRequestItem",
    "McpCallItem",
    "McpListToolsItem",
    "MessageItem",
    "OtherItem",
    "OtherPart",
    "OutputAudio",
    "OutputText",
    "RealtimeItem",
    "Role",
    "item_from_wire",
    "item_text",
    "item_to_wire",
]

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant", "system"]


@dataclass(frozen=True, slots=True)
class InputText:
    """Text of the user or the system."""

    type: ClassVar[str] = "input_text"
    text: str = ""


@dataclass(frozen=True, slots=True)
class InputAudio:
    """Speech of the user.

    Attributes:
        transcript: what was recognised, growing as deltas arrive; None until the first.
        audio: base64 audio, only where the service sent it and it is kept.
    """

    type: ClassVar[str] = "input_audio"
    transcript: str | None = None
    audio: str | None = None


@dataclass(frozen=True, slots=True)
class InputImage:
    """A picture of the user, as a data URL or an address the service can fetch."""

    type: ClassVar[str] = "input_image"
    image_url: str = ""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class OutputText:
    """Text of the assistant."""

    type: ClassVar[str] = "output_text"
    text: str = ""


@dataclass(frozen=True, slots=True)
class OutputAudio:
    """Speech of the assistant.

    Attributes:
        transcript: what was said, or after an interruption what was heard of it.
        full_transcript: everything that had been generated, set once the item was truncated.
        heard_ms: where it was cut, ms from the start of the part; None if it was not.
        audio: base64 audio, only where it is kept.
    """

    type: ClassVar[str] = "output_audio"
    transcript: str | None = None
    full_transcript: str | None = None
    heard_ms: int | None = None
    audio: str | None = None


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A content part of a type this version does not know, untouched."""

    raw: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def type(self) -> str:
        """The part's own type."""
        return str(self.raw.get("type", ""))


ContentPart: TypeAlias = InputText | InputAudio | InputImage | OutputText | OutputAudio | OtherPart


@dataclass(frozen=True, slots=True)
class MessageItem:
    """Something that was said, typed or shown."""

    type: ClassVar[str] = "message"
    item_id: str
    role: Role
    content: tuple[ContentPart, ...] = ()
    status: ItemStatus = "completed"
    previous_item_id: str | None = None

    @property
    def text(self) -> str:
        """All text and transcripts of the message, in order."""
        return item_text(self)


@dataclass(frozen=True, slots=True)
class FunctionCallItem:
    """A tool call of the model and, once there is one, its output.

    Attributes:
        output_item_id: the output's own item at the service.
    """

    type: ClassVar[str] = "function_call"
    item_id: str
    call_id: str
    name: str
    arguments: str = ""
    output: str | None = None
    status: ItemStatus = "in_progress"
    previous_item_id: str | None = None
    output_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class McpCallItem:
    """A tool call that the service made itself, on an MCP server."""

    type: ClassVar[str] = "mcp_call"
    item_id: str
    server_label: str
    name: str
    arguments: str = ""
    output: str | None = None
    error: Any = None
    approval_request_id: str | None = None
    status: ItemStatus = "in_progress"
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class McpApprovalRequestItem:
    """The service asks whether it may make an MCP call."""

    type: ClassVar[str] = "mcp_approval_request"
    item_id: str
    server_label: str
    name: str
    arguments: str = ""
    approved: bool | None = None
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class McpListToolsItem:
    """The tools an MCP server offered."""

    type: ClassVar[str] = "mcp_list_tools"
    item_id: str
    server_label: str
    tools: tuple[Mapping[str, Any], ...] = ()
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class OtherItem:
    """An item of a type this version does not know, untouched."""

    item_id: str
    raw: Mapping[str, Any]
    previous_item_id: str | None = None

    @property
    def type(self) -> str:
        """The item's own type."""
        return str(self.raw.get("type", ""))


RealtimeItem: TypeAlias = (
    MessageItem | FunctionCallItem | McpCallItem | McpApprovalRequestItem | McpListToolsItem | OtherItem
)


def item_text(item: RealtimeItem) -> str:
    """The words of a message, of all its parts; empty for other items."""
    if not isinstance(item, MessageItem):
        return ""
    words: list[str] = []
    for part in item.content:
        if isinstance(part, (InputText, OutputText)):
            words.append(part.text)
        elif isinstance(part, (InputAudio, OutputAudio)) and part.transcript:
            words.append(part.transcript)
    return " ".join(word for word in words if word)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) else None


def part_from_wire(raw: object, role: str) -> ContentPart:
    """One content part; an unknown or broken one is kept as `OtherPart`."""
    if not isinstance(raw, Mapping):
        return OtherPart({"type": "invalid", "value": raw})
    part = cast("Mapping[str, Any]", raw)
    match part.get("type"):
        case "input_text":
            return InputText(_text(part.get("text")))
        case "text":  # the older name of both directions
            return (OutputText if role == "assistant" else InputText)(_text(part.get("text")))
        case "output_text":
            return OutputText(_text(part.get("text")))
        case "input_audio":
            return InputAudio(_optional(part.get("transcript")), _optional(part.get("audio")))
        case "output_audio" | "audio":
            return OutputAudio(_optional(part.get("transcript")), audio=_optional(part.get("audio")))
        case "input_image":
            return InputImage(_text(part.get("image_url")), _optional(part.get("detail")))
        case _:
            return OtherPart(part)


_STATUSES: Final[Mapping[str, ItemStatus]] = {
    "in_progress": "in_progress",
    "completed": "completed",
    "incomplete": "incomplete",
}
_ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}


def _status(raw: Mapping[str, Any], default: ItemStatus) -> ItemStatus:
    value = raw.get("status")
    return _STATUSES.get(value, default) if isinstance(value, str) else default


def item_from_wire(
    raw: Mapping[str, Any], *, previous_item_id: str | None = None, default_status: ItemStatus = "completed"
) -> RealtimeItem | None:
    """Read an item of the wire.

    Returns:
        The item, or None for one that has no id or belongs to another item (an output of
        a function call, an answer to an approval request).
    """
    item_id = raw.get("id")
    kind = raw.get("type")
    if (
        not isinstance(item_id, str)
        or not item_id
        or kind in ("function_call_output", "mcp_approval_response")
    ):
        return None
    if kind == "message":
        role = raw.get("role")
        speaker = _ROLES.get(role, "user") if isinstance(role, str) else "user"
        content = raw.get("content")
        parts = cast("list[object]", content) if isinstance(content, list) else []
        return MessageItem(
            item_id,
            speaker,
            tuple(part_from_wire(part, speaker) for part in parts),
            _status(raw, default_status),
            previous_item_id,
        )
    if kind == "function_call":
        return FunctionCallItem(
            item_id,
            _text(raw.get("call_id")),
            _text(raw.get("name")),
            _text(raw.get("arguments")),
            status="in_progress",  # complete once it has an output
            previous_item_id=previous_item_id,
        )
    return _mcp_from_wire(raw, item_id, kind, previous_item_id, default_status)


def _mcp_from_wire(
    raw: Mapping[str, Any], item_id: str, kind: object, previous: str | None, default: ItemStatus
) -> RealtimeItem:
    label, name, arguments = (_text(raw.get(key)) for key in ("server_label", "name", "arguments"))
    if kind in ("mcp_call", "mcp_tool_call"):
        return McpCallItem(
            item_id,
            label,
            name,
            arguments,
            _optional(raw.get("output")),
            raw.get("error"),
            _optional(raw.get("approval_request_id")),
            _status(raw, default),
            previous,
        )
    if kind == "mcp_approval_request":
        return McpApprovalRequestItem(item_id, label, name, arguments, previous_item_id=previous)
    if kind == "mcp_list_tools":
        tools = raw.get("tools")
        listed = cast("list[object]", tools) if isinstance(tools, list) else []
        known = tuple(cast("Mapping[str, Any]", tool) for tool in listed if isinstance(tool, Mapping))
        return McpListToolsItem(item_id, label, known, previous)
    return OtherItem(item_id, dict(raw), previous)


def _part_to_wire(part: ContentPart) -> dict[str, Any] | None:
    match part:
        case InputText() | OutputText():
            return {"type": part.type, "text": part.text}
        case InputAudio(transcript=transcript, audio=audio):
            if audio is not None:
                return {"type": "input_audio", "audio": audio, "transcript": transcript}
            # Without its sound, speech can only be told as text.
            return {"type": "input_text", "text": transcript} if transcript else None
        case OutputAudio(transcript=transcript):
            # The service does not take assistant audio back: restore what was heard, as text.
            return {"type": "output_text", "text": transcript} if transcript else None
        case InputImage(image_url=url, detail=detail):
            image = {"type": "input_image", "image_url": url}
            return image if detail is None else {**image, "detail": detail}
        case _:
            return dict(part.raw)


def item_to_wire(item: RealtimeItem) -> list[dict[str, Any]]:
    """The items to create so that the service knows this one again.

    A function call with an output is two items; MCP items cannot be created by a client
    and yield none; a message with nothing left to say yields none.
    """
    if isinstance(item, MessageItem):
        parts = [part for part in map(_part_to_wire, item.content) if part is not None]
        if not parts:
            return []
        return [{"id": item.item_id, "type": "message", "role": item.role, "content": parts}]
    if isinstance(item, FunctionCallItem):
        call = {
            "id": item.item_id,
            "type": "function_call",
            "call_id": item.call_id,
            "name": item.name,
            "arguments": item.arguments,
        }
        if item.output is None:
            return [call]
        return [call, {"type": "function_call_output", "call_id": item.call_id, "output": item.output}]
    if isinstance(item, OtherItem):
        return [dict(item.raw)]
    return []
