"""Which audio format the model is asked for, when the other end is a phone.

A session's defaults ask for 24 kHz PCM. Sent to a phone as it is, that is loud noise, and nobody who does not know
it would think of changing it; so on a phone line that default means "whatever suits the line". Every other
format was chosen by somebody, and is kept: what the line does not take is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ...protocol.config import coerce_config
from ...protocol.formats import PCM16, PCMU, AudioFormat, parse_format
from ..base import ConfigLike

__all__ = ["model_format", "suited"]


def model_format(line: AudioFormat) -> AudioFormat:
    """What suits a line: its own format if the model takes it, the model's own if that sounds better."""
    if line.sample_bytes == 1:
        return line
    return PCMU if line.rate == PCMU.rate else PCM16


def suited(
    config: ConfigLike | None, *, input: AudioFormat, output: AudioFormat, complete: bool
) -> dict[str, Any]:
    """A configuration, with the wire's names, whose formats suit a phone.

    Args:
        input, output: in place of the default.
        complete: name the formats also where `config` does not: for the first configuration of a connection.
    """
    wire = coerce_config(config).to_wire()
    audio = _child(wire, "audio")
    for side, wanted in (("input", input), ("output", output)):
        part = _child(audio, side)
        if "format" in part or complete:
            audio[side] = {**part, "format": _suited(part.get("format"), wanted)}
    return {**wire, "audio": audio} if audio else wire


def _suited(value: object, wanted: AudioFormat) -> Any:
    return wanted.to_wire() if parse_format(value) == PCM16 else value


def _child(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    child = value.get(name)
    return dict(cast("Mapping[str, Any]", child)) if isinstance(child, Mapping) else {}
