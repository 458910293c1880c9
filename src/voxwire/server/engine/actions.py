"""What the server engine tells its shell to do, in this order and without awaiting in between.

Sending and timers are the client engine's own actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...protocol.actions import CancelTimer, Send, SetTimer
from ...protocol.formats import AudioFormat
from ..speech.base import ResponseRequest

__all__ = [
    "CallMcpTool",
    "CancelMcp",
    "CancelResponse",
    "CancelTimer",
    "CancelTranscription",
    "ClearPlayout",
    "Close",
    "EngineAction",
    "FeedTranscription",
    "FinishTranscription",
    "Hear",
    "ListMcpTools",
    "Play",
    "ResetHearing",
    "Send",
    "SetTimer",
    "StartResponse",
    "StartTranscription",
]


@dataclass(frozen=True, slots=True)
class Hear:
    """Give this input audio to the detector, and its answer to `engine.voice`."""

    pcm: bytes
    format: AudioFormat


@dataclass(frozen=True, slots=True)
class ResetHearing:
    """The stream of input audio starts anew: forget what the detector has heard."""


@dataclass(frozen=True, slots=True)
class StartTranscription:
    """Begin to recognise what belongs to this item; `session` is the session's configuration."""

    item_id: str
    format: AudioFormat
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeedTranscription:
    """More audio of the item."""

    item_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class FinishTranscription:
    """The item is complete: answer with `engine.transcribed` or `engine.transcription_failed`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class CancelTranscription:
    """Nobody wants the text of this item any more."""

    item_id: str


@dataclass(frozen=True, slots=True)
class StartResponse:
    """Make this response.

    Attributes:
        format: of the audio that `engine.spoken` wants.
        language: of the speech, an ISO-639-1 code if the session names one.
    """

    response_id: str
    request: ResponseRequest
    format: AudioFormat
    voice: str | None
    speed: float
    language: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop making this response; whatever it still yields is ignored."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ListMcpTools:
    """List the tools of this server: `engine.mcp_listed` or `engine.mcp_listing_failed`.

    Attributes:
        server: the session's tool of type `mcp`.
    """

    item_id: str
    server: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallMcpTool:
    """Call a tool of this server: `engine.mcp_answered` or `engine.mcp_failed`."""

    item_id: str
    server: Mapping[str, Any] = field(repr=False)
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CancelMcp:
    """Stop this listing or call; nobody waits for it."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Play:
    """Put this on the media plane, behind what is there: 24 kHz PCM16."""

    pcm: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClearPlayout:
    """Drop what the media plane has not played."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this WebSocket code, once what was sent is out."""

    code: int
    reason: str


EngineAction: TypeAlias = (
    Send
    | Hear
    | ResetHearing
    | StartTranscription
    | FeedTranscription
    | FinishTranscription
    | CancelTranscription
    | StartResponse
    | CancelResponse
    | ListMcpTools
    | CallMcpTool
    | CancelMcp
    | Play
    | ClearPlayout
    | SetTimer
    | CancelTimer
    | Close
)
