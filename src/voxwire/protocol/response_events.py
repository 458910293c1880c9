"""The events a service sends while it makes a response, and about MCP.

Indices are 0 where a service leaves them out; `extra` keeps what is unknown.
Source: Realtime API reference, server events (GA).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .event_base import ServerEvent

__all__ = [
    "McpListToolsCompletedEvent",
    "McpListToolsFailedEvent",
    "McpListToolsInProgressEvent",
    "ResponseContentPartAddedEvent",
    "ResponseContentPartDoneEvent",
    "ResponseCreatedEvent",
    "ResponseDoneEvent",
    "ResponseFunctionCallArgumentsDeltaEvent",
    "ResponseFunctionCallArgumentsDoneEvent",
    "ResponseMcpCallArgumentsDeltaEvent",
    "ResponseMcpCallArgumentsDoneEvent",
    "ResponseMcpCallCompletedEvent",
    "ResponseMcpCallFailedEvent",
    "ResponseMcpCallInProgressEvent",
    "ResponseOutputAudioDeltaEvent",
    "ResponseOutputAudioDoneEvent",
    "ResponseOutputAudioTranscriptDeltaEvent",
    "ResponseOutputAudioTranscriptDoneEvent",
    "ResponseOutputItemAddedEvent",
    "ResponseOutputItemDoneEvent",
    "ResponseOutputTextDeltaEvent",
    "ResponseOutputTextDoneEvent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfOutput(ServerEvent):
    """An event about a response's output."""

    response_id: str
    output_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfOutputItem(_OfOutput):
    """An event about one output item."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfPart(_OfOutputItem):
    """An event about one content part of an output item."""

    content_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfMcpCall(ServerEvent):
    """An event about an MCP call the service makes."""

    item_id: str
    output_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfMcpTools(ServerEvent):
    """An event about reading an MCP server's tools."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCreatedEvent(ServerEvent):
    """A response begins."""

    type: ClassVar[str] = "response.created"
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDoneEvent(ServerEvent):
    """A response ended, in whatever way: see `response.status`."""

    type: ClassVar[str] = "response.done"
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputItemAddedEvent(_OfOutput):
    """An output item begins."""

    type: ClassVar[str] = "response.output_item.added"
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputItemDoneEvent(_OfOutput):
    """An output item is complete, or was broken off."""

    type: ClassVar[str] = "response.output_item.done"
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseContentPartAddedEvent(_OfPart):
    """A content part begins."""

    type: ClassVar[str] = "response.content_part.added"
    part: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseContentPartDoneEvent(_OfPart):
    """A content part is complete."""

    type: ClassVar[str] = "response.content_part.done"
    part: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputTextDeltaEvent(_OfPart):
    """More text."""

    type: ClassVar[str] = "response.output_text.delta"
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputTextDoneEvent(_OfPart):
    """All text of the part."""

    type: ClassVar[str] = "response.output_text.done"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputAudioDeltaEvent(_OfPart):
    """More audio: base64, in the session's output format."""

    type: ClassVar[str] = "response.output_audio.delta"
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputAudioDoneEvent(_OfPart):
    """All audio of the part was sent."""

    type: ClassVar[str] = "response.output_audio.done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputAudioTranscriptDeltaEvent(_OfPart):
    """More words of the audio."""

    type: ClassVar[str] = "response.output_audio_transcript.delta"
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOutputAudioTranscriptDoneEvent(_OfPart):
    """All words of the audio."""

    type: ClassVar[str] = "response.output_audio_transcript.done"
    transcript: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFunctionCallArgumentsDeltaEvent(_OfOutputItem):
    """More of a tool call's arguments (JSON text)."""

    type: ClassVar[str] = "response.function_call_arguments.delta"
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFunctionCallArgumentsDoneEvent(_OfOutputItem):
    """A tool call's arguments; `name` is empty where a service leaves it out."""

    type: ClassVar[str] = "response.function_call_arguments.done"
    call_id: str
    arguments: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMcpCallArgumentsDeltaEvent(_OfOutputItem):
    """More of an MCP call's arguments (JSON text)."""

    type: ClassVar[str] = "response.mcp_call_arguments.delta"
    delta: str
    obfuscation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMcpCallArgumentsDoneEvent(_OfOutputItem):
    """An MCP call's arguments."""

    type: ClassVar[str] = "response.mcp_call_arguments.done"
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMcpCallInProgressEvent(_OfMcpCall):
    """The service makes an MCP call."""

    type: ClassVar[str] = "response.mcp_call.in_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMcpCallCompletedEvent(_OfMcpCall):
    """An MCP call was answered."""

    type: ClassVar[str] = "response.mcp_call.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMcpCallFailedEvent(_OfMcpCall):
    """An MCP call failed."""

    type: ClassVar[str] = "response.mcp_call.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpListToolsInProgressEvent(_OfMcpTools):
    """The service asks an MCP server for its tools."""

    type: ClassVar[str] = "mcp_list_tools.in_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpListToolsCompletedEvent(_OfMcpTools):
    """The MCP server's tools are known."""

    type: ClassVar[str] = "mcp_list_tools.completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpListToolsFailedEvent(_OfMcpTools):
    """The MCP server's tools could not be read."""

    type: ClassVar[str] = "mcp_list_tools.failed"
