"""Conversation items of the server: what clients may create, and what is kept beside the wire's view."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...protocol.formats import AudioFormat
from .errors import ClientError
from .schema import Check, array, base64_audio, boolean, missing, nullable, obj, one_of, tagged, text
from .transcripts import Alignment

__all__ = ["CREATE_ITEM", "INPUT_ITEM", "ItemAudio", "ServerItem", "public", "server_item"]

MAX_ID = 32
"""Characters of an item id, as the service counts."""


@dataclass(slots=True)
class ItemAudio:
    """The sound of one content part; `data` is given up when too much is kept."""

    format: AudioFormat
    data: bytearray = field(default_factory=bytearray)
    duration_ms: float = 0.0
    forgotten: bool = False

    def add(self, pcm: bytes) -> float:
        """Append audio; return how much of it is kept, ms."""
        added = self.format.duration_ms(len(pcm))
        self.duration_ms += added
        if self.forgotten:
            return 0.0
        self.data += pcm
        return added

    def forget(self) -> float:
        """Give up the audio, also what is still to come; return how much that freed, ms."""
        freed = self.format.duration_ms(len(self.data))
        self.data.clear()
        self.forgotten = True
        return freed


@dataclass(slots=True)
class ServerItem:
    """One item.

    Attributes:
        wire: as clients see it, without audio.
        audio: the sound of its content parts, by content index.
        alignment: where the words of spoken parts are, by content index.
        understood: what was recognised in its audio, whether or not the client asked to know.
        cut: content parts that were truncated; what a response still adds to them is not context.
    """

    wire: dict[str, Any]
    audio: dict[int, ItemAudio] = field(default_factory=dict[int, ItemAudio])
    alignment: dict[int, Alignment] = field(default_factory=dict[int, Alignment])
    understood: str | None = None
    cut: set[int] = field(default_factory=set[int])

    @property
    def id(self) -> str:
        """The item's id."""
        return cast("str", self.wire["id"])

    @property
    def content(self) -> list[dict[str, Any]]:
        """The content parts of a message; empty for other items."""
        return cast("list[dict[str, Any]]", self.wire.get("content") or [])

    def retrieved(self) -> dict[str, Any]:
        """The wire's view with the audio that is still kept."""
        item = public(self.wire)
        for index, sound in self.audio.items():
            if sound.data and index < len(item.get("content", ())):
                item["content"][index]["audio"] = base64.b64encode(sound.data).decode("ascii")
        return item

    def context(self) -> dict[str, Any]:
        """What a responder sees: the wire's view with what was understood in place of sound."""
        item = public(self.wire)
        for part in item.get("content", ()):
            if part.get("type") == "input_audio" and not part.get("transcript"):
                part["transcript"] = self.understood or ""
        return item


def public(wire: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that later changes do not reach."""
    return copy.deepcopy(dict(wire))


_BASE: dict[str, Check] = {
    "id": nullable(text(MAX_ID, 1)),
    "type": text(),
    "object": nullable(one_of("realtime.item")),
    "status": nullable(one_of("completed", "incomplete", "in_progress")),
}
_INPUT_TEXT = obj({"type": text(), "text": text()}, required=("text",))
_USER_PART = tagged(
    "type",
    {
        "input_text": _INPUT_TEXT,
        "input_audio": obj(
            {"type": text(), "audio": nullable(base64_audio), "transcript": nullable(text())},
        ),
        "input_image": obj(
            {"type": text(), "image_url": text(), "detail": nullable(one_of("auto", "low", "high"))},
            required=("image_url",),
        ),
    },
)
_ASSISTANT_PART = tagged("type", {"output_text": obj({"type": text(), "text": text()}, required=("text",))})


def _message(part: Check) -> Check:
    fields: dict[str, Check] = {**_BASE, "role": text(), "content": array(part, 256)}
    return obj(fields, required=("content",))


_ROLES: dict[str, Check] = {
    "user": _message(_USER_PART),
    "assistant": _message(_ASSISTANT_PART),
    "system": _message(tagged("type", {"input_text": _INPUT_TEXT})),
}
_TYPES: dict[str, Check] = {
    "message": tagged("role", _ROLES),
    "function_call": obj(
        {**_BASE, "call_id": nullable(text(MAX_ID, 1)), "name": text(128, 1), "arguments": text()},
        required=("name", "arguments"),
    ),
    "function_call_output": obj(
        {**_BASE, "call_id": text(256, 1), "output": text()}, required=("call_id", "output")
    ),
    "mcp_approval_response": obj(
        {**_BASE, "approval_request_id": text(), "approve": boolean, "reason": nullable(text())},
        required=("approval_request_id", "approve"),
    ),
}
CREATE_ITEM: Check = tagged("type", _TYPES)
"""The `item` of `conversation.item.create`; audio parts come back as bytes."""

_REFERENCE = obj({"type": text(), "id": text(None, 1)}, required=("id",))
INPUT_ITEM: Check = tagged("type", {**_TYPES, "item_reference": _REFERENCE})
"""One entry of `response.create`'s `input`: an item or a reference to one."""


def server_item(checked: dict[str, Any], item_id: str, call_id: str, format: AudioFormat) -> ServerItem:
    """The item for what `CREATE_ITEM` let through.

    Args:
        item_id, call_id: used where the client gave none.
        format: of the audio that the client put in.
    """
    wire: dict[str, Any] = {
        "id": checked.get("id") or item_id,
        "object": "realtime.item",
        **{name: value for name, value in checked.items() if name not in ("id", "object")},
        "status": "completed",
    }
    if wire["type"] == "function_call":
        wire["call_id"] = wire.get("call_id") or call_id
    item = ServerItem(wire)
    for index, part in enumerate(item.content):
        if part["type"] == "input_audio":
            _take_audio(item, index, part, format)
    return item


def _take_audio(item: ServerItem, index: int, part: dict[str, Any], format: AudioFormat) -> None:
    data: bytes | None = part.pop("audio", None)
    part.setdefault("transcript", None)
    if data is None:
        if part["transcript"] is None:
            raise missing(f"item.content[{index}].audio")
        return
    if len(data) % format.sample_bytes:
        raise ClientError(
            f"Invalid 'item.content[{index}].audio': {len(data)} bytes are no whole number of "
            f"{format.sample_bytes}-byte samples.",
            param=f"item.content[{index}].audio",
        )
    item.audio[index] = ItemAudio(format)
    item.audio[index].add(data)
