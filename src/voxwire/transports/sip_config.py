"""What a call's configuration may say, where the audio takes another way: pure functions on the wire's dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from ..errors import UserError
from ..protocol.config import DEFAULT_MODEL

__all__ = ["accept_payload", "refuse_unsupported", "without_formats"]

UNSUPPORTED: Final = ("threshold", "prefix_padding_ms", "silence_duration_ms")
"""Fields of turn detection that the service does not take for a SIP call (it answers 400, "Unknown parameter")."""


def without_formats(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without audio formats: those of a call are negotiated between the caller and the service.

    A format in an update would be put over what was negotiated, and the caller would hear noise.
    """
    audio = config.get("audio")
    if not isinstance(audio, Mapping):
        return dict(config)
    kept = {key: _without_format(value) for key, value in cast("Mapping[str, Any]", audio).items()}
    kept = {key: value for key, value in kept.items() if value != {}}
    rest = {key: value for key, value in config.items() if key != "audio"}
    return {**rest, "audio": kept} if kept else rest


def _without_format(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {key: value for key, value in cast("Mapping[str, Any]", part).items() if key != "format"}


def refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Raise `UserError` if turn detection has fields that the service does not take for a SIP call."""
    node: Any = config
    for key in ("audio", "input", "turn_detection"):
        node = cast("Mapping[str, Any]", node).get(key) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return
    found = [name for name in UNSUPPORTED if cast("Mapping[str, Any]", node).get(name) is not None]
    if found:
        raise UserError(
            f"audio.input.turn_detection has {_listed(found)}, which the service does not take for a SIP call; "
            "leave them unset (semantic_vad, or server_vad with interrupt_response, create_response and "
            "idle_timeout_ms, can be used)"
        )


def _listed(names: Sequence[str]) -> str:
    if len(names) < 3:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"


def accept_payload(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a call is accepted with, made of the first configuration of the session that will attach to it.

    The same but for the audio formats, and for tracing: the session sets that when it attaches, and it
    can be set only once.

    Raises:
        UserError: see `refuse_unsupported`.
    """
    refuse_unsupported(config)
    payload = without_formats(config)
    payload.pop("tracing", None)
    return {"type": "realtime", "model": DEFAULT_MODEL, **payload}
