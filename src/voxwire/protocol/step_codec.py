"""Steps of an engine as JSON values, and back to calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final, cast, get_args

from ..errors import UserError, VoxwireError
from . import actions as a
from .audio_gate import HoldBack
from .history_json import item_from_dict, item_to_dict
from .items import RealtimeItem
from .observed import Step
from .transport_events import (
    AudioInterrupted,
    ErrorEvent,
    FunctionCall,
    McpApprovalRequest,
    TransportEventBase,
    TurnDone,
)

__all__ = ["decision", "decode_arguments", "encode_step"]

_ITEM_TYPES: Final = get_args(RealtimeItem)
DIGITS: Final = 6
"""Digits behind the point that times are compared to."""


def encode_step(step: Step) -> dict[str, Any]:
    """A step: `step`, `arguments`, `ids`, `did`, and `raised` instead of that."""
    entry: dict[str, Any] = {
        "step": step.name,
        "arguments": {name: _encoded(value) for name, value in step.arguments.items()},
    }
    if step.name == "send_message" and isinstance(step.arguments.get("message"), str):
        # The long form of the same, in which the words are where a redaction looks for them.
        part = {"type": "input_text", "text": step.arguments["message"]}
        entry["arguments"]["message"] = {"type": "message", "role": "user", "content": [part]}
    if step.ids:
        entry["ids"] = list(step.ids)
    if step.raised is not None:
        entry["raised"] = type(step.raised).__name__
    else:
        entry["did"] = [decision(action) for action in step.actions]
    return entry


def decision(action: a.Action) -> list[Any]:
    """An action in short, to be compared; what is sent is told apart, in full."""
    match action:
        case a.Send(event=event):
            return ["send", event.get("type")]
        case a.Emit(event=event):
            return ["tell", event.name, *_detail(event)]
        case a.Play(audio=audio):
            return ["play", audio.item_id, audio.content_index, len(audio.data)]
        case a.StopPlayback(heard_ms=heard):
            return ["stop", round(heard, DIGITS)]
        case a.SetTimer(name=name, at=at):
            return ["timer", name, round(at, DIGITS)]
        case a.CancelTimer(name=name):
            return ["no timer", name]
        case a.Ready(warning=warning):
            return ["ready"] if warning is None else ["ready", "with a warning"]
        case a.Fail(error=error):
            return ["fail", type(error).__name__]


def _detail(event: TransportEventBase) -> list[Any]:
    match event:
        case AudioInterrupted(truncations=cuts):
            return [[cut.item_id, cut.content_index, cut.audio_end_ms] for cut in cuts]
        case FunctionCall(call_id=call_id):
            return [call_id]
        case TurnDone(response_id=response_id, status=status):
            return [response_id, status]
        case ErrorEvent(error=error):
            code = getattr(error, "code", None)
            return [type(error).__name__] if code is None else [type(error).__name__, code]
        case _:
            return []


def _encoded(value: Any) -> Any:
    if isinstance(value, _ITEM_TYPES):
        return {"$": "item", "item": item_to_dict(cast("RealtimeItem", value))}
    if isinstance(value, FunctionCall):
        return {"$": "call", **asdict(value)}
    if isinstance(value, McpApprovalRequest):
        return {"$": "mcp_approval_request", "item": item_to_dict(value.item)}
    if isinstance(value, HoldBack):
        return {"$": "hold_back", **asdict(value)}
    if isinstance(value, bytes):
        return {"$": "sound", "bytes": len(value)}
    if isinstance(value, Exception):
        return {"$": "error", "class": type(value).__name__, "message": str(value)}
    if isinstance(value, Mapping):
        return {str(key): _encoded(part) for key, part in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_encoded(part) for part in cast("Sequence[object]", value)]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return {"$": "unknown", "class": type(value).__name__}


def decode_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a step.

    Raises:
        UserError: if they hold something that a log cannot.
    """
    return {name: _decoded(value) for name, value in arguments.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(part) for part in cast("list[object]", value)]
    if not isinstance(value, Mapping):
        return value
    entry = cast("Mapping[str, Any]", value)
    match entry.get("$"):
        case None:
            return {key: _decoded(part) for key, part in entry.items()}
        case "item":
            return item_from_dict(entry.get("item"))
        case "call":
            return FunctionCall(**_fields(FunctionCall, entry))
        case "hold_back":
            return HoldBack(**_fields(HoldBack, entry))
        case "mcp_approval_request":
            request: Any = item_from_dict(entry.get("item"))
            return McpApprovalRequest(request)
        case "sound":
            return bytes(int(entry.get("bytes") or 0))  # what it sounds like decides nothing
        case "error":
            return VoxwireError(str(entry.get("message")))
        case other:
            raise UserError(f"the log holds a {entry.get('class', other)!r}, which cannot be read back")


def _fields(cls: type[Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(cls)}
    return {key: part for key, part in entry.items() if key in known}
