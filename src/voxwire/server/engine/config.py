"""The session's configuration: what clients may say, defaults, and how an update merges.

Source of fields, bounds and defaults: Realtime API reference, `session.update` and the
`session` objects of openai-python 3.x. Parameters that are present change, others stay; an
object is merged into the one in force unless its `type` changes; null is kept as null.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from .errors import ClientError
from .mcp_config import MCP_CHOICE, MCP_TOOL, unique_labels
from .schema import (
    Check,
    any_mapping,
    any_of,
    array,
    boolean,
    free_form,
    integer,
    nullable,
    number,
    obj,
    one_of,
    tagged,
    text,
)

__all__ = [
    "AUDIO_FORMAT",
    "METADATA",
    "RESPONSE",
    "default_session",
    "merge_session",
    "turn_detection",
]

_PCM: Check = obj({"type": text(), "rate": integer(8_000, 48_000)})
_G711: Check = obj({"type": text()})


def _pcm_format(value: Any, param: str) -> dict[str, Any]:
    return {"rate": 24_000, **_PCM(value, param)}


AUDIO_FORMAT: Check = tagged("type", {"audio/pcm": _pcm_format, "audio/pcmu": _G711, "audio/pcma": _G711})

_FLAGS: dict[str, Check] = {
    "type": text(),
    "create_response": boolean,
    "interrupt_response": boolean,
}
_TURN_DETECTION = tagged(
    "type",
    {
        "server_vad": obj(
            {
                **_FLAGS,
                "threshold": number(0, 1),
                "prefix_padding_ms": integer(0, 10_000),
                "silence_duration_ms": integer(0, 10_000),
                "idle_timeout_ms": nullable(integer(100, 600_000)),
            }
        ),
        "semantic_vad": obj({**_FLAGS, "eagerness": one_of("low", "medium", "high", "auto")}),
    },
)
_TURN_DEFAULTS: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}

_TRANSCRIPTION = obj(
    {
        "model": nullable(text(256)),
        "language": nullable(text(35)),
        "languages": nullable(array(text(35), 64)),
        "prompt": nullable(text(16_384)),
        "keywords": nullable(array(text(256), 1000)),
        "delay": nullable(one_of("minimal", "low", "medium", "high", "xhigh")),
    }
)
_INPUT = obj(
    {
        "format": AUDIO_FORMAT,
        "noise_reduction": nullable(
            obj({"type": one_of("near_field", "far_field"), "strength": number(0, 1)})
        ),
        "transcription": nullable(_TRANSCRIPTION),
        "turn_detection": nullable(_TURN_DETECTION),
    }
)
_VOICE = any_of("a string", text(128, 1), free_form)
_OUTPUT = obj({"format": AUDIO_FORMAT, "voice": _VOICE, "speed": number(0.25, 1.5)})

_FUNCTION = obj(
    {
        "type": text(),
        "name": text(128, 1),
        "description": nullable(text()),
        "parameters": nullable(free_form),
        "strict": nullable(boolean),
    },
    required=("name",),
)
_TOOL = tagged("type", {"function": _FUNCTION, "mcp": MCP_TOOL})
_TOOLS = unique_labels(array(_TOOL, 512))
_TOOL_CHOICE = any_of(
    "one of 'none', 'auto', 'required', or an object",
    one_of("none", "auto", "required"),
    tagged(
        "type",
        {
            "function": obj({"type": text(), "name": text(128, 1)}, required=("name",)),
            "mcp": MCP_CHOICE,
        },
    ),
)
_MODALITIES: Check = array(one_of("text", "audio"), 1, 1)
_MAX_TOKENS = any_of("an integer between 1 and 4096 or 'inf'", one_of("inf"), integer(1, 4096))
_REASONING = nullable(free_form)


def METADATA(value: Any, param: str) -> dict[str, str]:  # noqa: N802 - a check, used like the constants
    """At most 16 pairs; keys of 64 and values of 512 characters."""
    given = any_mapping(value, param)
    if len(given) > 16:
        raise ClientError(
            f"Invalid '{param}': too many properties. Expected an object with at most 16 properties, "
            f"but got {len(given)}.",
            code="object_above_max_properties",
            param=param,
        )
    value_check, key_check = text(512), text(64)
    return {key_check(key, param): value_check(item, f"{param}.{key}") for key, item in given.items()}


_COMMON: dict[str, Check] = {
    "instructions": text(),
    "tools": _TOOLS,
    "tool_choice": _TOOL_CHOICE,
    "parallel_tool_calls": nullable(boolean),
    "output_modalities": _MODALITIES,
    "max_output_tokens": _MAX_TOKENS,
    "reasoning": _REASONING,
    "prompt": nullable(free_form),
    "temperature": number(0, 2),
}
RESPONSE: dict[str, Check] = {
    **_COMMON,
    "audio": obj({"output": obj({"format": AUDIO_FORMAT, "voice": _VOICE})}),
    "conversation": nullable(one_of("auto", "none")),
    "metadata": nullable(METADATA),
}
"""The parameters of `response.create`, without `input`."""

_TRUNCATION = any_of("'auto', 'disabled' or an object", one_of("auto", "disabled"), free_form)
_INCLUDE = nullable(array(one_of("item.input_audio_transcription.logprobs"), 16))
_REALTIME = obj(
    {
        **_COMMON,
        "type": text(),
        "model": text(256),
        "audio": obj({"input": _INPUT, "output": _OUTPUT}),
        "tracing": nullable(any_of("'auto' or an object", one_of("auto"), free_form)),
        "truncation": _TRUNCATION,
        "include": _INCLUDE,
    }
)
_TRANSCRIBING = obj({"type": text(), "audio": obj({"input": _INPUT}), "include": _INCLUDE})
_SESSION = tagged("type", {"realtime": _REALTIME, "transcription": _TRANSCRIBING})


def default_session(model: str, *, voice: str, transcription: bool = False) -> dict[str, Any]:
    """What a session starts with, before its id and expiry are added."""
    heard: dict[str, Any] = {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": dict(_TURN_DEFAULTS["server_vad"]),
    }
    if transcription:
        heard["transcription"] = {"model": model or "gpt-4o-transcribe"}
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "audio": {"input": heard},
            "include": None,
        }
    return {
        "type": "realtime",
        "object": "realtime.session",
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": heard,
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": voice, "speed": 1.0},
        },
    }


def turn_detection(session: Mapping[str, Any]) -> dict[str, Any] | None:
    """The turn detection in force; None if the client takes the turns itself."""
    return cast("dict[str, Any] | None", session["audio"]["input"]["turn_detection"])


def merge_session(
    session: Mapping[str, Any], update: Any, *, voice_locked: bool = False, param: str = "session"
) -> dict[str, Any]:
    """The configuration after an update; `session` itself is not touched.

    Raises:
        ClientError: the update is refused as a whole.
    """
    given: dict[str, Any] = _SESSION(update, param)
    if given["type"] != session["type"]:
        raise ClientError(
            f"Passing a {given['type']} session update event to a {session['type']} session is not allowed.",
            code="invalid_session_type",
            param=f"{param}.type",
        )
    _refuse_fixed(session, given, voice_locked, param)
    merged = copy.deepcopy(dict(session))
    sound = given.pop("audio", {})
    merged.update(given)
    heard: dict[str, Any] = sound.get("input", {})
    for name in ("noise_reduction", "transcription", "turn_detection"):
        if heard.get(name) is not None:
            heard[name] = _merge_typed(name, merged["audio"]["input"][name], heard[name])
    merged["audio"]["input"].update(heard)
    if "output" in sound:
        merged["audio"]["output"].update(sound["output"])
    return merged


def _merge_typed(name: str, current: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    base = current or {}
    if name == "turn_detection" and base.get("type") != given["type"]:
        base = _TURN_DEFAULTS[given["type"]]
    return {**base, **given}


def _refuse_fixed(
    session: Mapping[str, Any], given: Mapping[str, Any], voice_locked: bool, param: str
) -> None:
    if "model" in given and given["model"] != session["model"]:
        raise ClientError(
            f"Cannot update the model of a session: it is '{session['model']}'. Open another session "
            f"for '{given['model']}'.",
            code="cannot_update_model",
            param=f"{param}.model",
        )
    voice = given.get("audio", {}).get("output", {}).get("voice")
    if voice_locked and voice is not None and voice != session["audio"]["output"]["voice"]:
        raise ClientError(
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param=f"{param}.audio.output.voice",
        )
