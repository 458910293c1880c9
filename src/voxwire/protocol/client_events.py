"""The events a client sends. Source: Realtime API reference, client events (GA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .event_base import ClientEvent
from .unset import UNSET, UnsetType

__all__ = [
    "ConversationItemCreateEvent",
    "ConversationItemDeleteEvent",
    "ConversationItemRetrieveEvent",
    "ConversationItemTruncateEvent",
    "InputAudioBufferAppendEvent",
    "InputAudioBufferClearEvent",
    "InputAudioBufferCommitEvent",
    "OutputAudioBufferClearEvent",
    "ResponseCancelEvent",
    "ResponseCreateEvent",
    "SessionUpdateEvent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdateEvent(ClientEvent):
    """Change the session's configuration; what is absent stays as it is."""

    type: ClassVar[str] = "session.update"
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferAppendEvent(ClientEvent):
    """More input audio: base64, in the session's input format, at most 15 MiB."""

    type: ClassVar[str] = "input_audio_buffer.append"
    audio: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferCommitEvent(ClientEvent):
    """Make a user message of the audio appended so far."""

    type: ClassVar[str] = "input_audio_buffer.commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferClearEvent(ClientEvent):
    """Drop the audio appended so far."""

    type: ClassVar[str] = "input_audio_buffer.clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAudioBufferClearEvent(ClientEvent):
    """Stop the audio the service is playing (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemCreateEvent(ClientEvent):
    """Add an item.

    Attributes:
        previous_item_id: the item to put it after; `root` for the beginning, UNSET or None
            for the end.
    """

    type: ClassVar[str] = "conversation.item.create"
    item: Mapping[str, Any]
    previous_item_id: str | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemRetrieveEvent(ClientEvent):
    """Ask for an item as the service has it."""

    type: ClassVar[str] = "conversation.item.retrieve"
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemTruncateEvent(ClientEvent):
    """Cut an assistant's audio where the listener stopped hearing it.

    Attributes:
        audio_end_ms: whole ms of the part that were heard.
    """

    type: ClassVar[str] = "conversation.item.truncate"
    item_id: str
    content_index: int = 0
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemDeleteEvent(ClientEvent):
    """Remove an item."""

    type: ClassVar[str] = "conversation.item.delete"
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCreateEvent(ClientEvent):
    """Ask for a response.

    Attributes:
        response: settings for this response alone, over those of the session.
    """

    type: ClassVar[str] = "response.create"
    response: Mapping[str, Any] | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCancelEvent(ClientEvent):
    """Stop a response: this one, or the one that runs in the default conversation."""

    type: ClassVar[str] = "response.cancel"
    response_id: str | UnsetType = UNSET
