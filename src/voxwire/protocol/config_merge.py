"""Session configurations as the wire has them: merging, comparing and reading dicts.

`session.update` changes only the fields that are present (Realtime API reference), so what
is sent can be the difference between what is in force and what is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..errors import ConfigError
from .formats import PCM16, AudioFormat, parse_format

__all__ = [
    "changed_only",
    "creates_response",
    "input_format",
    "interrupt_response",
    "merge_wire",
    "output_format",
    "transcribes",
]

_Path = tuple[str, ...]

# One of several shapes, told apart by a `type` or by being a string: half of one
# and half of another means nothing, so a new value replaces the old one.
_WHOLE: frozenset[_Path] = frozenset(
    {
        ("prompt",),
        ("tool_choice",),
        ("tracing",),
        ("truncation",),
        ("audio", "input", "format"),
        ("audio", "input", "turn_detection"),
        ("audio", "output", "format"),
        ("audio", "output", "voice"),
    }
)

# The objects an update can name a part of.
_DIVISIBLE: frozenset[_Path] = frozenset({("audio",), ("audio", "input"), ("audio", "output")})


def merge_wire(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """What is in force once `update` was applied to `base`; neither is changed or shared.

    Plain objects are merged key by key. Lists, and objects that come in several shapes
    (turn detection, formats, voice, tracing, tool choice, truncation, prompt), are replaced
    whole. None is a value like any other: JSON null.
    """
    return _merge(base, update, ())


def changed_only(sent: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The update that turns `sent` into `merge_wire(sent, wanted)`, and nothing more.

    Keys that `wanted` does not have are left alone. Session, `audio`, `audio.input` and
    `audio.output` are cut down to what differs; a smaller object of which anything
    differs is sent complete, so that it means the same to a service that merges it
    and to one that replaces it.
    """
    return _difference(sent, wanted, ())


def _merge(base: Mapping[str, Any], update: Mapping[str, Any], path: _Path) -> dict[str, Any]:
    merged = {key: _copied(value) for key, value in base.items() if key not in update}
    for key, value in update.items():
        merged[key] = _merged(base.get(key), value, (*path, key))
    # The order of `base`, then what is new: a diff of two dumps stays readable.
    return {key: merged[key] for key in (*base, *(key for key in update if key not in base))}


def _merged(old: Any, new: Any, path: _Path) -> Any:
    if path not in _WHOLE and isinstance(old, Mapping) and isinstance(new, Mapping):
        return _merge(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new), path)
    return _copied(new)


def _difference(sent: Mapping[str, Any], wanted: Mapping[str, Any], path: _Path) -> dict[str, Any]:
    update: dict[str, Any] = {}
    for key, value in wanted.items():
        here = (*path, key)
        if key not in sent:
            update[key] = _copied(value)
            continue
        old = sent[key]
        merged = _merged(old, value, here)
        if _same(old, merged):
            continue
        if here in _DIVISIBLE and isinstance(old, Mapping) and isinstance(value, Mapping):
            merged = _difference(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value), here)
        update[key] = merged
    return update


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(child) for key, child in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_copied(child) for child in cast("list[Any]", value)]
    return value


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON values; Python alone takes True for 1."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        left, right = cast("Mapping[str, Any]", a), cast("Mapping[str, Any]", b)
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        one, other = cast("list[Any]", a), cast("list[Any]", b)
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def interrupt_response(session: Mapping[str, Any]) -> bool:
    """Whether a user who begins to speak stops the reply, by the service's settings.

    Only an explicit false says no; true is the API's default. Never raises.
    """
    return _turn_detection(session).get("interrupt_response") is not False


def creates_response(session: Mapping[str, Any]) -> bool:
    """Whether the end of a user's turn starts a reply by itself; read like `interrupt_response`."""
    return _turn_detection(session).get("create_response") is not False


def transcribes(session: Mapping[str, Any]) -> bool:
    """Whether the service is asked to transcribe what the user says."""
    sound = _at(_at(session, "audio"), "input")
    return sound.get("transcription", session.get("input_audio_transcription")) is not None


def _turn_detection(session: Mapping[str, Any]) -> Mapping[str, Any]:
    detection = _at(_at(session, "audio"), "input").get("turn_detection", session.get("turn_detection"))
    return cast("Mapping[str, Any]", detection) if isinstance(detection, Mapping) else {}


def input_format(session: Mapping[str, Any]) -> AudioFormat:
    """The format of input audio; 24 kHz PCM where the session has none that can be read."""
    return _format(_at(_at(session, "audio"), "input").get("format", session.get("input_audio_format")))


def output_format(session: Mapping[str, Any]) -> AudioFormat:
    """The format of output audio; 24 kHz PCM where the session has none that can be read."""
    return _format(_at(_at(session, "audio"), "output").get("format", session.get("output_audio_format")))


def _at(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    child = value.get(key)
    return cast("Mapping[str, Any]", child) if isinstance(child, Mapping) else {}


def _format(value: object) -> AudioFormat:
    try:
        return parse_format(value)
    except ConfigError:
        return PCM16
