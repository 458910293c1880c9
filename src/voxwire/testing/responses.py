"""Well-formed response sequences of the Realtime API, for scripted peers.

Order and fields follow the API reference, `response.*` and `conversation.item.*` server events.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping
from typing import Any

__all__ = ["response_events"]


def response_events(
    *,
    response_id: str,
    item_id: str,
    audio: bytes | None = None,
    text: str | None = None,
    call: tuple[str, str] | None = None,
    call_id: str = "call_1",
    previous_item_id: str | None = None,
    piece_bytes: int = 4800,
    usage: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Everything the service sends for one response with one item, from created to done.

    Args:
        audio: what is said, in the session's output format; `text` is then its transcript.
        text: without `audio`, a text reply.
        call: a function call instead: its name and its arguments, as JSON.
        piece_bytes: audio per delta; 4800 bytes are 100 ms of 24 kHz PCM.
        usage: the usage object of `response.done`.
    """
    ids = {"response_id": response_id, "item_id": item_id, "output_index": 0}
    response: dict[str, Any] = {
        "object": "realtime.response",
        "id": response_id,
        "status": "in_progress",
        "output": [],
    }
    item: dict[str, Any] = _item(item_id, call, call_id)
    yield {"type": "response.created", "response": dict(response)}
    empty: dict[str, Any] = {"content": []} if call is None else {"arguments": ""}
    started: dict[str, Any] = {**item, "status": "in_progress", **empty}
    yield {
        "type": "response.output_item.added",
        "response_id": response_id,
        "output_index": 0,
        "item": started,
    }
    yield {"type": "conversation.item.added", "previous_item_id": previous_item_id, "item": started}
    if call is not None:
        yield from _call_events({**ids, "call_id": call_id}, call)
    else:
        part: dict[str, Any] = yield from _content_events(
            {**ids, "content_index": 0}, audio, text or "", piece_bytes
        )
        item = {**item, "content": [part]}
    yield {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item}
    yield {"type": "conversation.item.done", "previous_item_id": previous_item_id, "item": item}
    done: dict[str, Any] = {**response, "status": "completed", "status_details": None, "output": [item]}
    yield {"type": "response.done", "response": {**done, "usage": dict(usage or _usage(audio))}}


def _item(item_id: str, call: tuple[str, str] | None, call_id: str) -> dict[str, Any]:
    head = {"id": item_id, "object": "realtime.item", "status": "completed"}
    if call is None:
        return {**head, "type": "message", "role": "assistant"}
    return {**head, "type": "function_call", "name": call[0], "call_id": call_id, "arguments": call[1]}


def _call_events(ids: dict[str, Any], call: tuple[str, str]) -> Iterator[dict[str, Any]]:
    name, arguments = call
    for piece in _halves(arguments):
        yield {"type": "response.function_call_arguments.delta", **ids, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **ids, "name": name, "arguments": arguments}


def _content_events(
    ids: dict[str, Any], audio: bytes | None, text: str, piece_bytes: int
) -> Generator[dict[str, Any], None, dict[str, Any]]:
    """Yield one content part; returns it as it is in the finished item."""
    if audio is None:
        yield {"type": "response.content_part.added", **ids, "part": {"type": "output_text", "text": ""}}
        for piece in _halves(text):
            yield {"type": "response.output_text.delta", **ids, "delta": piece}
        yield {"type": "response.output_text.done", **ids, "text": text}
        part = {"type": "output_text", "text": text}
    else:
        yield {
            "type": "response.content_part.added",
            **ids,
            "part": {"type": "output_audio", "transcript": ""},
        }
        for piece in _halves(text):
            yield {"type": "response.output_audio_transcript.delta", **ids, "delta": piece}
        for start in range(0, len(audio), piece_bytes):
            delta = base64.b64encode(audio[start : start + piece_bytes]).decode()
            yield {"type": "response.output_audio.delta", **ids, "delta": delta}
        yield {"type": "response.output_audio.done", **ids}
        yield {"type": "response.output_audio_transcript.done", **ids, "transcript": text}
        part = {"type": "output_audio", "transcript": text}
    yield {"type": "response.content_part.done", **ids, "part": part}
    return part


def _halves(text: str) -> tuple[str, ...]:
    middle = (len(text) + 1) // 2
    return tuple(piece for piece in (text[:middle], text[middle:]) if piece)


def _usage(audio: bytes | None) -> dict[str, Any]:
    spoken = 0 if audio is None else 1 + len(audio) // 4800
    return {
        "total_tokens": 20 + spoken,
        "input_tokens": 10,
        "output_tokens": 10 + spoken,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": 10, "audio_tokens": spoken},
    }
