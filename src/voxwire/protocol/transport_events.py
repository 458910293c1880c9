"""What a transport tells its listeners, beside the wire events themselves.

The names (`event.name`, the string for `transport.on`) are those of the JavaScript SDK's
`RealtimeTransportEventTypes` in snake case. Every event is frozen; times are ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ..errors import VoxwireError
from .formats import PCM16, AudioFormat
from .items import McpApprovalRequestItem, McpCallItem, RealtimeItem
from .usage import Usage

__all__ = [
    "AudioDone",
    "AudioEvent",
    "AudioInterrupted",
    "AudioSent",
    "AudioStarted",
    "AudioStopped",
    "ConnectionChange",
    "ConnectionStatus",
    "DtmfReceived",
    "ErrorEvent",
    "FunctionCall",
    "HistoryAdded",
    "HistoryUpdated",
    "InputTimeout",
    "ItemDeleted",
    "ItemTruncation",
    "ItemUpdate",
    "McpApprovalRequest",
    "McpToolCallCompleted",
    "McpToolsListed",
    "MediaState",
    "MediaStateChange",
    "SessionUpdated",
    "TextDelta",
    "TranscriptDelta",
    "TransportEventBase",
    "TurnDone",
    "TurnStarted",
    "UsageUpdate",
    "UserSpeechStarted",
    "UserSpeechStopped",
    "UserTranscript",
    "UserTranscriptDelta",
]

ConnectionStatus = Literal["disconnected", "connecting", "connected", "disconnecting"]
MediaState = Literal["connected", "disconnected", "lost"]


class TransportEventBase:
    """Base of all events; `name` is the string that `on()` takes."""

    __slots__ = ()
    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class AudioEvent(TransportEventBase):
    """Output audio, as it arrived (the service sends faster than real time).

    Attributes:
        data: samples in `format`.
    """

    name: ClassVar[str] = "audio"
    data: bytes
    item_id: str
    response_id: str
    content_index: int = 0
    format: AudioFormat = PCM16


@dataclass(frozen=True, slots=True)
class AudioDone(TransportEventBase):
    """All audio of one content part has been received; it may still be playing."""

    name: ClassVar[str] = "audio_done"
    item_id: str
    response_id: str
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class AudioStarted(TransportEventBase):
    """The listener begins to hear the agent."""

    name: ClassVar[str] = "audio_start"
    item_id: str
    response_id: str


@dataclass(frozen=True, slots=True)
class AudioStopped(TransportEventBase):
    """The last sample was heard, or the reply was interrupted."""

    name: ClassVar[str] = "audio_stopped"
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ItemTruncation:
    """How much of one item was heard.

    Attributes:
        audio_end_ms: whole ms of the content part that were heard, never more than received.
        received_ms: whole ms of it that had arrived, where that is known; not part of the cut, so not compared.
    """

    item_id: str
    content_index: int
    audio_end_ms: int
    received_ms: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AudioInterrupted(TransportEventBase):
    """Playback was stopped. Stop your own player, too.

    Attributes:
        truncations: per item that was not heard to its end, in playing order.
    """

    name: ClassVar[str] = "audio_interrupted"
    truncations: tuple[ItemTruncation, ...] = ()


@dataclass(frozen=True, slots=True)
class AudioSent(TransportEventBase):
    """Input audio that was handed to the media plane; silence while muted. Told by transports that have one.

    Attributes:
        data: samples in `format`.
    """

    name: ClassVar[str] = "audio_sent"
    data: bytes
    format: AudioFormat = PCM16


@dataclass(frozen=True, slots=True)
class MediaStateChange(TransportEventBase):
    """The path of the audio changed (WebRTC): "disconnected" may recover within seconds, "lost" does not.

    Attributes:
        reason: in words, where one is known.
    """

    name: ClassVar[str] = "media_state"
    state: MediaState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptDelta(TransportEventBase):
    """More words of the agent's speech."""

    name: ClassVar[str] = "audio_transcript_delta"
    delta: str
    item_id: str
    response_id: str
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class TextDelta(TransportEventBase):
    """More words of a text reply."""

    name: ClassVar[str] = "output_text_delta"
    delta: str
    item_id: str
    response_id: str
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class UserTranscriptDelta(TransportEventBase):
    """More words recognised of the user's speech."""

    name: ClassVar[str] = "user_transcript_delta"
    delta: str
    item_id: str
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class UserTranscript(TransportEventBase):
    """All that was recognised of one utterance of the user.

    Attributes:
        text: None if the service could not transcribe it; an `error` event says why.
    """

    name: ClassVar[str] = "user_transcript"
    text: str | None
    item_id: str
    content_index: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted(TransportEventBase):
    """A response was created.

    Attributes:
        response: the wire's response object, untouched.
    """

    name: ClassVar[str] = "turn_started"
    response_id: str
    response: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class TurnDone(TransportEventBase):
    """A response ended.

    Attributes:
        status: `completed`, `cancelled`, `incomplete` or `failed`.
        status_details: why, as on the wire.
        output: the response's items, as on the wire.
    """

    name: ClassVar[str] = "turn_done"
    response_id: str
    status: str
    status_details: Mapping[str, Any] | None
    output: tuple[Mapping[str, Any], ...]
    usage: Usage
    response: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class UsageUpdate(TransportEventBase):
    """What one response, or one transcription, used."""

    name: ClassVar[str] = "usage_update"
    usage: Usage


