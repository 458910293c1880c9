"""Events and items of a transport in the words of `agents.realtime`. `theirs` is where their classes are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..protocol.items import (
    ContentPart,
    InputAudio,
    InputImage,
    InputText,
    MessageItem,
    OutputAudio,
    OutputText,
)
from ..protocol.transport_events import (
    AudioDone,
    ErrorEvent,
    FunctionCall,
    InputTimeout,
    ItemDeleted,
    TextDelta,
    TranscriptDelta,
    TransportEventBase,
    TurnDone,
    TurnStarted,
)

__all__ = ["make", "message_item", "simple_event", "tool_item", "usage_event"]

_SIMPLE: Final[Mapping[type, tuple[str, tuple[str, ...]]]] = {
    TranscriptDelta: ("TranscriptDelta", ("item_id", "delta", "response_id")),
    TextDelta: ("OutputTextDelta", ("item_id", "delta", "response_id")),
    AudioDone: ("AudioDone", ("item_id", "content_index")),
    ItemDeleted: ("ItemDeleted", ("item_id",)),
    InputTimeout: ("InputAudioTimeoutTriggered", ("item_id", "audio_start_ms", "audio_end_ms")),
    ErrorEvent: ("Error", ("error",)),
    TurnStarted: ("TurnStarted", ("response_id",)),
    TurnDone: ("TurnEnded", ("response_id",)),
}
"""Events that they have as well: their name, and the fields that go over."""


def make(theirs: Any, name: str, /, **fields: Any) -> Any:
    """The event `RealtimeModel<name>Event`."""
    return getattr(theirs, f"RealtimeModel{name}Event")(**fields)


def simple_event(theirs: Any, event: TransportEventBase) -> Any:
    """The event of theirs that says the same; `RealtimeModelOtherEvent` where they have none."""
    entry = _SIMPLE.get(type(event))
    if entry is None:
        return make(theirs, "Other", data=event)
    name, fields = entry
    return make(theirs, name, **{field: getattr(event, field) for field in fields})


def message_item(theirs: Any, item: MessageItem) -> Any:
    """A message; parts their items have no class for are left out."""
    common = {"item_id": item.item_id, "previous_item_id": item.previous_item_id}
    parts = [part for part in map(_part, item.content) if part is not None]
    match item.role:
        case "user":
            content = [part for part in parts if part["type"].startswith("input_")]
            return theirs.UserMessageItem(**common, content=content)
        case "system":
            content = [part for part in parts if part["type"] == "input_text"]
            return theirs.SystemMessageItem(**common, content=content)
        case "assistant":
            content = [part for part in parts if part["type"] in ("text", "audio")]
            return theirs.AssistantMessageItem(**common, status=item.status, content=content)


def _part(part: ContentPart) -> dict[str, Any] | None:
    """Their assistant parts have the names from before GA."""
    match part:
        case InputText(text=text):
            return {"type": "input_text", "text": text}
        case InputAudio(transcript=transcript, audio=audio):
            return {"type": "input_audio", "audio": audio, "transcript": transcript}
        case InputImage(image_url=url, detail=detail):
            image = {"type": "input_image", "image_url": url}
            return image if detail is None else {**image, "detail": detail}
        case OutputText(text=text):
            return {"type": "text", "text": text}
        case OutputAudio(transcript=transcript, audio=audio):
            return {"type": "audio", "audio": audio, "transcript": transcript}
        case _:
            return None


def tool_item(theirs: Any, call: FunctionCall, output: str | None) -> Any:
    """A tool call: under way, or complete with its output."""
    return theirs.RealtimeToolCallItem(
        item_id=call.item_id,
        previous_item_id=call.previous_item_id,
        call_id=call.call_id,
        status="in_progress" if output is None else "completed",
        arguments=call.arguments,
        name=call.tool_name,
        output=output,
    )


def usage_event(theirs: Any, event: TurnDone) -> Any | None:
    """What a response used; None if the service does not say."""
    raw: object = event.response.get("usage")
    if not isinstance(raw, Mapping):
        return None
    used = event.usage
    total = theirs.Usage(
        requests=1,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.total_tokens,
    )
    total.input_tokens_details.cached_tokens = used.input_cached_tokens
    return theirs.RealtimeModelUsageEvent(
        usage=total,
        input_tokens_details=theirs.RealtimeModelInputTokensDetails(
            text_tokens=used.input_text_tokens,
            audio_tokens=used.input_audio_tokens,
            image_tokens=used.input_image_tokens,
            cached_tokens=used.input_cached_tokens,
            cached_tokens_details=theirs.RealtimeModelCachedTokensDetails(
                text_tokens=used.input_cached_text_tokens,
                audio_tokens=used.input_cached_audio_tokens,
                image_tokens=used.input_cached_image_tokens,
            ),
        ),
        output_tokens_details=theirs.RealtimeModelOutputTokensDetails(
            text_tokens=used.output_text_tokens, audio_tokens=used.output_audio_tokens
        ),
    )
