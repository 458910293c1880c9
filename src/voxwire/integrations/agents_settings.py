"""Settings of `agents.realtime` as a session configuration of the wire. Pure: their objects are taken by shape.

Their own conversion is private and bound to their WebSocket; the tests hold ours equal to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from ..errors import UserError

__all__ = ["settings_to_wire", "user_message"]

PCM: Final = {"type": "audio/pcm", "rate": 24000}
PCMU: Final = {"type": "audio/pcmu"}
PCMA: Final = {"type": "audio/pcma"}
FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pcm16": PCM,
    "audio/pcm": PCM,
    "pcm": PCM,
    "g711_ulaw": PCMU,
    "audio/pcmu": PCMU,
    "pcmu": PCMU,
    "g711_alaw": PCMA,
    "audio/pcma": PCMA,
    "pcma": PCMA,
}
DEFAULT_TRANSCRIPTION: Final = {"model": "gpt-4o-mini-transcribe"}
DEFAULT_TURN_DETECTION: Final = {"type": "semantic_vad", "interrupt_response": True}
DEFAULT_VOICE: Final = "ash"
CAMEL: Final = {
    "createResponse": "create_response",
    "interruptResponse": "interrupt_response",
    "prefixPaddingMs": "prefix_padding_ms",
    "silenceDurationMs": "silence_duration_ms",
    "idleTimeoutMs": "idle_timeout_ms",
    "modelVersion": "model_version",
}
MISSING: Final = object()

Settings = Mapping[str, Any]


def settings_to_wire(settings: Settings, *, model: str | None, attached: bool = False) -> dict[str, Any]:
    """The `session` of a `session.update`.

    Args:
        settings: a `RealtimeSessionModelSettings`.
        model: the model's name, where the settings have none.
        attached: to a call that exists, whose audio format is not ours to choose.

    Raises:
        UserError: if a tool is no function tool, or two have one name.
    """
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": settings.get("output_modalities") or settings.get("modalities") or ["audio"],
        "audio": {"input": _input(settings, attached), "output": _output(settings, attached)},
        "tools": _tools(settings.get("tools") or (), settings.get("handoffs") or ()),
    }
    name = settings.get("model_name") or model
    if name:
        session["model"] = name
    for key in ("parallel_tool_calls", "reasoning"):
        if settings.get(key) is not None:
            session[key] = settings[key]
    for key in ("instructions", "max_output_tokens", "tool_choice"):
        if key in settings:
            session[key] = settings[key]
    if "prompt" in settings:
        prompt = settings["prompt"]
        session["prompt"] = {"id": prompt["id"], "variables": prompt.get("variables")}
        session["prompt"]["version"] = prompt.get("version")
    return session


def _channel(settings: Settings, name: str) -> Settings:
    audio: object = settings.get("audio")
    part = cast("Settings", audio).get(name) if isinstance(audio, Mapping) else None
    return cast("Settings", part) if isinstance(part, Mapping) else {}


def _choice(channel: Settings, key: str, settings: Settings, flat: str, default: object) -> object:
    """A setting: in its channel, under its older flat name, or the default."""
    if key in channel:
        return channel[key]
    return settings.get(flat, default)


def _input(settings: Settings, attached: bool) -> dict[str, Any]:
    channel = _channel(settings, "input")
    audio: dict[str, Any] = _format(channel, settings, "input_audio_format", attached)
    for key, flat, default in (
        ("noise_reduction", "input_audio_noise_reduction", MISSING),
        ("transcription", "input_audio_transcription", DEFAULT_TRANSCRIPTION),
        ("turn_detection", "turn_detection", DEFAULT_TURN_DETECTION),
    ):
        value = _choice(channel, key, settings, flat, default)
        if value is not MISSING:
            audio[key] = _snake(value) if key == "turn_detection" else value
    return audio


def _output(settings: Settings, attached: bool) -> dict[str, Any]:
    channel = _channel(settings, "output")
    audio: dict[str, Any] = {"voice": channel.get("voice") or settings.get("voice", DEFAULT_VOICE)}
    audio |= _format(channel, settings, "output_audio_format", attached)
    speed = _choice(channel, "speed", settings, "speed", MISSING)
    return audio if speed is MISSING else {**audio, "speed": speed}


def _format(channel: Settings, settings: Settings, flat: str, attached: bool) -> dict[str, Any]:
    value: object = channel.get("format")
    if value is None:
        value = settings.get(flat, None if attached else "pcm16")
    if value is None:
        return {}
    kind: object = value
    if isinstance(value, Mapping):
        kind = cast("Settings", value).get("type")
    elif not isinstance(value, str):
        kind = getattr(value, "type", None)  # the `openai` client's objects
    known = FORMATS.get(kind) if isinstance(kind, str) else None
    return {"format": dict(known)} if known is not None else {}


def _snake(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    given = dict(cast("Settings", value))
    for camel, snake in CAMEL.items():
        if camel in given:
            given.setdefault(snake, given[camel])
            del given[camel]
    return given


def _tools(tools: Iterable[Any], handoffs: Iterable[Any]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for tool in tools:
        if getattr(tool, "is_enabled", True) is False:
            continue
        if not hasattr(tool, "params_json_schema"):
            name = getattr(tool, "name", tool)
            raise UserError(
                f"tool {name!r} is no function tool, which is all that a realtime session can run"
            )
        listed.append(_function(tool.name, tool.description, tool.params_json_schema))
    for handoff in handoffs:
        if handoff.is_enabled is not False:
            parameters = handoff.input_json_schema
            listed.append(_function(handoff.tool_name, handoff.tool_description, parameters))
    twice = sorted(name for name, count in Counter(entry["name"] for entry in listed).items() if count > 1)
    if twice:
        raise UserError(f"Duplicate Realtime tool name(s) found: {', '.join(map(repr, twice))}")
    return listed


def _function(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


def user_message(user_input: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Their user input as a message for `send_message`; parts that cannot be read are left out, as they do.

    Raises:
        UserError: if nothing is left.
    """
    if isinstance(user_input, str):
        return user_input
    parts: list[dict[str, Any]] = []
    for part in user_input.get("content") or ():
        match part:
            case {"type": "input_text", "text": str(text)}:
                parts.append({"type": "input_text", "text": text})
            case {"type": "input_image", "image_url": str(url)} if url:
                detail = part.get("detail")
                known = {"detail": detail} if detail in ("auto", "low", "high") else {}
                parts.append({"type": "input_image", "image_url": url, **known})
            case _:
                pass
    if not parts:
        raise UserError(f"a message needs text or an image, got {dict(user_input)!r}")
    return {"type": "message", "role": "user", "content": parts}