@dataclass(frozen=True, slots=True)
class ItemUpdate(TransportEventBase):
    """An item was added or changed."""

    name: ClassVar[str] = "item_update"
    item: RealtimeItem


@dataclass(frozen=True, slots=True)
class ItemDeleted(TransportEventBase):
    """An item was deleted."""

    name: ClassVar[str] = "item_deleted"
    item_id: str


@dataclass(frozen=True, slots=True)
class HistoryAdded(TransportEventBase):
    """A new item is in the history."""

    name: ClassVar[str] = "history_added"
    item: RealtimeItem


@dataclass(frozen=True, slots=True)
class HistoryUpdated(TransportEventBase):
    """The history changed in any way, also by a piece of transcript.

    Attributes:
        history: the items in order. The copy is made when it is first looked at, so an
            event nobody looks into costs nothing.
    """

    name: ClassVar[str] = "history_updated"
    history: Sequence[RealtimeItem]


@dataclass(frozen=True, slots=True)
class FunctionCall(TransportEventBase):
    """The model called a tool; answer with `send_function_call_output`.

    Attributes:
        arguments: JSON as the model wrote it, which may be broken.
    """

    name: ClassVar[str] = "function_call"
    call_id: str
    tool_name: str
    arguments: str
    item_id: str
    response_id: str | None = None
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class McpToolsListed(TransportEventBase):
    """An MCP server offered its tools."""

    name: ClassVar[str] = "mcp_tools_listed"
    server_label: str
    tools: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class McpApprovalRequest(TransportEventBase):
    """The service asks whether it may make an MCP call."""

    name: ClassVar[str] = "mcp_approval_request"
    item: McpApprovalRequestItem


@dataclass(frozen=True, slots=True)
class McpToolCallCompleted(TransportEventBase):
    """The service finished an MCP call."""

    name: ClassVar[str] = "mcp_tool_call_completed"
    item: McpCallItem


@dataclass(frozen=True, slots=True)
class UserSpeechStarted(TransportEventBase):
    """The service heard the user begin to speak, `audio_start_ms` into the input audio."""

    name: ClassVar[str] = "user_speech_started"
    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class UserSpeechStopped(TransportEventBase):
    """The service heard the user stop, `audio_end_ms` into the input audio."""

    name: ClassVar[str] = "user_speech_stopped"
    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class InputTimeout(TransportEventBase):
    """Nobody spoke for the time set by `idle_timeout_ms`."""

    name: ClassVar[str] = "input_timeout"
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DtmfReceived(TransportEventBase):
    """A key was pressed on the phone: `0`-`9`, `*`, `#`, `A`-`D`."""

    name: ClassVar[str] = "dtmf"
    digit: str
    received_at: int | None = None


@dataclass(frozen=True, slots=True)
class SessionUpdated(TransportEventBase):
    """The configuration that is in force at the service, as on the wire."""

    name: ClassVar[str] = "session_updated"
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConnectionChange(TransportEventBase):
    """The connection's status changed.

    Attributes:
        code, reason: how it was closed, where the wire says so.
        error: what ended it, if it did not end as asked.
    """

    name: ClassVar[str] = "connection_change"
    status: ConnectionStatus
    code: int | None = None
    reason: str = ""
    error: VoxwireError | None = None


@dataclass(frozen=True, slots=True)
class ErrorEvent(TransportEventBase):
    """Something went wrong; the session goes on unless a `connection_change` says otherwise.

    Attributes:
        event: the wire's `error` event, untouched, if the service sent it.
    """

    name: ClassVar[str] = "error"
    error: Exception
    event: Mapping[str, Any] | None = None
