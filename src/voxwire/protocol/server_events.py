"""The events a service sends about session, conversation and audio buffers.

Indices are 0 where a service leaves them out; `extra` keeps what is unknown.
Source: Realtime API reference, server events (GA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .event_base import ServerEvent

__all__ = [
    "ConversationCreatedEvent",
    "ConversationItemAddedEvent",
    "ConversationItemCreatedEvent",
    "ConversationItemDeletedEvent",
    "ConversationItemDoneEvent",
    "ConversationItemInputAudioTranscriptionCompletedEvent",
    "ConversationItemInputAudioTranscriptionDeltaEvent",
    "ConversationItemInputAudioTranscriptionFailedEvent",
    "ConversationItemInputAudioTranscriptionSegmentEvent",
    "ConversationItemRetrievedEvent",
    "ConversationItemTruncatedEvent",
    "InputAudioBufferClearedEvent",
    "InputAudioBufferCommittedEvent",
    "InputAudioBufferDtmfEventReceivedEvent",
    "InputAudioBufferSpeechStartedEvent",
    "InputAudioBufferSpeechStoppedEvent",
    "InputAudioBufferTimeoutTriggeredEvent",
    "OutputAudioBufferClearedEvent",
    "OutputAudioBufferStartedEvent",
    "OutputAudioBufferStoppedEvent",
    "RateLimitsUpdatedEvent",
    "ServerErrorEvent",
    "SessionCreatedEvent",
    "SessionUpdatedEvent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfItem(ServerEvent):
    """An event about one item."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfItemPart(_OfItem):
    """An event about one content part of an item."""

    content_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerErrorEvent(ServerEvent):
    """The service refused something; `error.event_id` names the client event, if it was one."""

    type: ClassVar[str] = "error"
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreatedEvent(ServerEvent):
    """The session begins, with these settings."""

    type: ClassVar[str] = "session.created"
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdatedEvent(ServerEvent):
    """The settings now in force."""

    type: ClassVar[str] = "session.updated"
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitsUpdatedEvent(ServerEvent):
    """What is left of the limits, after a response was created."""

    type: ClassVar[str] = "rate_limits.updated"
    rate_limits: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationCreatedEvent(ServerEvent):
    """The conversation begins."""

    type: ClassVar[str] = "conversation.created"
    conversation: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemCreatedEvent(ServerEvent):
    """An item was added (name of the older dialect)."""

    type: ClassVar[str] = "conversation.item.created"
    item: Mapping[str, Any]
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemAddedEvent(ServerEvent):
    """An item was added; it may still grow."""

    type: ClassVar[str] = "conversation.item.added"
    item: Mapping[str, Any]
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemDoneEvent(ServerEvent):
    """An item is complete."""

    type: ClassVar[str] = "conversation.item.done"
    item: Mapping[str, Any]
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemRetrievedEvent(ServerEvent):
    """The item that was asked for."""

    type: ClassVar[str] = "conversation.item.retrieved"
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemDeletedEvent(_OfItem):
    """An item was removed."""

    type: ClassVar[str] = "conversation.item.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemTruncatedEvent(_OfItemPart):
    """An item's audio was cut, at `audio_end_ms` (ms from the start of the part)."""

    type: ClassVar[str] = "conversation.item.truncated"
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemInputAudioTranscriptionDeltaEvent(_OfItemPart):
    """More words of the user's speech."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.delta"
    delta: str = ""
    logprobs: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemInputAudioTranscriptionSegmentEvent(_OfItemPart):
    """A stretch of the user's speech with its speaker; `start` and `end` in seconds."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.segment"
    id: str
    text: str
    speaker: str = ""
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemInputAudioTranscriptionCompletedEvent(_OfItemPart):
    """All words of the user's speech, and what recognising them used (tokens or seconds)."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.completed"
    transcript: str
    usage: Mapping[str, Any] | None = None
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    languages: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationItemInputAudioTranscriptionFailedEvent(_OfItemPart):
    """The user's speech could not be transcribed."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.failed"
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferCommittedEvent(_OfItem):
    """The input audio became a user message."""

    type: ClassVar[str] = "input_audio_buffer.committed"
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferClearedEvent(ServerEvent):
    """The input audio was dropped."""

    type: ClassVar[str] = "input_audio_buffer.cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferSpeechStartedEvent(_OfItem):
    """The user began to speak, `audio_start_ms` into the input audio."""

    type: ClassVar[str] = "input_audio_buffer.speech_started"
    audio_start_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferSpeechStoppedEvent(_OfItem):
    """The user stopped, `audio_end_ms` into the input audio."""

    type: ClassVar[str] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferTimeoutTriggeredEvent(_OfItem):
    """Nobody spoke for `idle_timeout_ms`; the silence, in ms of the input audio."""

    type: ClassVar[str] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAudioBufferDtmfEventReceivedEvent(ServerEvent):
    """A key was pressed on the phone (SIP only): `event` is the key, `received_at` Unix seconds."""

    type: ClassVar[str] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAudioBufferStartedEvent(ServerEvent):
    """The service began to play a response (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.started"
    response_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAudioBufferStoppedEvent(ServerEvent):
    """The service played a response to its end (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.stopped"
    response_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAudioBufferClearedEvent(ServerEvent):
    """Playing was cut off (WebRTC and SIP only)."""

    type: ClassVar[str] = "output_audio_buffer.cleared"
    response_id: str
