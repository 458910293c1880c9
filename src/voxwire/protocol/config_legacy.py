"""Older and other spellings of a session configuration, turned into the GA object.

Known are the flat keys of the older dialect, the JavaScript SDK's camel case of them, and its
`providerData`. They are merged: a GA key in the same mapping wins, and nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .config_base import ConfigObject, camel_case
from .unset import UNSET

__all__ = ["to_ga"]

_FLAT: Mapping[str, tuple[str, ...]] = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
}
_SPELLINGS = {spelling: name for name in _FLAT for spelling in (name, camel_case(name))}


def to_ga(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with GA keys for the flat ones; what it does not know stays as it is.

    `type: "realtime"` is dropped: it is the default and no setting. Another type stays.
    """
    ga: dict[str, Any] = {}
    flat: dict[str, Any] = {}
    beneath: Mapping[str, Any] = {}
    for key, value in mapping.items():
        if value is UNSET or (key == "type" and value == "realtime"):
            continue
        name = _SPELLINGS.get(key)
        if name is not None:
            if key == name or mapping.get(name, UNSET) is UNSET:
                flat[name] = value
        elif key in ("providerData", "provider_data") and isinstance(value, Mapping):
            beneath = cast("Mapping[str, Any]", value)
        else:
            ga[key] = value
    for name, value in flat.items():
        _place(ga, _FLAT[name], _modalities(value) if name == "modalities" else value)
    # What providerData has only fills gaps, whether it is spelled flat or not.
    for key, value in (to_ga(beneath) if beneath else {}).items():
        if not _has(ga, key):
            ga[key] = value
    return ga


def _place(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value deep in `target`, copying what is on the way, unless there is one already."""
    *parents, leaf = path
    for name in parents:
        child = target.get(name, UNSET)
        if isinstance(child, ConfigObject):
            child = child.to_wire()
        if isinstance(child, Mapping):
            child = dict(cast("Mapping[str, Any]", child))
        elif child is None or child is UNSET:
            child = {}
        else:
            return  # not an object: reading it will say so
        target[name] = child
        target = child
    if not _has(target, leaf):
        target[leaf] = value


def _has(target: Mapping[str, Any], name: str) -> bool:
    return any(target.get(key, UNSET) is not UNSET for key in (name, camel_case(name)))


def _modalities(value: Any) -> Any:
    # In the older dialect, audio with its transcript was called text and audio; GA, which
    # refuses the pair, calls it audio.
    names = cast("list[Any]", value) if isinstance(value, (list, tuple)) else []
    return ["audio"] if len(names) == 2 and "text" in names and "audio" in names else cast("Any", value)
